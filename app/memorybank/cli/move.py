"""`memorybank move`: a whole bank from SQLite to PostgreSQL, or back, while it is served."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from memorybank.cli.census import Steps, counted, listed, told_broken
from memorybank.cli.show import show
from memorybank.configuration import read_url
from memorybank.errors import InvalidRequest
from memorybank.settings import DATABASE_NAME, PREFIX

if TYPE_CHECKING:
    from memorybank.stores.postgres.connection import Server
    from memorybank.stores.sql.moving import End, Outcome

_URL_VARIABLE = f"{PREFIX}DATABASE_URL"
_CONNECT_SECONDS = 30
_STATEMENT_SECONDS = 600
"""A page takes milliseconds, an index that is built as a statement may take minutes."""


def move(arguments: argparse.Namespace) -> int:
    """Move the bank, or go on with that; return when it is whole at the target."""
    from memorybank.stores.sql.moving import Mover

    began = time.monotonic()
    with ExitStack() as stack:
        source, target = _ends(arguments, stack)
        watcher = Steps()
        try:
            outcome = Mover(source, target, watcher).run()
        finally:
            watcher.over()
    _show(arguments, source, target, outcome, seconds=time.monotonic() - began)
    return 0


def _ends(arguments: argparse.Namespace, stack: ExitStack) -> tuple[End, End]:
    """Open the source first: what is wrong there is told before a target is made."""
    # Loaded here: the driver is of use to nobody else on the command line.
    from memorybank.stores.postgres import moving as postgres
    from memorybank.stores.sqlite import moving as sqlite

    server = _server(arguments.url_file)
    data: Path = arguments.data
    file = data if data.is_file() else data / DATABASE_NAME
    if arguments.direction == "to-postgres":
        return stack.enter_context(sqlite.source(file)), stack.enter_context(
            postgres.target(server)
        )
    return stack.enter_context(postgres.source(server)), stack.enter_context(sqlite.target(file))


def _server(url_file: Path | None) -> Server:
    from memorybank.stores.postgres.connection import Server

    return Server(
        _url(url_file), connect_seconds=_CONNECT_SECONDS, statement_seconds=_STATEMENT_SECONDS
    )


def _url(url_file: Path | None) -> Callable[[], str]:
    if url_file is not None:
        return partial(read_url, url_file)
    value = os.environ.get(_URL_VARIABLE)
    if not value:
        raise InvalidRequest(
            "there is no address of the PostgreSQL database",
            field="url-file",
            hint=f"name a file that holds it by --url-file, or set {_URL_VARIABLE}",
        )
    return lambda: value


def _show(
    arguments: argparse.Namespace, source: End, target: End, outcome: Outcome, *, seconds: float
) -> None:
    report: dict[str, Any] = {
        "move": outcome.move,
        "source": source.name,
        "target": target.name,
        "seconds": round(seconds, 1),
        "passes": outcome.passes,
        "seconds_without_writes": round(outcome.gated_seconds, 1),
        "tenants": [] if outcome.census is None else counted(outcome.census),
        "broken_audit_logs": list(outcome.broken_logs),
    }
    said = f"the bank was moved from {source.name} to {target.name}"
    if outcome.census is None:
        said += "; all of it had been compared before"
    else:
        said += (
            f" in {seconds:,.1f} s; for {outcome.gated_seconds:,.1f} s of them it took no writes\n"
            + listed(report["tenants"])
        )
    show(arguments, report, "\n".join([said, *told_broken(outcome.broken_logs)]))
