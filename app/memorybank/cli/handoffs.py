"""`memorybank handoff last` and `thread`, for the rest see cli.work; `memorybank wake-up`."""

from __future__ import annotations

import argparse
from typing import Any

from memorybank.cli.asking import given
from memorybank.cli.bank import open_bank
from memorybank.cli.show import fields, show


def last(arguments: argparse.Namespace) -> int:
    """Show the newest hand-off."""
    query = given(arguments, *arguments.filters)
    with open_bank(arguments) as bank:
        handoff = bank.request("GET", "/v1/handoffs/last", query=query).value(bank.name)
    show(arguments, handoff, fields(handoff))
    return 0


def thread(arguments: argparse.Namespace) -> int:
    """Show hand-offs in their order, and what came of the sessions that they ended."""
    query = given(arguments, *arguments.filters, "limit")
    with open_bank(arguments) as bank:
        found = bank.request("GET", "/v1/handoffs/thread", query=query).value(bank.name)
    text = "\n\n".join(map(_told, found["entries"])) or "nothing there"
    if len(found["entries"]) < found["total"]:
        text += f"\n\nthe newest {len(found['entries'])} of {found['total']}; --limit shows more"
    show(arguments, found, text)
    return 0


def wake_up(arguments: argparse.Namespace) -> int:
    """Print what is to be known, and what did not fit."""
    body = given(
        arguments, "project", "session", "with_whom", "max_tokens", "layers", "subject",
        "include_sensitive",
    )  # fmt: skip
    with open_bank(arguments) as bank:
        pack = bank.request("POST", "/v1/wake-up", body=body).value(bank.name)
    left = [f"{each['omitted']} of {each['layer']}" for each in pack["layers"] if each["omitted"]]
    text = pack["text"] or "nothing there"
    if left:
        text += f"\nleft out: {', '.join(left)}; --max-tokens shows more"
    show(arguments, pack, text)
    return 0


def _told(entry: dict[str, Any]) -> str:
    handoff, session = entry["handoff"], entry["session"]
    text = f"{handoff['created_at']}  {handoff['id']}\n{handoff['content']}"
    if session is not None:
        outcome = "" if session["outcome"] is None else f": {session['outcome']}"
        text += f"\n(session {session['id']} is {session['status']}{outcome})"
    return text
