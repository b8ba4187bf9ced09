"""`memorybank project` and `session`, `note`, `decision`, `capsule` and `event`."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from memorybank.cli.asking import given, json_of, text_of
from memorybank.cli.bank import open_bank, paged
from memorybank.cli.show import fields, show, table

_LISTED = ("id", "project", "created_at", "content")
_SESSIONS = ("id", "status", "project", "created_at", "title")
_EPISODES = ("id", "status", "outcome", "task_type", "created_at", "content")
_COLUMNS = {"session": _SESSIONS, "episode": _EPISODES}
_LOG = ("id", "created_at", "kind", "content")


def add(arguments: argparse.Namespace) -> int:
    """Keep a thing and print its id."""
    body = given(arguments, *arguments.fields)
    if "content" in body:
        body["content"] = text_of(body["content"])
    if arguments.json is not None and (value := getattr(arguments, arguments.json)) is not None:
        body[arguments.json] = json_of(value, arguments.json)
    return _kept(arguments, f"/v1/{arguments.command}s", body)


def get(arguments: argparse.Namespace) -> int:
    """Show a thing."""
    with open_bank(arguments) as bank:
        thing = bank.request("GET", _path(arguments)).value(bank.name)
    show(arguments, thing, fields(thing))
    return 0


def list_(arguments: argparse.Namespace) -> int:
    """List things, newest first, up to a limit."""
    columns = _COLUMNS.get(arguments.command, _LISTED)
    return _listed(arguments, f"/v1/{arguments.command}s", columns)


def move(arguments: argparse.Namespace) -> int:
    """Pause, resume, complete or abort a session: whatever the action is called."""
    ends = arguments.action in ("complete", "abort")
    body = given(arguments, "outcome") if ends else None
    with open_bank(arguments) as bank:
        path = f"{_path(arguments)}/{arguments.action}"
        session = bank.request("POST", path, body=body).value(bank.name)
    show(arguments, session, f"{session['id']} is {session['details']['status']}")
    return 0


def log(arguments: argparse.Namespace) -> int:
    """Add to the log of a session, or show it when there is nothing to add."""
    path = f"{_path(arguments)}/log"
    if arguments.content is None:
        return _listed(arguments, path, _LOG)
    body = given(arguments, "kind", "tags") | {"content": text_of(arguments.content)}
    return _kept(arguments, path, body)


def _kept(arguments: argparse.Namespace, path: str, body: dict[str, Any]) -> int:
    with open_bank(arguments) as bank:
        thing = bank.request("POST", path, body=body).value(bank.name)
    show(arguments, thing, thing["id"])
    return 0


def _listed(arguments: argparse.Namespace, path: str, columns: tuple[str, ...]) -> int:
    query = {name: getattr(arguments, name) for name in arguments.filters}
    query["tag"] = arguments.tags
    with open_bank(arguments) as bank:
        found, total = paged(bank, path, "memories", query=query, limit=arguments.limit)
    rows = [{**each["details"], **each} for each in found]
    text = table(rows, columns, nothing="nothing there")
    if len(found) < total:
        text += f"\n{len(found)} of {total}; --limit shows more"
    show(arguments, {"memories": found, "total": total}, text)
    return 0


def _path(arguments: argparse.Namespace) -> str:
    return f"/v1/{arguments.command}s/{quote(arguments.id, safe='')}"
