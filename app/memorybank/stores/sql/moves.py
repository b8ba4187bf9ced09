"""What a bank knows of being moved to another database: one row, at either end (ADR 92).

Whoever writes asks it first, within the transaction, and whoever opens the bank does. So a bank
that is copied takes no write that the copy would miss, one that left takes none at all, and one
that has not wholly arrived is not served.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from memorybank.errors import ConfigurationError, Conflict, StoreUnavailable
from memorybank.stores.sql.connection import Connection

GATE_SECONDS = 30
"""How long a gate stays closed that nobody closes again, as after the sudden death of who did."""
_GATE_MICROSECONDS = GATE_SECONDS * 1_000_000


class Stage(StrEnum):
    """How far a move is, at one end of it."""

    COPYING = "copying"
    GATED = "gated"
    MOVED = "moved"
    FILLING = "filling"
    WHOLE = "whole"


_REFUSED = {
    Stage.GATED: (
        "the bank is being moved to another database and takes no writes meanwhile",
        "try again in a few seconds",
    ),
    Stage.MOVED: (
        "the bank was moved to another database and is kept here no more",
        "ask the service on that database; `memorybank move` also brings a bank back",
    ),
    Stage.FILLING: (
        "a move into this database has not ended: not all of the bank is here",
        "run the same `memorybank move` again until it says that the bank was moved",
    ),
}
"""Why a bank is not written, and what to do."""


@dataclass(frozen=True, slots=True)
class Mark:
    """A move, as one end of it knows it."""

    move: str
    stage: Stage


def read(connection: Connection) -> Mark | None:
    """Return what is known; None for a bank that was never moved."""
    row = connection.execute("SELECT move, state FROM moves").fetchone()
    return None if row is None else Mark(row[0], Stage(row[1]))


def note(connection: Connection, mark: Mark, run: str) -> None:
    """Let a run of the command go on with a move at this end, in place of whatever was known.

    From now on the statements of other runs find nothing.
    """
    connection.execute(
        "INSERT INTO moves (id, move, run, state) VALUES (1, ?, ?, ?) ON CONFLICT (id) DO UPDATE"
        " SET move = excluded.move, run = excluded.run, state = excluded.state, gated_until = NULL",
        (mark.move, run, mark.stage.value),
    )


def require_run(connection: Connection, run: str) -> None:
    """Raise Conflict when another run of the command goes on with the move at this end."""
    if connection.execute("SELECT 1 FROM moves WHERE run = ?", (run,)).fetchone() is None:
        raise Conflict(
            "another run of the command has taken over this move", hint="let that one end"
        )


def close(connection: Connection, run: str, *, now: str) -> None:
    """Close the gate. Raises Conflict. `now` is the time of the database; see Dialect."""
    require_run(connection, run)
    connection.execute(
        f"UPDATE moves SET state = ?, gated_until = {now} + ? WHERE state = ?",
        (Stage.GATED.value, _GATE_MICROSECONDS, Stage.COPYING.value),
    )


def keep_closed(connection: Connection, run: str, *, now: str) -> None:
    """Keep a gate closed that is."""
    connection.execute(
        f"UPDATE moves SET gated_until = {now} + ? WHERE run = ? AND state = ?",
        (_GATE_MICROSECONDS, run, Stage.GATED.value),
    )


def advance(connection: Connection, run: str, before: Stage, after: Stage) -> bool:
    """Go on to the next stage; False when the move is not at the one before."""
    connection.execute(
        "UPDATE moves SET state = ?, gated_until = NULL WHERE run = ? AND state = ?",
        (after.value, run, before.value),
    )
    return connection.changes() == 1


def admit(connection: Connection, *, now: str) -> None:
    """Return when the bank takes writes, for as long as the transaction lasts, which writes itself.

    A gate that ran out is opened by this, so that who closed it cannot believe that it held. Raises
    StoreUnavailable.
    """
    stage, ran_out = _stage(connection, now)
    if ran_out:
        connection.execute(
            "UPDATE moves SET state = ?, gated_until = NULL WHERE state = ?",
            (Stage.COPYING.value, Stage.GATED.value),
        )
    elif stage in _REFUSED:
        message, hint = _REFUSED[stage]
        raise StoreUnavailable(message, hint=hint)


def require_served(connection: Connection, *, now: str) -> None:
    """Raise ConfigurationError where no service may start, StoreUnavailable where one may soon."""
    stage, ran_out = _stage(connection, now)
    if stage not in _REFUSED or ran_out:
        return
    message, hint = _REFUSED[stage]
    if stage is Stage.GATED:
        raise StoreUnavailable(message, hint=hint)
    raise ConfigurationError(message, field="database", hint=hint)


def _stage(connection: Connection, now: str) -> tuple[Stage | None, bool]:
    """Return how far a move is, and whether that is a gate that ran out."""
    row = connection.execute(f"SELECT state, gated_until < {now} FROM moves").fetchone()
    return (None, False) if row is None else (Stage(row[0]), bool(row[1]))
