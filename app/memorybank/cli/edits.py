"""`memorybank edit`: propose changes of memories, and decide about them."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from memorybank.cli.asking import given, json_of, text_of
from memorybank.cli.bank import open_bank, paged
from memorybank.cli.show import fields, show, table

_EDITS = ("id", "status", "memory", "proposed_by", "created_at", "reason")


def propose(arguments: argparse.Namespace) -> int:
    """Propose a change and print the proposal's id."""
    patch: dict[str, Any] = {}
    if arguments.patch is not None:
        patch = json_of(arguments.patch, "patch")
    patch |= given(arguments, "title")
    if arguments.content is not None:
        patch["content"] = text_of(arguments.content)
    body = {"memory": arguments.memory, "patch": patch, **given(arguments, "reason", "revision")}
    with open_bank(arguments) as bank:
        edit = bank.request("POST", "/v1/edits", body=body).value(bank.name)
    show(arguments, edit, edit["id"])
    return 0


def list_(arguments: argparse.Namespace) -> int:
    """List proposals, newest first, up to a limit."""
    query = given(arguments, "status", "memory", "project")
    with open_bank(arguments) as bank:
        found, total = paged(bank, "/v1/edits", "edits", query=query, limit=arguments.limit)
    text = table(found, _EDITS, nothing="nothing there")
    if len(found) < total:
        text += f"\n{len(found)} of {total}; --limit shows more"
    show(arguments, {"edits": found, "total": total}, text)
    return 0


def get(arguments: argparse.Namespace) -> int:
    """Show a proposal."""
    with open_bank(arguments) as bank:
        edit = bank.request("GET", _path(arguments.id)).value(bank.name)
    show(arguments, edit, fields(edit))
    return 0


def decide(arguments: argparse.Namespace) -> int:
    """Approve, reject or roll back a proposal: whatever the action is called."""
    body = given(arguments, "comment")
    with open_bank(arguments) as bank:
        path = f"{_path(arguments.id)}/{arguments.action}"
        answer = bank.request("POST", path, body=body or None).value(bank.name)
    edit = answer.get("edit", answer)
    show(arguments, answer, f"{edit['id']} is {edit['status'].replace('_', ' ')}")
    return 0


def _path(edit_id: str) -> str:
    return f"/v1/edits/{quote(edit_id, safe='')}"
