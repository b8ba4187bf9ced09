"""`memorybank audit list`, `audit export` and `usage`: who did what in a bank, and how often.

Apart from `audit verify`, which loads what it verifies with: this only asks the bank.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from memorybank.cli.bank import open_bank, paged
from memorybank.cli.show import show, table
from memorybank.cli.transfer import appearing

_RECORDS = ("seq", "at", "actor", "action", "target")
_ENDPOINTS = ("endpoint", "requests", "refused", "failed")


def audit(arguments: argparse.Namespace) -> int:
    """List the records of an audit log, newest first, up to a limit."""
    query = {name: getattr(arguments, name) for name in ("tenant", "action_is", "actor")}
    query["action"] = query.pop("action_is")
    with open_bank(arguments) as bank:
        found, total = paged(bank, "/v1/admin/audit", "records", query=query, limit=arguments.limit)
    text = table(found, _RECORDS, nothing="no records")
    if len(found) < total:
        text += f"\n{len(found)} of {total}; --limit shows more"
    show(arguments, {"records": found, "total": total}, text)
    return 0


def export(arguments: argparse.Namespace) -> int:
    """Write a whole log into a file that appears when it is whole, or to standard output."""
    query = {"tenant": arguments.tenant}
    with open_bank(arguments) as bank:
        pieces = bank.fetch("/v1/admin/audit/export", query=query)
        if arguments.file == "-":
            _copied(pieces, sys.stdout.buffer)
            return 0
        target = Path(arguments.file)
        with appearing(target) as file:
            lines = _copied(pieces, file)
    records = lines - 1  # the first line is the header
    text = f"{records:,} records exported; check them with: memorybank audit verify {target}"
    show(arguments, {"file": str(target), "records": records}, text)
    return 0


def _copied(pieces: Iterable[bytes], target: IO[bytes]) -> int:
    """Return how many lines were copied."""
    lines = 0
    for piece in pieces:
        lines += piece.count(b"\n")
        target.write(piece)
    return lines


def usage(arguments: argparse.Namespace) -> int:
    """Count a tenant's requests by endpoint."""
    query = {name: getattr(arguments, name) for name in ("tenant", "first_day", "last_day")}
    with open_bank(arguments) as bank:
        counts = bank.request("GET", "/v1/admin/usage", query=query).value(bank.name)
    said = f"{counts['requests']} requests from {counts['first_day']} to {counts['last_day']}"
    endpoints = table(counts["endpoints"], _ENDPOINTS, nothing="")
    show(arguments, counts, f"{said}\n{endpoints}".rstrip())
    return 0
