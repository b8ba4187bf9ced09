"""The steps of episodes, in a table of their own: they come by the thousand (ADR 128)."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from memorybank.domain.audit import AuditEvent, EventKind
from memorybank.domain.memory import MemoryState, MemoryType
from memorybank.domain.times import from_microseconds, to_microseconds
from memorybank.domain.work.episodes import MAX_STEPS, Step, StepResult
from memorybank.errors import Conflict
from memorybank.ports import KeptStep, NewSteps, StepsSince
from memorybank.stores.sql import life, rows
from memorybank.stores.sql.connection import Connection, Run, Write
from memorybank.stores.sql.sealing import Seal

_INSERT = "INSERT INTO steps (created_seq, number, tenant, at, said) VALUES (?, ?, ?, ?, ?)"


class StepTables:
    """See StepStore."""

    def __init__(self, seal: Seal, *, read: Run, write: Write) -> None:
        self._seal = seal
        self._read = read
        self._write = write

    async def add_steps(self, tenant: str, batch: Sequence[NewSteps]) -> list[list[int]]:
        """See StepStore."""

        def write(connection: Connection) -> list[list[int]]:
            return [self._add(connection, tenant, each) for each in batch]

        def events(answer: list[list[int]]) -> list[AuditEvent]:
            counts: Counter[str] = Counter()
            for each, numbers in zip(batch, answer, strict=True):
                counts[each.episode] += len(numbers)
            return [
                AuditEvent(EventKind.WRITE, "episode.steps", tenant, name, {"steps": count})
                for name, count in counts.items()
                if count
            ]

        return await self._write(tenant, write, events)

    async def steps(
        self, tenant: str, episode: str, *, after: int = 0, limit: int = MAX_STEPS
    ) -> list[Step]:
        """See StepStore."""

        def read(connection: Connection) -> list[Step]:
            found = connection.execute(
                "SELECT number, steps.at, said FROM steps JOIN memories USING (created_seq)"
                " WHERE memories.tenant = ? AND id = ? AND number > ? ORDER BY number LIMIT ?",
                (tenant, episode, after, limit),
            ).fetchall()
            return [_step(tenant, episode, row, self._seal) for row in found]

        return await self._read(tenant, read)

    async def last_step(self, tenant: str, episode: str) -> int:
        """See StepStore."""

        def read(connection: Connection) -> int:
            row = life.created_seq(connection, tenant, episode)
            return 0 if row is None else _last(connection, row)

        return await self._read(tenant, read)

    async def since(self, tenant: str, after: int, *, limit: int) -> StepsSince:
        """See StepStore."""

        def read(connection: Connection) -> StepsSince:
            with connection:  # all of the same moment
                newest = int(connection.execute("SELECT seq FROM feed").get)
                found = connection.execute(
                    f"SELECT {rows.MEMORY_COLUMNS}, seq, created_seq FROM memories"
                    " WHERE tenant = ? AND type = ? AND seq > ? ORDER BY seq LIMIT ?",
                    (tenant, MemoryType.EPISODE.value, after, limit),
                ).fetchall()
                until = found[-1][-2] if len(found) == limit else newest
                gone = connection.execute(
                    "SELECT memory_id FROM deletions WHERE tenant = ? AND seq > ? AND seq <= ?",
                    (tenant, after, until),
                ).fetchall()
                told = [
                    (rows.memory_from(row, self._seal), self._of(connection, tenant, row))
                    for row in found
                ]
            return StepsSince(told, [name for (name,) in gone], until)

        return await self._read(tenant, read)

    def _of(self, connection: Connection, tenant: str, row: rows.Row) -> list[Step]:
        found = connection.execute(
            "SELECT number, at, said FROM steps WHERE created_seq = ? ORDER BY number", (row[-1],)
        ).fetchall()
        return [_step(tenant, row[1], each, self._seal) for each in found]

    def _add(self, connection: Connection, tenant: str, new: NewSteps) -> list[int]:
        row = connection.execute(
            "SELECT created_seq FROM memories WHERE tenant = ? AND id = ? AND type = ?"
            " AND state <> ?",
            (tenant, new.episode, MemoryType.EPISODE.value, MemoryState.TRASH.value),
        ).fetchone()
        if row is None:
            return []
        last = _last(connection, row[0])
        numbers: list[int] = []
        fresh: list[tuple[Any, ...]] = []
        for step in new.steps:
            number = step.number or last + 1
            if number <= last and (known := self._known(connection, tenant, new, row[0], number)):
                if known.says(step):
                    numbers.append(number)
                    continue
                raise Conflict(
                    f"the episode has another step {number}",
                    field="steps.number",
                    hint="leave the number out: the step gets the next one",
                )
            if number > MAX_STEPS:
                raise Conflict(
                    f"an episode has {MAX_STEPS:,} steps at most",
                    field="steps",
                    hint="complete it, or go on in another one from a checkpoint",
                )
            numbers.append(number)
            fresh.append(
                _row(row[0], tenant, new.episode, replace(step, number=number), self._seal)
            )
            if number <= last:  # fills a gap
                connection.execute(_INSERT, fresh.pop())
            last = max(last, number)
        connection.executemany(_INSERT, fresh)
        return numbers

    def _known(
        self, connection: Connection, tenant: str, new: NewSteps, row: int, number: int
    ) -> Step | None:
        found = connection.execute(
            "SELECT number, at, said FROM steps WHERE created_seq = ? AND number = ?", (row, number)
        ).fetchone()
        return None if found is None else _step(tenant, new.episode, found, self._seal)


def put_step(connection: Connection, kept: KeptStep, seal: Seal) -> bool | None:
    """Store a step that an import brings; False where there is one of that number, which stays,
    None where there is no such episode.
    """
    row = connection.execute(
        "SELECT created_seq FROM memories WHERE tenant = ? AND id = ? AND type = ?",
        (kept.tenant, kept.episode, MemoryType.EPISODE.value),
    ).fetchone()
    if row is None:
        return None
    connection.execute(
        f"{_INSERT} ON CONFLICT DO NOTHING",
        _row(row[0], kept.tenant, kept.episode, kept.step, seal),
    )
    return bool(connection.changes())


def kept_step(row: rows.Row, seal: Seal) -> KeptStep:
    """Return the step of a row of tenant, id, number, at, said, created_seq."""
    tenant, episode, number, at, said, position = row
    step = _step(tenant, episode, (number, at, said), seal)
    return KeptStep(tenant, episode, step, (position, number))


def _last(connection: Connection, row: int) -> int:
    found = connection.execute("SELECT max(number) FROM steps WHERE created_seq = ?", (row,)).get
    return int(found or 0)


def _row(row: int, tenant: str, episode: str, step: Step, seal: Seal) -> tuple[Any, ...]:
    said = {
        name: value
        for name in ("tool", "action", "result", "error", "latency_ms", "tokens", "observation")
        if (value := getattr(step, name)) is not None
    }
    sealed = seal.text(tenant, episode, f"step {step.number}", rows.dumped(said))
    return (row, step.number, tenant, to_microseconds(step.at), sealed)


def _step(tenant: str, episode: str, row: rows.Row, seal: Seal) -> Step:
    number, at, stored = row
    said = json.loads(seal.opened_text(tenant, episode, f"step {number}", stored))
    said["result"] = StepResult(said["result"])
    return Step(number=number, at=from_microseconds(at), **said)
