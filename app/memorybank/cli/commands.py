"""Memories, search, health, tenants, keys, care: ask the bank, show the answer."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from memorybank.cli.asking import given, json_of, text_of
from memorybank.cli.bank import Bank, open_bank, paged
from memorybank.cli.show import cell, fields, show, table

_SHOWN = 300
"""Characters of a memory that a list for people shows."""
_LIST = ("id", "type", "project", "created_at", "content")
_TENANTS = ("name", "memories", "max_memories", "requests_per_minute", "created_at")
_KEYS = ("id", "tenant", "name", "role", "created_at", "expires_at", "revoked_at", "last_used_at")
_MEMORY_FIELDS = ("title", "type", "project", "session", "tags", "importance", "occurred_at")


def store(arguments: argparse.Namespace) -> int:
    """Store a memory."""
    body = {"content": text_of(arguments.content), **given(arguments, *_MEMORY_FIELDS)}
    body |= _metadata(arguments)
    with open_bank(arguments) as bank:
        memory = _ask(bank, "POST", "/v1/memories", body=body)
    show(arguments, memory, memory["id"])
    return 0


def get(arguments: argparse.Namespace) -> int:
    """Show a memory."""
    with open_bank(arguments) as bank:
        memory = _ask(bank, "GET", _path("/v1/memories", arguments.id))
    show(arguments, memory, fields(memory))
    return 0


def update(arguments: argparse.Namespace) -> int:
    """Change a memory; `--clear FIELD` empties one."""
    body = given(arguments, *_MEMORY_FIELDS) | _metadata(arguments)
    if arguments.content is not None:
        body["content"] = text_of(arguments.content)
    body |= dict.fromkeys(arguments.clear or [])
    with open_bank(arguments) as bank:
        memory = _ask(bank, "PATCH", _path("/v1/memories", arguments.id), body=body)
    show(arguments, memory, fields(memory))
    return 0


def delete(arguments: argparse.Namespace) -> int:
    """Delete memories."""
    with open_bank(arguments) as bank:
        for each in arguments.ids:
            _ask(bank, "DELETE", _path("/v1/memories", each))
    show(arguments, {"deleted": arguments.ids}, "\n".join(arguments.ids))
    return 0


def change(arguments: argparse.Namespace) -> int:
    """Archive, restore, pin or unpin memories: whatever the action is called."""
    with open_bank(arguments) as bank:
        memories = [
            _ask(bank, "POST", f"{_path('/v1/memories', each)}/{arguments.action}", body={})
            for each in arguments.ids
        ]
    show(arguments, {"memories": memories}, "\n".join(arguments.ids))
    return 0


def history(arguments: argparse.Namespace) -> int:
    """Show what a memory said before, newest first."""
    with open_bank(arguments) as bank:
        found = _ask(bank, "GET", f"{_path('/v1/memories', arguments.id)}/history")
    rows = [{**each["memory"], **each} for each in found["revisions"]]
    columns = ("revision", "replaced_at", "action", "content")
    show(arguments, found, table(rows, columns, nothing="no earlier states"))
    return 0


def list_(arguments: argparse.Namespace) -> int:
    """List memories, newest first, up to a limit."""
    query = {**given(arguments, "project", "session"), "type": arguments.types}
    query["tag"] = arguments.tags
    with open_bank(arguments) as bank:
        found, total = paged(bank, "/v1/memories", "memories", query=query, limit=arguments.limit)
    text = table(found, _LIST, nothing="no memories")
    if len(found) < total:
        text += f"\n{len(found)} of {total}; --limit shows more"
    show(arguments, {"memories": found, "total": total}, text)
    return 0


def search(arguments: argparse.Namespace) -> int:
    """Find memories."""
    body = {
        "query": arguments.query,
        **given(arguments, "limit", "project", "session", "types", "tags"),
    }
    with open_bank(arguments) as bank:
        found = _ask(bank, "POST", "/v1/search", body=body)
    show(arguments, found, "\n".join(_listed(found["results"])) or "nothing found")
    return 0


def health(arguments: argparse.Namespace) -> int:
    """Check that a bank does its job."""
    with open_bank(arguments) as bank:
        answer = bank.request("GET", "/ready")
        report = _report(bank, answer.status, answer.body)
        if arguments.verbose:
            report["bank"] = bank.name
            report["status_of_the_bank"] = _ask(bank, "GET", "/v1/admin/status")
    show(arguments, report, _reported(report))
    return 0 if report["status"] == "ready" else 1


def tenants(arguments: argparse.Namespace) -> int:
    """Make, list, look at, limit and delete tenants."""
    path = "/v1/admin/tenants"
    limits = given(arguments, "max_memories", "requests_per_minute", "burst")
    with open_bank(arguments) as bank:
        match arguments.action:
            case "list":
                found, _ = paged(bank, path, "tenants")
                show(arguments, {"tenants": found}, table(found, _TENANTS, nothing="no tenants"))
                return 0
            case "create":
                answer = _ask(bank, "POST", path, body={"name": arguments.name, **limits})
            case "update":
                body = limits | dict.fromkeys(arguments.clear or [])
                answer = _ask(bank, "PATCH", _path(path, arguments.name), body=body)
            case "delete":
                query = {"with_data": arguments.with_data}
                _ask(bank, "DELETE", _path(path, arguments.name), query=query)
                answer = {"deleted": arguments.name}
            case "stats":
                answer = _ask(bank, "GET", f"{_path(path, arguments.name)}/stats")
            case _:
                answer = _ask(bank, "GET", _path(path, arguments.name))
    show(arguments, answer, fields(answer))
    return 0


def keys(arguments: argparse.Namespace) -> int:
    """Make, list, rotate and revoke API keys."""
    path = "/v1/admin/keys"
    with open_bank(arguments) as bank:
        match arguments.action:
            case "list":
                answer = _ask(bank, "GET", path, query=given(arguments, "tenant"))
                show(arguments, answer, table(answer["keys"], _KEYS, nothing="no keys"))
                return 0
            case "create":
                body = given(arguments, "name", "role", "tenant", "expires_at")
                answer = _ask(bank, "POST", path, body=body)
            case "rotate":
                body = given(arguments, "overlap_seconds")
                answer = _ask(bank, "POST", f"{_path(path, arguments.id)}/rotate", body=body)
            case _:
                _ask(bank, "DELETE", _path(path, arguments.id))
                answer = {"revoked": arguments.id}
    # The key alone, so that a script can take it; it is shown this once.
    show(arguments, answer, answer.get("key") or fields(answer))
    return 0


def version(arguments: argparse.Namespace) -> int:
    """Print the version."""
    from memorybank.version import VERSION  # reads the distribution's metadata from disk

    show(arguments, {"version": VERSION}, VERSION)
    return 0


def _ask(bank: Bank, method: str, path: str, **parts: Any) -> Any:
    return bank.request(method, path, **parts).value(bank.name)


def _path(base: str, name: str) -> str:
    return f"{base}/{quote(name, safe='')}"


def _metadata(arguments: argparse.Namespace) -> dict[str, Any]:
    if arguments.metadata is None:
        return {}
    return {"metadata": json_of(arguments.metadata, "metadata")}


def _listed(results: list[dict[str, Any]]) -> Iterator[str]:
    for result in results:
        memory = result["memory"]
        about = [memory["type"], memory["project"], memory["title"]]
        yield f"{result['score']:.3f}  {memory['id']}  {' · '.join(part for part in about if part)}"
        text: str = memory["content"]
        shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
        yield from (f"       {line}" for line in shown.splitlines())


def _report(bank: Bank, status: int, body: bytes) -> dict[str, Any]:
    """Return what /ready says; its 503 is a report, too."""
    from memorybank.cli.bank import Answer, not_a_bank

    report = Answer(200 if status == 503 else status, body).value(bank.name)
    if not isinstance(report, dict) or not {"status", "version", "checks"} <= report.keys():
        raise not_a_bank(bank.name, status)
    return report


def _reported(report: dict[str, Any]) -> str:
    lines = [f"{report['status'].replace('_', ' ')} (version {report['version']})"]
    lines += [f"  {check['status']:8}{check['name']}" for check in report["checks"]]
    lines += [f"{each['name']}: {each['message']}" for each in report["checks"] if each["message"]]
    for section, values in report.get("status_of_the_bank", {}).items():
        if isinstance(values, dict):
            lines.append(section.replace("_", " "))
            lines += [f"  {line}" for line in fields(values).splitlines()]
        else:
            lines.append(f"{section.replace('_', ' ')}  {cell(values)}")
    return "\n".join(lines)
