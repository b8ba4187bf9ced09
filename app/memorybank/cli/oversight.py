"""`memorybank audit list` and `usage`: who did what in a bank, and how often it was asked.

Apart from `audit verify`, which loads what it verifies with: this only asks the bank.
"""

from __future__ import annotations

import argparse

from memorybank.cli.bank import open_bank, paged
from memorybank.cli.show import show, table

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


def usage(arguments: argparse.Namespace) -> int:
    """Count a tenant's requests by endpoint."""
    query = {name: getattr(arguments, name) for name in ("tenant", "first_day", "last_day")}
    with open_bank(arguments) as bank:
        counts = bank.request("GET", "/v1/admin/usage", query=query).value(bank.name)
    said = f"{counts['requests']} requests from {counts['first_day']} to {counts['last_day']}"
    endpoints = table(counts["endpoints"], _ENDPOINTS, nothing="")
    show(arguments, counts, f"{said}\n{endpoints}".rstrip())
    return 0
