"""What every store promises about the steps of consolidation."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from memorybank.domain.consolidation.rules import Fold, Job, RunStatus
from memorybank.domain.memory import LinkType, Memory, MemoryState, MemoryType, Origin
from memorybank.ports import ConsolidationRun, Folded, MemoryStore, Move
from tests.app.stores.test_contract import STORES, Opener, opener, store
from tests.support.memory_samples import NOON, a_memory, a_vector, later

__all__ = ["STORES", "Opener", "opener", "store"]

NOTES = frozenset({MemoryType.NOTE})


def a_run(tenant: str = "acme", name: str = "run-1") -> ConsolidationRun:
    return ConsolidationRun(name, tenant, Job.MERGE_DUPLICATES, "schedule", NOON)


async def folded(store: MemoryStore) -> tuple[Memory, Memory, ConsolidationRun]:
    """Return a memory that stands for another one now, and that one, and the run."""
    kept, other = a_memory("a long text", tags=("a",)), a_memory("a text", tags=("b",))
    await store.add_many([(kept, a_vector(1.0)), (other, a_vector(0.5, 0.5))])
    says = replace(
        kept, content="another text", tags=("a", "b"), revision=2, updated_at=later(1),
        origin=Origin.IMPORT, trust=0.3,
    )  # fmt: skip
    run = replace(a_run(), kept=1, archived=1, examined=2)
    fold = Fold((other,), kept=kept, says=says, link=LinkType.DUPLICATES)
    assert await store.consolidation.fold(run, fold, a_vector(0.0, 1.0), at=later(1)) is not None
    return kept, other, run


async def there(store: MemoryStore, memory: Memory) -> Memory:
    found = await store.get(memory.tenant, memory.id)
    assert found is not None
    return found


async def test_a_step_is_done_written_down_and_told_by_the_feed(store: MemoryStore) -> None:
    kept, other, run = await folded(store)
    now, gone = await there(store, kept), await there(store, other)
    assert (now.content, now.trust, now.revision) == ("another text", 0.3, 2)
    assert (gone.state, gone.state_run) == (MemoryState.ARCHIVED, run.id)
    [link] = await store.links("acme", kept.id) or []
    assert (link.source, link.target, link.type) == (kept.id, other.id, LinkType.DUPLICATES)
    assert await store.consolidation.consolidation_runs("acme", limit=5) == [run]
    assert await store.consolidation.folds("acme", run.id, limit=5) == [Folded(1, kept.id, 2)]
    changes = {each.memory_id: each for each in await store.changes(2, limit=10)}
    assert set(changes) == {kept.id, other.id}
    vector = changes[kept.id].vector
    assert vector is not None
    assert np.allclose(vector, a_vector(0.0, 1.0))
    page = await store.history("acme", kept.id, before=None, limit=5)
    assert page is not None
    assert (page.revisions[0].replaced_by, page.revisions[0].action) == (
        "consolidation", "merge_duplicates",
    )  # fmt: skip


@pytest.mark.parametrize("what", ["pinned", "held", "moved", "revised", "deleted"])
async def test_nothing_of_a_step_is_done_when_a_memory_is_another_one(
    store: MemoryStore, what: str
) -> None:
    one, other = a_memory("one"), a_memory("other")
    await store.add_many([(one, a_vector()), (other, a_vector())])
    if what in ("pinned", "held"):
        flags = {"pinned": what == "pinned" or None, "legal_hold": what == "held" or None}
        await store.mark("acme", other.id, pinned=flags["pinned"], legal_hold=flags["legal_hold"])
    elif what == "moved":
        await store.move("acme", [Move(other.id, MemoryState.TRASH, NOON)])
    elif what == "revised":
        await store.revise([(replace(other, revision=2), None)], by="k", action="update")
    else:
        await store.delete("acme", other.id)
    for fold in (Fold((one, other)), Fold((one,), kept=other, says=replace(other, revision=2))):
        assert await store.consolidation.fold(a_run(), fold, None, at=NOON) is None
    assert (await there(store, one)).state is MemoryState.LIVE


async def test_a_step_is_undone_once_and_its_memories_are_left_out_from_then_on(
    store: MemoryStore,
) -> None:
    kept, other, run = await folded(store)
    consolidation = store.consolidation
    [step] = await consolidation.folds("acme", run.id, limit=5)
    stale = replace(kept, revision=9)
    again = replace(kept, revision=3, updated_at=later(2))
    for says, answer in ((stale, None), (again, (2, 0))):
        undone = await consolidation.unfold(
            "acme", run.id, step, says=says, vector=a_vector(1.0), at=later(2)
        )
        assert (None if undone is None else undone[:2]) == answer
    assert (await there(store, kept)).content == "a long text"
    assert (await there(store, other)).state is MemoryState.LIVE
    assert await store.links("acme", kept.id) == []
    assert await consolidation.folds("acme", run.id, limit=5) == []
    assert await consolidation.scan("acme", NOTES, after=0, limit=10) == ([], None)


async def test_what_was_moved_since_is_left(store: MemoryStore) -> None:
    _, other, run = await folded(store)
    await store.move("acme", [Move(other.id, MemoryState.TRASH, later(2))])
    [step] = await store.consolidation.folds("acme", run.id, limit=5)
    undone = await store.consolidation.unfold(
        "acme", run.id, step, says=None, vector=None, at=later(3)
    )
    assert undone is not None
    assert undone[:2] == (0, 2)
    assert (await there(store, other)).state is MemoryState.TRASH


async def test_a_job_fails_until_it_ends_otherwise(store: MemoryStore) -> None:
    consolidation, job = store.consolidation, Job.MERGE_DUPLICATES

    async def ends(name: str, status: RunStatus, tenant: str = "acme") -> None:
        error = "no model" if status is RunStatus.FAILED else None
        run = replace(a_run(tenant, name), status=status, error=error, ended_at=later(1))
        await consolidation.keep_run(run, at=later(1))

    assert await consolidation.failing() == {}
    await ends("first", RunStatus.FAILED)
    await ends("theirs", RunStatus.FAILED, "beta")
    assert await consolidation.failing() == {job: (2, "no model")}
    await consolidation.keep_run(a_run("acme", "second"), at=later(2))
    assert await consolidation.failing() == {job: (2, "no model")}, "one that runs says nothing yet"
    await ends("second", RunStatus.DONE)
    assert await consolidation.failing() == {job: (1, "no model")}
    await ends("theirs again", RunStatus.INTERRUPTED, "beta")
    assert await consolidation.failing() == {}


async def test_runs_are_of_a_tenant_and_go_with_it(store: MemoryStore) -> None:
    consolidation = store.consolidation
    for tenant in ("acme", "beta"):
        await consolidation.keep_run(a_run(tenant, tenant), at=NOON)
    assert await consolidation.consolidation_run("beta", "acme") is None
    assert [run.id for run in await consolidation.consolidation_runs("beta", limit=5)] == ["beta"]
    assert await consolidation.last_scheduled("acme") == {Job.MERGE_DUPLICATES: NOON}
    assert await consolidation.interrupt(silent_since=NOON, at=later(1)) == 2
    found = await consolidation.consolidation_run("acme", "acme")
    assert found is not None
    assert (found.status, found.ended_at) == (RunStatus.INTERRUPTED, later(1))


async def test_a_scan_goes_by_type_and_page_over_live_memories_of_a_tenant(
    store: MemoryStore,
) -> None:
    mine = [a_memory(f"number {number}") for number in range(5)]
    apart = [
        a_memory("fact", type=MemoryType.FACT), a_memory("theirs", tenant="beta"),
        a_memory("gone", state=MemoryState.ARCHIVED),
    ]  # fmt: skip
    await store.add_many([(each, a_vector()) for each in (*mine, *apart)])
    found: list[str] = []
    after: int | None = 0
    while after is not None:
        page, after = await store.consolidation.scan("acme", NOTES, after=after, limit=2)
        found += [each.id for each in page]
    assert found == [each.id for each in mine]
