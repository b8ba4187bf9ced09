"""`memorybank task` and `edge`. Adding, showing and listing tasks is in cli.work."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from memorybank.cli.asking import given
from memorybank.cli.bank import open_bank, paged
from memorybank.cli.show import cell, fields, show, table

_TASKS = ("id", "status", "priority", "assignee", "due_at", "title")
_EDGES = ("source", "type", "target", "created_at")
_NODES = ("depth", "id", "type", "title")
_EFFICIENCY = ("name", "done", "per_week", "lead_p50", "lead_p95", "on_time", "blocked_seconds")


def add(arguments: argparse.Namespace) -> int:
    """Keep a task and print its id."""
    names = ("title", "description", "project", "session", "priority", "assignee", "due_at")
    body = given(arguments, *names, "parent", "depends_on", "tags", "importance")
    with open_bank(arguments) as bank:
        task = bank.request("POST", "/v1/tasks", body=body).value(bank.name)
    show(arguments, task, task["id"])
    return 0


def get(arguments: argparse.Namespace) -> int:
    """Show a task."""
    with open_bank(arguments) as bank:
        task = bank.request("GET", _path(arguments.id)).value(bank.name)
    show(arguments, task, fields(task))
    return 0


def list_(arguments: argparse.Namespace) -> int:
    """List tasks, newest first, up to a limit."""
    names = ("project", "session", "priority", "assignee", "parent", "due_after", "due_before")
    query = given(arguments, *names, "status", "open", "overdue", "blocked")
    query["tag"] = arguments.tags
    with open_bank(arguments) as bank:
        found, total = paged(bank, "/v1/tasks", "memories", query=query, limit=arguments.limit)
    rows = [{**each["details"], **each, "status": _status(each)} for each in found]
    text = table(rows, _TASKS, nothing="nothing there")
    if len(found) < total:
        text += f"\n{len(found)} of {total}; --limit shows more"
    show(arguments, {"memories": found, "total": total}, text)
    return 0


def move(arguments: argparse.Namespace) -> int:
    """Start, block, unblock, complete, cancel or reopen a task: whatever the action is called."""
    body = {
        name: value
        for name in ("reason", "outcome", "force")
        if (value := getattr(arguments, name, None)) is not None
    }
    with open_bank(arguments) as bank:
        path = f"{_path(arguments.id)}/{arguments.action}"
        task = bank.request("POST", path, body=body or None).value(bank.name)
    show(arguments, task, f"{task['id']} is {_status(task)}")
    return 0


def depend(arguments: argparse.Namespace) -> int:
    """Let a task wait for another one, or no longer."""
    path = f"{_path(arguments.id)}/dependencies"
    with open_bank(arguments) as bank:
        if arguments.remove:
            other = quote(arguments.on, safe="")
            bank.request("DELETE", f"{path}/{other}").value(bank.name)
        else:
            bank.request("POST", path, body={"on": arguments.on}).value(bank.name)
        found = bank.request("GET", path).value(bank.name)
    show(arguments, found, table(found["depends_on"], ("id", "status", "title"), nothing="free"))
    return 0


def statistics(arguments: argparse.Namespace) -> int:
    """Count tasks."""
    with open_bank(arguments) as bank:
        query = given(arguments, "project", "assignee")
        counted = bank.request("GET", "/v1/tasks/statistics", query=query).value(bank.name)
    show(arguments, counted, fields(counted))
    return 0


def efficiency(arguments: argparse.Namespace) -> int:
    """Report how the work went."""
    with open_bank(arguments) as bank:
        query = given(arguments, "project", "assignee", "days")
        report = bank.request("GET", "/v1/tasks/efficiency", query=query).value(bank.name)
    rows = [{"name": "all", **report["overall"]}]
    for kind in ("project", "assignee"):
        rows += [{"name": f"{kind} {name}", **told} for name, told in report[f"by_{kind}"].items()]
    text = table([_rounded(row) for row in rows], _EFFICIENCY, nothing="")
    show(arguments, report, text)
    return 0


def edge_add(arguments: argparse.Namespace) -> int:
    """Lead an edge from a memory to another."""
    body = {"source": arguments.source, "target": arguments.target, "type": arguments.type}
    with open_bank(arguments) as bank:
        edge = bank.request("POST", "/v1/edges", body=body).value(bank.name)
    show(arguments, edge, f"{edge['source']} {edge['type']} {edge['target']}")
    return 0


def edge_remove(arguments: argparse.Namespace) -> int:
    """Remove edges."""
    query = given(arguments, "source", "target", "type")
    with open_bank(arguments) as bank:
        bank.request("DELETE", "/v1/edges", query=query).value(bank.name)
    show(arguments, {"removed": query}, "removed")
    return 0


def edge_list(arguments: argparse.Namespace) -> int:
    """List the edges of a memory."""
    query = given(arguments, "memory", "type", "direction")
    with open_bank(arguments) as bank:
        found = bank.request("GET", "/v1/edges", query=query).value(bank.name)
    show(arguments, found, table(found["edges"], _EDGES, nothing="no edges"))
    return 0


def edge_traverse(arguments: argparse.Namespace) -> int:
    """Walk along edges."""
    query = given(arguments, "memory", "type", "direction", "depth", "limit")
    with open_bank(arguments) as bank:
        walk = bank.request("GET", "/v1/edges/traverse", query=query).value(bank.name)
    text = table(walk["nodes"], _NODES, nothing="nothing there")
    if not walk["complete"]:
        text += "\nthere is more; --limit shows more"
    show(arguments, walk, text)
    return 0


def edge_order(arguments: argparse.Namespace) -> int:
    """Put what depends on what in an order."""
    query = given(arguments, "root", "project")
    with open_bank(arguments) as bank:
        found = bank.request("GET", "/v1/edges/order", query=query).value(bank.name)
    show(arguments, found, table(found["order"], ("id", "type", "title"), nothing="nothing there"))
    return 0


def _status(task: dict[str, Any]) -> str:
    status: str = task["details"].get("status", "todo")
    return status


def _rounded(row: dict[str, Any]) -> dict[str, str]:
    return {
        name: f"{value:.2f}" if isinstance(value, float) else cell(value)
        for name, value in row.items()
    }


def _path(task_id: str) -> str:
    return f"/v1/tasks/{quote(task_id, safe='')}"
