"""A bank with something in every table that is moved to another database, and what is in a file."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import apsw

from memorybank.domain.audit import AuditEvent, EventKind, NotedEvent
from memorybank.domain.consolidation.rules import Fold, Job
from memorybank.domain.forgetting import Step
from memorybank.domain.memory import Link, LinkType, MemoryState, MemoryType, Touch
from memorybank.domain.tenants import Quotas, Tenant
from memorybank.domain.usage import Count, Endpoint
from memorybank.domain.work.episodes import Step as EpisodeStep
from memorybank.domain.work.episodes import StepResult
from memorybank.ports import (
    Claim,
    ClockReading,
    ConsolidationRun,
    ForgettingRun,
    MemoryStore,
    Move,
    NewSteps,
)
from memorybank.settings import DATABASE_NAME
from memorybank.stores.sqlite import SqliteStore
from tests.support.memory_samples import NOON, a_key, a_memory, a_vector, later

MODEL, NEXT_MODEL = "model-1", "model-2"
TENANTS = ("acme", "beta")
ODD = "a NUL \x00, a SUBSTITUTE \x1a0, a quote ' \" \\ \\x00, a line\r\n, ü, 語, \U0001f980 { \\. }"
"""What one database or driver or the other writes in a way of its own."""


async def fill_both_spaces(folder: Path) -> None:
    """Make a bank in a folder that holds all there can be, also vectors of another model."""
    store = await SqliteStore.open(folder / DATABASE_NAME, model=MODEL, audited=EventKind)
    await fill(store)
    await store.close()
    another = await SqliteStore.open(folder / DATABASE_NAME, model=NEXT_MODEL)
    waiting = await another.embeddings.unembedded(0, limit=3, model=NEXT_MODEL)
    await another.embeddings.embedded(
        [(each, a_vector(1, 2)) for each in waiting], model=NEXT_MODEL
    )
    await another.close()


async def fill(store: MemoryStore) -> None:
    """Let a bank, opened for MODEL and with all of its audit log, come to hold all there can be."""
    for tenant in TENANTS:
        await _fill(store, tenant)
    full = Tenant("full", NOON, Quotas(max_memories=1, requests_per_minute=60, burst=7))
    await store.access.add_tenant(full)
    await store.add(a_memory("all that it may hold", tenant="full"), a_vector())
    for name in ("leaving", "gone"):
        await store.access.add_tenant(Tenant(name, NOON, Quotas()))
        await store.add(a_memory("of a tenant that is deleted", tenant=name), a_vector())
    await store.access.begin_deletion("gone")
    await store.access.finish_deletions()
    await store.access.begin_deletion("leaving")  # as a crash leaves it
    for number in range(3):
        event = NotedEvent(
            AuditEvent(EventKind.READ, "read", "acme", "GET /v1", {"odd": ODD}),
            later(number) - timedelta(days=400), "acme/key", f"request {number}",
        )  # fmt: skip
        await store.access.add_activity({}, [event])
    await store.forgetting.keep_clock(ClockReading(later(9), later(8), later(7)))


async def _fill(store: MemoryStore, tenant: str) -> None:
    access = store.access
    await access.add_tenant(Tenant(tenant, NOON, Quotas()))
    key = a_key(tenant, tenant=tenant, expires_at=later(10), bootstrap=tenant == "acme")
    await access.add_key(key)
    await access.rotate_key(
        a_key(f"{tenant}-next", tenant=tenant, rotated_from=key.id, managed=True),
        old_until=later(5),
    )
    await access.note_use({key.id: later(2)})
    kept, aged, gone, trashed, bare = (
        a_memory(
            f"{tenant} {number} {ODD}", tenant=tenant, title=ODD if number else None,
            tags=(ODD, "red"), metadata={ODD: [ODD, None, 1.5e-300, 2**53]}, importance=number / 3,
            details={"x": ODD}, project="p", session="s", valid_to=later(3),
        )
        for number in range(5)
    )  # fmt: skip
    for each in (kept, aged, gone, trashed):
        await store.add(each, a_vector(0.1, -0.7))
    await store.add_many([(bare, a_vector()[:0])])
    await store.delete(tenant, gone.id)
    await store.move(tenant, [Move(trashed.id, MemoryState.TRASH, later(4))])
    await store.mark(tenant, aged.id, pinned=None, legal_hold=True)
    await store.mark(tenant, bare.id, pinned=True, legal_hold=None)
    await store.mark(tenant, aged.id, pinned=None, legal_hold=False)
    for link in (LinkType.RELATED_TO, LinkType.CONTRADICTS):
        await store.link(tenant, Link(kept.id, bare.id, link, NOON))
    for revision in (2, 3):
        again = a_memory(f"again {revision}", tenant=tenant, id=kept.id, revision=revision)
        await store.revise([(again, a_vector(revision))], by=key.id, action="update")
    await store.touch([Touch(tenant, kept.id, 3, later(6))])
    vitals, _ = await store.forgetting.vitals(tenant, after=0, limit=10)
    run = ForgettingRun(f"run-{tenant}", tenant, later(1), "schedule")
    weak = [each for each in vitals if each.memory_id == aged.id]
    await store.forgetting.take(run, [(each, Step.ARCHIVE) for each in weak])
    claimed = a_memory(f"{tenant} claimed", tenant=tenant, type=MemoryType.EPISODE)
    claim = Claim(tenant, key.id, "once", b"\x00digest\xff", "{}", NOON)
    await store.add_claimed([(claimed, a_vector())], claim, since=NOON)
    done = [
        EpisodeStep("grep", NOON, observation=ODD, latency_ms=2**40),
        EpisodeStep("test", later(1), result=StepResult.ERROR, error="ü", action=ODD, tokens=0),
    ]
    await store.episodes.add_steps(tenant, [NewSteps(claimed.id, done)])
    consolidation = ConsolidationRun(
        f"merge-{tenant}", tenant, Job.MERGE_DUPLICATES, "schedule", later(1), error=ODD
    )
    await store.consolidation.fold(consolidation, Fold((claimed,)), None, at=later(1))
    await access.add_activity({Endpoint(tenant, "2026-03-01", "GET /v1"): Count(3, 2, 1)}, [])


def contents(database: Path) -> dict[str, list[Any]]:
    """Return all rows of all tables of a file, but for what is of this file alone."""
    with closing(apsw.Connection(str(database), flags=apsw.SQLITE_OPEN_READONLY)) as opened:
        names = opened.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT IN"
            " ('deletions', 'moves', 'schema_migrations') ORDER BY name"
        ).fetchall()
        return {
            str(name): sorted(opened.execute(f"SELECT * FROM {name}").fetchall(), key=repr)  # noqa: S608
            for (name,) in names
        }
