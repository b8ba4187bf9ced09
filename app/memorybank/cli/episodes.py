"""`memorybank episode` and `pattern`; start, get and list of episodes are in cli.work."""

from __future__ import annotations

import argparse
from urllib.parse import quote

from memorybank.cli.asking import given
from memorybank.cli.bank import open_bank
from memorybank.cli.show import fields, show, table

_STEPS = ("number", "tool", "result", "error", "action", "latency_ms")
_PATTERNS = ("id", "kind", "proven", "gain", "seen", "well", "text")


def step(arguments: argparse.Namespace) -> int:
    """Tell what was done, and print whether it is durable."""
    said = given(arguments, "tool", "action", "error", "observation", "latency_ms", "tokens")
    with open_bank(arguments) as bank:
        query = {"wait": "true"} if arguments.wait else {}
        path = f"{_path(arguments)}/steps"
        receipt = bank.request("POST", path, body={"steps": [said]}, query=query).value(bank.name)
    show(arguments, receipt, receipt["status"])
    return 0


def steps(arguments: argparse.Namespace) -> int:
    """Show what was done, from the first step."""
    found: list[dict[str, object]] = []
    after: int | None = 0
    with open_bank(arguments) as bank:
        while after is not None and len(found) < arguments.limit:
            query = {"after": after, "limit": min(200, arguments.limit - len(found))}
            page = bank.request("GET", f"{_path(arguments)}/steps", query=query).value(bank.name)
            found += page["steps"]
            after = page["next_after"]
    text = table(found, _STEPS, nothing="nothing done")
    show(arguments, {"steps": found, "total": page["total"]}, text)
    return 0


def end(arguments: argparse.Namespace) -> int:
    """Complete or abandon an episode: whatever the action is called."""
    names = ["verdict", "reflection", "artifacts"]
    if arguments.action == "complete":
        names += ["outcome", "reward"]
    with open_bank(arguments) as bank:
        path = f"{_path(arguments)}/{arguments.action}"
        episode = bank.request("POST", path, body=given(arguments, *names)).value(bank.name)
    show(arguments, episode, f"{episode['id']} is {episode['details']['status']}")
    return 0


def checkpoint(arguments: argparse.Namespace) -> int:
    """Mark a place to go on from and print its id."""
    body = given(arguments, "reason", "note", "left", "artifacts", "handoff")
    with open_bank(arguments) as bank:
        path = f"{_path(arguments)}/checkpoints"
        made = bank.request("POST", path, body=body).value(bank.name)
    show(arguments, made, made["id"])
    return 0


def pack(arguments: argparse.Namespace) -> int:
    """Show what whoever goes on has to know."""
    with open_bank(arguments) as bank:
        found = bank.request("GET", f"{_place(arguments)}/pack").value(bank.name)
    show(arguments, found, found["text"])
    return 0


def resume(arguments: argparse.Namespace) -> int:
    """Begin an episode that goes on from a checkpoint and print its id."""
    with open_bank(arguments) as bank:
        new = bank.request("POST", f"{_place(arguments)}/resume").value(bank.name)
    show(arguments, new, new["episode"]["id"])
    return 0


def patterns(arguments: argparse.Namespace) -> int:
    """List patterns, the best first."""
    query = given(arguments, "kind", "project", "task_type", "proven", "limit")
    if "proven" in query:
        query["proven"] = "true"
    with open_bank(arguments) as bank:
        found = bank.request("GET", "/v1/patterns", query=query).value(bank.name)
    show(arguments, found, table(found["patterns"], _PATTERNS, nothing="nothing learned yet"))
    return 0


def pattern(arguments: argparse.Namespace) -> int:
    """Show a pattern, and why."""
    with open_bank(arguments) as bank:
        found = bank.request("GET", f"/v1/patterns/{_quoted(arguments.id)}").value(bank.name)
    show(arguments, found, fields(found))
    return 0


def learn(arguments: argparse.Namespace) -> int:
    """Write proven patterns down."""
    with open_bank(arguments) as bank:
        done = bank.request("POST", "/v1/heuristics/learn").value(bank.name)
    counts = ", ".join(f"{count} {name}" for name, count in done.items())
    show(arguments, done, counts)
    return 0


def recommend(arguments: argparse.Namespace) -> int:
    """Say what experience has for a task."""
    names = ("text", "task_type", "domain", "language", "framework", "project", "errors")
    body = given(arguments, *names, "max_tokens")
    with open_bank(arguments) as bank:
        said = bank.request("POST", "/v1/recommend", body=body).value(bank.name)
    show(arguments, said, said["playbook"] or "nothing known")
    return 0


def feedback(arguments: argparse.Namespace) -> int:
    """Say what a pattern was good for in an episode."""
    body = {"pattern": arguments.id, "effect": arguments.effect}
    with open_bank(arguments) as bank:
        path = f"/v1/episodes/{_quoted(arguments.episode)}/feedback"
        episode = bank.request("POST", path, body=body).value(bank.name)
    show(arguments, episode, f"counted in {episode['id']}")
    return 0


def _path(arguments: argparse.Namespace) -> str:
    return f"/v1/episodes/{_quoted(arguments.id)}"


def _place(arguments: argparse.Namespace) -> str:
    return f"{_path(arguments)}/checkpoints/{_quoted(arguments.checkpoint)}"


def _quoted(name: str) -> str:
    return quote(name, safe="")
