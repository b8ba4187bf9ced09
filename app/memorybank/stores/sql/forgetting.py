"""ForgettingStore on a SQL database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from memorybank.domain.audit import AuditEvent, EventKind
from memorybank.domain.forgetting import Step, Vitals
from memorybank.domain.memory import MemoryState, MemoryType
from memorybank.domain.times import (
    from_microseconds,
    maybe_microseconds,
    maybe_moment,
    to_microseconds,
)
from memorybank.ports import BankStats, ClockReading, ForgettingRun
from memorybank.stores.sql import life, rows
from memorybank.stores.sql.audit import done
from memorybank.stores.sql.connection import EVERYONE, NOBODY, Connection, Run, Write

_VITALS = (
    "id, type, importance, pinned, legal_hold, access_count, updated_at, accessed_at, state,"
    " state_changed_at, state_run, created_seq"
)
_RUN = "id, tenant, started_at, cause, archived, trashed, purged, undone_at"
_COUNTED = {Step.ARCHIVE: "archived", Step.TRASH: "trashed", Step.PURGE: "purged"}
_RUNS_KEPT = 1_000
"""Of each tenant: years of daily runs."""


class ForgettingTables:
    """See ForgettingStore."""

    def __init__(self, *, read: Run, write: Write) -> None:
        self._read = read
        self._write = write

    async def tenants_with_memories(self) -> list[str]:
        """See ForgettingStore."""

        def read(connection: Connection) -> list[str]:
            # One look into the index per tenant, however many memories each has.
            found = connection.execute(
                "WITH RECURSIVE each(tenant) AS (SELECT min(tenant) FROM memories UNION ALL"
                " SELECT (SELECT min(tenant) FROM memories WHERE memories.tenant > each.tenant)"
                " FROM each WHERE each.tenant IS NOT NULL)"
                " SELECT tenant FROM each WHERE tenant IS NOT NULL"
            )
            return [str(tenant) for (tenant,) in found]

        return await self._read(EVERYONE, read)

    async def vitals(
        self, tenant: str, *, after: int, limit: int
    ) -> tuple[list[Vitals], int | None]:
        """See ForgettingStore."""

        def read(connection: Connection) -> tuple[list[Vitals], int | None]:
            found: Sequence[rows.Row] = connection.execute(
                f"SELECT {_VITALS} FROM memories WHERE tenant || '' = ? AND created_seq > ?"
                " ORDER BY created_seq LIMIT ?",
                (tenant, after, limit),
            ).fetchall()
            more = found[-1][-1] if len(found) == limit else None
            return [_vitals(row) for row in found], more

        return await self._read(tenant, read)

    async def take(
        self, run: ForgettingRun, steps: Sequence[tuple[Vitals, Step]]
    ) -> tuple[dict[Step, int], int]:
        """See ForgettingStore."""

        def write(connection: Connection) -> tuple[dict[Step, int], int]:
            connection.execute(
                "INSERT INTO forgetting_runs (id, tenant, started_at, cause)"
                " VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING",
                (run.id, run.tenant, to_microseconds(run.started_at), run.cause),
            )
            taken = dict.fromkeys(Step, 0)
            for vitals, step in steps:
                taken[step] += _take(connection, run, vitals, step)
            for step, column in _COUNTED.items():
                connection.execute(
                    f"UPDATE forgetting_runs SET {column} = {column} + ? WHERE id = ?",
                    (taken[step], run.id),
                )
            if not any(taken.values()):
                connection.execute(
                    "DELETE FROM forgetting_runs WHERE id = ? AND archived + trashed + purged = 0",
                    (run.id,),
                )
            _forget_old_runs(connection, run.tenant)
            return taken, int(connection.execute("SELECT seq FROM feed").get)

        def told(answer: tuple[dict[Step, int], int]) -> list[AuditEvent]:
            details = {_COUNTED[step]: count for step, count in answer[0].items() if count}
            event = AuditEvent(EventKind.DELETE, "forgetting.run", run.tenant, run.id, details)
            return [event] if details else []

        return await self._write(run.tenant, write, told)

    async def forgetting_runs(self, tenant: str, *, limit: int) -> list[ForgettingRun]:
        """See ForgettingStore."""
        return await self._read(
            tenant,
            lambda connection: [
                _run(row)
                for row in connection.execute(
                    f"SELECT {_RUN} FROM forgetting_runs WHERE tenant = ?"
                    " ORDER BY added DESC LIMIT ?",
                    (tenant, limit),
                )
            ],
        )

    async def undo(self, tenant: str, run_id: str, *, at: datetime) -> tuple[int, int] | None:
        """See ForgettingStore."""
        moment = to_microseconds(at)

        def write(connection: Connection) -> tuple[int, int] | None:
            connection.execute(
                "UPDATE forgetting_runs SET undone_at = ?"
                " WHERE id = ? AND tenant = ? AND undone_at IS NULL",
                (moment, run_id, tenant),
            )
            if not connection.changes():
                return None
            changed: Sequence[rows.Row] = connection.execute(
                "SELECT created_seq, changes.state, changes.state_changed_at, changes.state_run"
                " FROM forgetting_changes AS changes JOIN memories USING (created_seq)"
                " WHERE changes.run = ? AND memories.state_run = ? AND memories.tenant = ?",
                (run_id, run_id, tenant),
            ).fetchall()
            for created_seq, *before in changed:
                connection.execute(
                    "UPDATE memories SET (state, state_changed_at, state_run) = (?, ?, ?),"
                    f" seq = ?, accessed_at = {life.LATER_ACCESS} WHERE created_seq = ?",
                    (*before, life.next_seq(connection), moment, moment, created_seq),
                )
            return len(changed), int(connection.execute("SELECT seq FROM feed").get)

        event = AuditEvent(EventKind.WRITE, "forgetting.undo", tenant, run_id)
        return await self._write(tenant, write, done(event))

    async def read_clock(self) -> ClockReading | None:
        """See ForgettingStore."""

        def read(connection: Connection) -> ClockReading | None:
            row: Any = connection.execute(
                "SELECT wall, steady, job_ran_at FROM steady_clock"
            ).fetchone()
            if row is None:
                return None
            wall, steady = map(from_microseconds, row[:2])
            return ClockReading(wall, steady, maybe_moment(row[2]))

        return await self._read(NOBODY, read)

    async def keep_clock(self, reading: ClockReading) -> None:
        """See ForgettingStore."""
        values = [
            maybe_microseconds(moment)
            for moment in (reading.wall, reading.steady, reading.job_ran_at)
        ]
        await self._write(
            NOBODY,
            lambda connection: connection.execute(
                "INSERT INTO steady_clock (id, wall, steady, job_ran_at) VALUES (1, ?, ?, ?)"
                " ON CONFLICT (id) DO UPDATE SET wall = excluded.wall, steady = excluded.steady,"
                " job_ran_at = excluded.job_ran_at",
                values,
            ),
        )

    async def bank_stats(self, tenant: str) -> BankStats:
        """See ForgettingStore."""
        live = MemoryState.LIVE.value

        def read(connection: Connection) -> BankStats:
            with connection:  # all of the same moment
                states: Any = connection.execute(
                    "SELECT state, count(*) FROM memories WHERE tenant = ? GROUP BY state",
                    (tenant,),
                ).fetchall()
                types: Any = connection.execute(
                    "SELECT type, count(*) FROM memories WHERE tenant = ? AND state = ?"
                    " GROUP BY type",
                    (tenant, live),
                ).fetchall()
                figures: Any = connection.execute(
                    "SELECT avg(importance), min(created_at), max(created_at),"
                    " count(CASE WHEN pinned THEN 1 END) FROM memories"
                    " WHERE tenant = ? AND state = ?",
                    (tenant, live),
                ).fetchone()
            average, oldest, newest, pinned = figures
            return BankStats(
                by_state={MemoryState(state): count for state, count in states},
                by_type={MemoryType(kind): count for kind, count in types},
                average_importance=average,
                oldest=maybe_moment(oldest),
                newest=maybe_moment(newest),
                pinned=pinned,
            )

        return await self._read(tenant, read)


def _take(connection: Connection, run: ForgettingRun, vitals: Vitals, step: Step) -> int:
    """Take one step, unless something has happened to the memory since; return 0 or 1."""
    row = connection.execute(
        "SELECT created_seq FROM memories WHERE tenant = ? AND id = ? AND state = ?"
        " AND state_changed_at IS NOT DISTINCT FROM ? AND updated_at = ?"
        " AND accessed_at IS NOT DISTINCT FROM ?"
        " AND NOT pinned AND NOT legal_hold",
        (
            run.tenant,
            vitals.memory_id,
            vitals.state.value,
            maybe_microseconds(vitals.state_changed_at),
            to_microseconds(vitals.updated_at),
            maybe_microseconds(vitals.accessed_at),
        ),
    ).fetchone()
    if row is None:
        return 0
    seq = life.next_seq(connection)
    if step is Step.PURGE:
        connection.execute("DELETE FROM memories WHERE created_seq = ?", row)
        connection.execute(
            "INSERT INTO deletions VALUES (?, ?, ?)", (seq, run.tenant, vitals.memory_id)
        )
        return 1
    connection.execute(
        "INSERT INTO forgetting_changes (run, created_seq, state, state_changed_at, state_run)"
        " SELECT ?, created_seq, state, state_changed_at, state_run FROM memories"
        " WHERE created_seq = ?",
        (run.id, row[0]),
    )
    state = MemoryState.ARCHIVED if step is Step.ARCHIVE else MemoryState.TRASH
    connection.execute(
        "UPDATE memories SET state = ?, state_changed_at = ?, state_run = ?, seq = ?"
        " WHERE created_seq = ?",
        (state.value, to_microseconds(run.started_at), run.id, seq, row[0]),
    )
    return 1


def _forget_old_runs(connection: Connection, tenant: str) -> None:
    connection.execute(
        "DELETE FROM forgetting_runs WHERE tenant = ? AND added <= (SELECT added"
        " FROM forgetting_runs WHERE tenant = ? ORDER BY added DESC LIMIT 1 OFFSET ?)",
        (tenant, tenant, _RUNS_KEPT),
    )


def _vitals(row: rows.Row) -> Vitals:
    return Vitals(
        memory_id=row[0],
        type=MemoryType(row[1]),
        importance=row[2],
        pinned=bool(row[3]),
        legal_hold=bool(row[4]),
        access_count=row[5],
        updated_at=from_microseconds(row[6]),
        accessed_at=maybe_moment(row[7]),
        state=MemoryState(row[8]),
        state_changed_at=maybe_moment(row[9]),
        state_run=row[10],
    )


def _run(row: rows.Row) -> ForgettingRun:
    return ForgettingRun(
        id=row[0],
        tenant=row[1],
        started_at=from_microseconds(row[2]),
        cause=row[3],
        archived=row[4],
        trashed=row[5],
        purged=row[6],
        undone_at=maybe_moment(row[7]),
    )
