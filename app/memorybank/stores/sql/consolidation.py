"""ConsolidationStore on a SQL database."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from memorybank.domain.audit import AuditEvent, EventKind
from memorybank.domain.consolidation.rules import Fold, Job, RunStatus
from memorybank.domain.memory import Link, Memory, MemoryState, MemoryType
from memorybank.domain.times import (
    from_microseconds,
    maybe_microseconds,
    maybe_moment,
    to_microseconds,
)
from memorybank.ports import ConsolidationRun, Folded, Vector
from memorybank.stores.sql import life, rows
from memorybank.stores.sql.connection import EVERYONE, Connection, Run, Write
from memorybank.stores.sql.embeddings import VectorTable
from memorybank.stores.sql.sealing import Seal

BY = "consolidation"
"""Who changed a memory, in its history."""
_RUN = (
    "id, tenant, job, cause, started_at, status, examined, kept, archived, ended_at, error,"
    " undone_at"
)
_RUNS_KEPT = 1_000
"""Of each tenant: the better part of a year of three jobs a night."""


class ConsolidationTables:
    """See ConsolidationStore."""

    def __init__(self, vectors: VectorTable, seal: Seal, *, read: Run, write: Write) -> None:
        self._vectors = vectors
        self._seal = seal
        self._read = read
        self._write = write

    async def scan(
        self, tenant: str, types: frozenset[MemoryType], *, after: int, limit: int
    ) -> tuple[list[Memory], int | None]:
        """See ConsolidationStore."""
        wanted = sorted(types)

        def read(connection: Connection) -> tuple[list[Memory], int | None]:
            found: Sequence[rows.Row] = connection.execute(
                f"SELECT {rows.MEMORY_COLUMNS}, created_seq FROM memories"
                f" WHERE tenant = ? AND type IN ({', '.join('?' * len(wanted))}) AND state = ?"
                " AND created_seq > ? AND NOT EXISTS (SELECT 1 FROM consolidation_changes AS"
                " changes WHERE changes.created_seq = memories.created_seq AND changes.undone)"
                " ORDER BY created_seq LIMIT ?",
                (tenant, *wanted, MemoryState.LIVE.value, after, limit),
            ).fetchall()
            more = found[-1][-1] if len(found) == limit else None
            return [rows.memory_from(row, self._seal) for row in found], more

        return await self._read(tenant, read)

    async def keep_run(self, run: ConsolidationRun, *, at: datetime) -> None:
        """See ConsolidationStore."""

        def write(connection: Connection) -> None:
            _keep_run(connection, run, at)
            connection.execute(
                "DELETE FROM consolidation_runs WHERE tenant = ? AND added <= (SELECT added"
                " FROM consolidation_runs WHERE tenant = ? ORDER BY added DESC LIMIT 1 OFFSET ?)",
                (run.tenant, run.tenant, _RUNS_KEPT),
            )

        await self._write(run.tenant, write)

    async def fold(
        self, run: ConsolidationRun, fold: Fold, vector: Vector | None, *, at: datetime
    ) -> int | None:
        """See ConsolidationStore."""
        says = fold.says
        blob = None
        if says is not None and vector is not None:
            blob = rows.to_blob(vector, says, self._seal)

        def write(connection: Connection) -> int | None:
            found = [_as_read(connection, memory) for memory in fold.archived]
            sources = [row for row in found if row is not None]
            kept = None if fold.kept is None else _as_read(connection, fold.kept)
            if len(sources) < len(found) or (fold.kept is not None and kept is None):
                return None
            _keep_run(connection, run, at)  # before what refers to it
            number = connection.execute(
                "SELECT coalesce(max(number), 0) + 1 FROM consolidation_changes WHERE run = ?",
                (run.id,),
            ).get
            if kept is not None:
                revision = None if says is None else says.revision
                _note(connection, run.id, kept, number, kept=True, revision=revision)
            for memory, row in zip(fold.archived, sources, strict=True):
                linked = self._link(connection, fold, memory, at)
                _note(connection, run.id, row, number, linked=linked)
                connection.execute(
                    "UPDATE memories SET state = ?, state_changed_at = ?, state_run = ?, seq = ?"
                    " WHERE created_seq = ?",
                    (
                        MemoryState.ARCHIVED.value,
                        to_microseconds(at),
                        run.id,
                        life.next_seq(connection),
                        row,
                    ),
                )
            if says is not None:
                self._say(connection, says, vector, blob, action=run.job.value)
            return int(connection.execute("SELECT seq FROM feed").get)

        def told(seq: int | None) -> list[AuditEvent]:
            details = {"job": run.job.value, "archived": len(fold.archived)}
            event = AuditEvent(EventKind.WRITE, "consolidation.fold", run.tenant, run.id, details)
            return [] if seq is None else [event]

        return await self._write(run.tenant, write, told)

    async def consolidation_run(self, tenant: str, run_id: str) -> ConsolidationRun | None:
        """See ConsolidationStore."""

        def read(connection: Connection) -> ConsolidationRun | None:
            row = connection.execute(
                f"SELECT {_RUN} FROM consolidation_runs WHERE tenant = ? AND id = ?",
                (tenant, run_id),
            ).fetchone()
            return None if row is None else _run(row)

        return await self._read(tenant, read)

    async def consolidation_runs(
        self, tenant: str, *, limit: int, job: Job | None = None
    ) -> list[ConsolidationRun]:
        """See ConsolidationStore."""
        of_the_job = ("", ()) if job is None else (" AND job = ?", (job.value,))
        return await self._read(
            tenant,
            lambda connection: [
                _run(row)
                for row in connection.execute(
                    f"SELECT {_RUN} FROM consolidation_runs WHERE tenant = ?{of_the_job[0]}"
                    " ORDER BY added DESC LIMIT ?",
                    (tenant, *of_the_job[1], limit),
                )
            ],
        )

    async def interrupt(self, *, silent_since: datetime, at: datetime) -> int:
        """See ConsolidationStore."""

        def write(connection: Connection) -> int:
            connection.execute(
                "UPDATE consolidation_runs SET status = ?, ended_at = ?"
                " WHERE status = ? AND alive_at <= ?",
                (
                    RunStatus.INTERRUPTED.value,
                    to_microseconds(at),
                    RunStatus.RUNNING.value,
                    to_microseconds(silent_since),
                ),
            )
            return connection.changes()

        return await self._write(EVERYONE, write)

    async def last_scheduled(self, tenant: str) -> dict[Job, datetime]:
        """See ConsolidationStore."""
        return await self._read(
            tenant,
            lambda connection: {
                Job(job): from_microseconds(started)
                for job, started in connection.execute(
                    "SELECT job, max(started_at) FROM consolidation_runs"
                    " WHERE tenant = ? AND cause = 'schedule' GROUP BY job",
                    (tenant,),
                )
            },
        )

    async def failing(self) -> dict[Job, tuple[int, str]]:
        """See ConsolidationStore."""
        return await self._read(
            EVERYONE,
            lambda connection: {
                Job(job): (int(tenants), str(error or ""))
                for job, tenants, error in connection.execute(
                    "SELECT job, count(*), max(error) FROM consolidation_runs AS runs"
                    " WHERE status = ? AND NOT EXISTS (SELECT 1 FROM consolidation_runs AS later"
                    " WHERE later.tenant = runs.tenant AND later.job = runs.job"
                    " AND later.added > runs.added AND later.status <> ?) GROUP BY job",
                    (RunStatus.FAILED.value, RunStatus.RUNNING.value),
                )
            },
        )

    async def folds(self, tenant: str, run_id: str, *, limit: int) -> list[Folded]:
        """See ConsolidationStore."""

        def read(connection: Connection) -> list[Folded]:
            found: Sequence[rows.Row] = connection.execute(
                "SELECT number, max(CASE WHEN changes.kept THEN memories.id END),"
                " max(changes.revision) FROM consolidation_changes AS changes"
                " JOIN consolidation_runs AS runs ON runs.id = changes.run"
                " JOIN memories ON memories.created_seq = changes.created_seq"
                " WHERE runs.tenant = ? AND runs.id = ? AND NOT changes.undone"
                " GROUP BY number ORDER BY number DESC LIMIT ?",
                (tenant, run_id, limit),
            ).fetchall()
            return [Folded(*row) for row in found]

        return await self._read(tenant, read)

    async def unfold(
        self,
        tenant: str,
        run_id: str,
        folded: Folded,
        *,
        says: Memory | None,
        vector: Vector | None,
        at: datetime,
    ) -> tuple[int, int, int] | None:
        """See ConsolidationStore."""
        blob = None
        if says is not None and vector is not None:
            blob = rows.to_blob(vector, says, self._seal)
        step = (run_id, folded.number)

        def write(connection: Connection) -> tuple[int, int, int] | None:
            if says is not None and not _is_at(connection, says, says.revision - 1):
                return None
            found: Sequence[rows.Row] = connection.execute(
                "SELECT created_seq, linked, changes.state, changes.state_changed_at,"
                " changes.state_run, memories.state_run FROM consolidation_changes AS changes"
                " JOIN memories USING (created_seq)"
                " WHERE run = ? AND number = ? AND NOT kept AND NOT undone",
                step,
            ).fetchall()
            moment, restored = to_microseconds(at), 0
            for created_seq, linked, *before, state_run in found:
                self._unlink(connection, folded, created_seq, linked)
                if state_run == run_id:
                    restored += 1
                    connection.execute(
                        "UPDATE memories SET (state, state_changed_at, state_run) = (?, ?, ?),"
                        f" seq = ?, accessed_at = {life.LATER_ACCESS} WHERE created_seq = ?",
                        (*before, life.next_seq(connection), moment, moment, created_seq),
                    )
            if says is not None:
                self._say(connection, says, vector, blob, action="consolidation.undo")
            connection.execute(
                "UPDATE consolidation_changes SET undone = true WHERE run = ? AND number = ?", step
            )
            revised = folded.revision is not None
            put_back = restored + (says is not None)
            left = len(found) - restored + (revised and says is None)
            return put_back, left, int(connection.execute("SELECT seq FROM feed").get)

        def told(answer: tuple[int, int, int] | None) -> list[AuditEvent]:
            if answer is None:
                return []
            details = {"restored": answer[0], "left": answer[1]}
            return [AuditEvent(EventKind.WRITE, "consolidation.undo", tenant, run_id, details)]

        return await self._write(tenant, write, told)

    def _say(
        self,
        connection: Connection,
        memory: Memory,
        vector: Vector | None,
        blob: bytes | None,
        *,
        action: str,
    ) -> None:
        row = life.revise(connection, memory, self._seal, by=BY, action=action)
        if row is not None and vector is not None and blob is not None:
            self._vectors.replace(connection, row, vector, blob)

    def _link(self, connection: Connection, fold: Fold, memory: Memory, at: datetime) -> str | None:
        """Link a memory that is archived to the one that stands for it; None for no new link."""
        if fold.kept is None or fold.link is None:
            return None
        edge = Link(fold.kept.id, memory.id, fold.link, at)
        return fold.link.value if life.link(connection, memory.tenant, edge) else None

    def _unlink(
        self, connection: Connection, folded: Folded, target: int, linked: str | None
    ) -> None:
        if linked is not None:
            connection.execute(
                "DELETE FROM links WHERE target = ? AND type = ? AND source ="
                " (SELECT created_seq FROM memories WHERE id = ? AND tenant ="
                " (SELECT tenant FROM memories WHERE created_seq = ?))",
                (target, linked, folded.kept, target),
            )


def _as_read(connection: Connection, memory: Memory) -> int | None:
    """Return the row of a memory that is as it was read and that nobody protects."""
    row = connection.execute(
        "SELECT created_seq FROM memories WHERE tenant = ? AND id = ? AND revision = ?"
        " AND state = ? AND NOT pinned AND NOT legal_hold",
        (memory.tenant, memory.id, memory.revision, MemoryState.LIVE.value),
    ).fetchone()
    return None if row is None else int(row[0])


def _is_at(connection: Connection, memory: Memory, revision: int) -> bool:
    found = connection.execute(
        "SELECT 1 FROM memories WHERE tenant = ? AND id = ? AND revision = ? AND state <> ?",
        (memory.tenant, memory.id, revision, MemoryState.TRASH.value),
    ).fetchone()
    return found is not None


def _note(
    connection: Connection,
    run_id: str,
    row: int,
    number: int,
    *,
    kept: bool = False,
    revision: int | None = None,
    linked: str | None = None,
) -> None:
    """Write down how a memory is before a step."""
    connection.execute(
        "INSERT INTO consolidation_changes"
        " (run, created_seq, number, kept, revision, linked, state, state_changed_at, state_run)"
        " SELECT ?, created_seq, ?, ?, ?, ?, state, state_changed_at, state_run FROM memories"
        " WHERE created_seq = ?",
        (run_id, number, kept, revision, linked, row),
    )


def _keep_run(connection: Connection, run: ConsolidationRun, at: datetime) -> None:
    values = (
        run.status.value,
        run.examined,
        run.kept,
        run.archived,
        maybe_microseconds(run.ended_at),
        run.error,
        maybe_microseconds(run.undone_at),
        to_microseconds(at),
    )
    connection.execute(
        "INSERT INTO consolidation_runs (id, tenant, job, cause, started_at, status, examined,"
        " kept, archived, ended_at, error, undone_at, alive_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET"
        " status = excluded.status, examined = excluded.examined, kept = excluded.kept,"
        " archived = excluded.archived, ended_at = excluded.ended_at, error = excluded.error,"
        " undone_at = excluded.undone_at, alive_at = excluded.alive_at",
        (run.id, run.tenant, run.job.value, run.cause, to_microseconds(run.started_at), *values),
    )


def _run(row: Any) -> ConsolidationRun:
    return ConsolidationRun(
        id=row[0],
        tenant=row[1],
        job=Job(row[2]),
        cause=row[3],
        started_at=from_microseconds(row[4]),
        status=RunStatus(row[5]),
        examined=row[6],
        kept=row[7],
        archived=row[8],
        ended_at=maybe_moment(row[9]),
        error=row[10],
        undone_at=maybe_moment(row[11]),
    )
