"""`memorybank consolidate`: have few memories made of many, look at what was done, undo it."""

from __future__ import annotations

import argparse
from typing import Any
from urllib.parse import quote

from memorybank.cli.bank import open_bank
from memorybank.cli.show import show, table

_PATH = "/v1/consolidation"
_RUNS = ("id", "job", "status", "started_at", "examined", "kept", "archived", "error")
_JOBS = ("job", "scheduled", "next_run", "last_success")


def run(arguments: argparse.Namespace) -> int:
    """Run jobs now, or see what they would do; 1 when one of them failed."""
    body: dict[str, Any] = {"dry_run": arguments.dry_run}
    if arguments.job:
        body["jobs"] = arguments.job
    with open_bank(arguments) as bank:
        report = bank.request("POST", f"{_PATH}/runs", body=body).value(bank.name)
    text = table(report["runs"], _RUNS, nothing="nothing was run")
    if report["dry_run"]:
        text = f"would be done:\n{text}"
    show(arguments, report, text)
    return int(any(each["status"] == "failed" for each in report["runs"]))


def jobs(arguments: argparse.Namespace) -> int:
    """Show the jobs, and when they run."""
    with open_bank(arguments) as bank:
        found = bank.request("GET", f"{_PATH}/jobs").value(bank.name)
    show(arguments, found, table(found["jobs"], _JOBS, nothing="no jobs"))
    return 0


def runs(arguments: argparse.Namespace) -> int:
    """List the runs, newest first."""
    with open_bank(arguments) as bank:
        query = {"limit": arguments.limit}
        found = bank.request("GET", f"{_PATH}/runs", query=query).value(bank.name)
    show(arguments, found, table(found["runs"], _RUNS, nothing="no job has run"))
    return 0


def undo(arguments: argparse.Namespace) -> int:
    """Put back what a run did."""
    path = f"{_PATH}/runs/{quote(arguments.id, safe='')}/undo"
    with open_bank(arguments) as bank:
        undone = bank.request("POST", path).value(bank.name)
    text = f"{undone['restored']} memories are as they were"
    if undone["left"]:
        text += f", {undone['left']} were changed since and stay as they are"
    show(arguments, undone, text)
    return 0
