"""`memorybank forget`: look at how memories are forgotten, have it done, undo it."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from memorybank.cli.bank import open_bank
from memorybank.cli.show import fields, show, table

_PATH = "/v1/forgetting"
_RUNS = ("id", "started_at", "cause", "archived", "trashed", "purged", "undone_at")
_FORECASTS = ("days", "at", "archived", "trash", "purged")


def status(arguments: argparse.Namespace) -> int:
    """Show how memories are forgotten, and when the job runs."""
    with open_bank(arguments) as bank:
        schedule = bank.request("GET", _PATH).value(bank.name)
    show(arguments, schedule, fields(schedule))
    return 0


def run(arguments: argparse.Namespace) -> int:
    """Run the job once, or see what a run does."""
    with open_bank(arguments) as bank:
        body = {"dry_run": arguments.dry_run}
        report = bank.request("POST", f"{_PATH}/run", body=body).value(bank.name)
    show(arguments, report, _reported(report))
    return 0


def preview(arguments: argparse.Namespace) -> int:
    """Show what the schedule will have done by so many days."""
    with open_bank(arguments) as bank:
        query = {"days": arguments.days}
        found = bank.request("GET", f"{_PATH}/preview", query=query).value(bank.name)
    text = table(found["forecasts"], _FORECASTS, nothing="no days")
    if not found["enabled"]:
        text += "\nthe schedule is switched off: it would do this, if it were on"
    show(arguments, found, text)
    return 0


def runs(arguments: argparse.Namespace) -> int:
    """List the runs that changed something, newest first."""
    with open_bank(arguments) as bank:
        query = {"limit": arguments.limit}
        found = bank.request("GET", f"{_PATH}/runs", query=query).value(bank.name)
    show(arguments, found, table(found["runs"], _RUNS, nothing="no run has changed anything"))
    return 0


def undo(arguments: argparse.Namespace) -> int:
    """Put back what a run archived and moved to the trash."""
    path = f"{_PATH}/runs/{quote(arguments.id, safe='')}/undo"
    with open_bank(arguments) as bank:
        undone = bank.request("POST", path).value(bank.name)
    show(arguments, undone, f"{undone['restored']} memories restored")
    return 0


def _reported(report: dict[str, Any]) -> str:
    archived, trashed, purged = report["archived"], report["trashed"], report["purged"]
    if not archived + trashed + purged:
        return "nothing to forget"
    done = f"{archived} archived, {trashed} moved to the trash, {purged} purged"
    lines = [f"would be forgotten: {done}" if report["dry_run"] else f"forgotten: {done}"]
    if archived + trashed and not report["dry_run"]:
        lines.append(f"memorybank forget undo {report['id']} puts back all but what was purged")
    steps = report["steps"]
    lines.append(table(steps, ("id", "step"), nothing=""))
    if len(steps) < archived + trashed + purged:
        lines.append(f"{len(steps)} of {archived + trashed + purged} memories")
    return "\n".join(lines)
