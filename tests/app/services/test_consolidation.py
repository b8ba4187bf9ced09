"""The consolidation jobs on real stores: what they do, leave alone and take back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from memorybank.auth.principal import Principal
from memorybank.domain.consolidation.rules import Job, Rules, RunStatus
from memorybank.domain.keys import Role, Scope
from memorybank.domain.memory import LinkType, Memory, MemoryState, MemoryType, Origin
from memorybank.errors import Conflict, Forbidden, NotFound, StoreUnavailable
from memorybank.ports import ConsolidationRun
from memorybank.schemas.memories import MemoryPatch
from memorybank.server.engine import Engine
from memorybank.services.consolidation import Consolidation
from memorybank.services.leadership import Leadership
from memorybank.services.memories import MemoryService
from memorybank.settings import Settings
from tests.support.memory_samples import NOON, a_memory
from tests.support.service import open_engine
from tests.support.word_embedder import WordEmbedder

OWNER = Principal("acme", "k", frozenset(Scope))
READER = Principal("acme", "r", Role.READONLY.scopes)
OTHER = Principal("beta", "k", frozenset(Scope))
DAY = timedelta(days=1)
RULES = Rules(enabled=True, similarity=0.8)


class Bank:
    """A service with its consolidation, at a time that the test sets."""

    def __init__(self, engine: Engine, rules: Rules = RULES, *, alone: bool = True) -> None:
        self.engine = engine
        self.now = NOON
        self.memories = MemoryService(
            engine.store, engine.embedder, engine.index, seq=0, clock=lambda: self.now
        )
        self.ended: asyncio.Queue[ConsolidationRun] = asyncio.Queue()
        self.consolidation = Consolidation(
            engine.store,
            engine.index,
            self.memories.adding,
            self.memories.ledger,
            self.memories.touches,
            rules,
            leadership=Leadership(),
            alone=alone,
            clock=lambda: self.now,
            steady=lambda: self.now,
            heard=self.ended.put_nowait,
        )

    async def has(self, content: str, *, days: float = 0, **fields: Any) -> str:
        then = NOON - days * DAY
        memory = a_memory(content, created_at=then, updated_at=then, **fields)
        [vector] = await self.engine.embedder.embed([content])
        await self.engine.store.add(memory, vector)
        return memory.id

    async def get(self, memory_id: str, tenant: str = "acme") -> Memory:
        memory = await self.engine.store.get(tenant, memory_id)
        assert memory is not None
        return memory

    async def live(self, *ids: str) -> list[bool]:
        return [(await self.get(each)).state is MemoryState.LIVE for each in ids]

    async def run(self, job: Job) -> ConsolidationRun:
        await self.engine.index.catch_up()
        [run] = await self.consolidation.run(OWNER, [job])
        assert run.status is RunStatus.DONE, run.error
        assert await self.ended.get() == run
        return run


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Bank]:
    async with open_engine(Settings(data=tmp_path), WordEmbedder()) as engine:
        yield Bank(engine)


async def follow(bank: Bank) -> None:
    """Follow the schedule until each job has run."""
    task = asyncio.create_task(bank.consolidation.follow_schedule())
    for _ in Job:
        await bank.ended.get()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


LONG = "the gate of the shop asks the time server in Lund once a minute for its clock"
SHORT = "gate of the shop asks the time server in Lund once a minute for clock"


async def handoffs(bank: Bank) -> list[str]:
    """Three old ones and a new one."""
    told = (
        ("The login is broken.", 90, 0.9, Origin.AGENT),
        ("The login is broken. Its clock is off.", 80, 0.2, Origin.TOOL_EXTERNAL),
        ("The login works again.", 70, 0.4, Origin.AGENT),
        ("Next is the cart.", 1, 0.3, Origin.AGENT),
    )
    return [
        await bank.has(
            content,
            days=days,
            type=MemoryType.HANDOFF,
            project="shop",
            details={"with_whom": "ann", "significance": weight, "learned": f"{content} Mind it."},
            origin=origin,
            trust=origin.trust,
        )
        for content, days, weight, origin in told
    ]


async def test_old_handoffs_become_one_and_the_newest_stays(bank: Bank) -> None:
    first, second, kept, newest = await handoffs(bank)
    run = await bank.run(Job.COMPRESS_HANDOFFS)
    assert (run.examined, run.kept, run.archived) == (4, 1, 2)
    assert await bank.live(first, second, kept, newest) == [False, False, True, True]
    said = await bank.get(kept)
    assert said.content == "The login is broken.\nIts clock is off.\nThe login works again."
    assert said.details["significance"] == 0.9
    assert said.details["learned"].count("Mind it.") == 1
    assert (said.origin, said.trust) == (Origin.TOOL_EXTERNAL, Origin.TOOL_EXTERNAL.trust)
    links = await bank.memories.life.links(OWNER, kept)
    assert {(link.target, link.type) for link in links} == {
        (first, LinkType.REFERENCES), (second, LinkType.REFERENCES),
    }  # fmt: skip
    assert (await bank.run(Job.COMPRESS_HANDOFFS)).archived == 0


async def test_handoffs_of_others_are_not_mixed(bank: Bank) -> None:
    ids = [
        await bank.has("Old.", days=90 - n, type=MemoryType.HANDOFF, project=project, details=whom)
        for n, (project, whom) in enumerate(
            [("a", {}), ("b", {}), ("a", {"with_whom": "x"}), ("a", {"with_whom": "y"})] * 2
        )
    ]
    assert (await bank.run(Job.COMPRESS_HANDOFFS)).archived == 0  # each has one that is not newest
    assert all(await bank.live(*ids))


async def test_decisions_that_had_their_day_are_archived(bank: Bank) -> None:
    kind = {"type": MemoryType.DECISION}
    old = await bank.has("Tabs.", days=400, **kind)
    used = await bank.has("Spaces.", days=400, accessed_at=NOON - DAY, **kind)
    replaced = await bank.has("Two.", days=90, superseded_by="x", valid_to=NOON - 40 * DAY, **kind)
    lately = await bank.has("Four.", days=90, superseded_by="x", valid_to=NOON - DAY, **kind)
    pinned = await bank.has("Always.", days=400, pinned=True, **kind)
    held = await bank.has("Never.", days=400, legal_hold=True, **kind)
    assert (await bank.run(Job.ARCHIVE_DECISIONS)).archived == 2
    ids = (old, used, replaced, lately, pinned, held)
    assert await bank.live(*ids) == [False, True, False, True, True, True]


async def test_a_memory_that_another_one_covers_is_merged_into_it(bank: Bank) -> None:
    trusted = Origin.DIRECT_USER
    kept = await bank.has(LONG, tags=("gate",), origin=trusted, trust=trusted.trust)
    short = await bank.has(SHORT, tags=("clock",), importance=0.9, trust=0.8)
    run = await bank.run(Job.MERGE_DUPLICATES)
    assert (run.kept, run.archived) == (1, 1)
    said = await bank.get(kept)
    assert (said.content, said.tags, said.importance) == (LONG, ("gate", "clock"), 0.9)
    assert (said.origin, said.trust) == (Origin.AGENT, 0.8)
    [link] = await bank.memories.life.links(OWNER, kept)
    assert (link.source, link.target, link.type) == (kept, short, LinkType.DUPLICATES)


@pytest.mark.parametrize(
    "other",
    [
        SHORT.replace("Lund", "Malmo"),
        SHORT.replace("gate of the shop", "shop of the gate"),
        SHORT.replace("once", "never"),
        f"{SHORT} since 5 days",
        SHORT.replace("asks", "does not ask"),
    ],
)
async def test_what_says_something_else_is_left(bank: Bank, other: str) -> None:
    ids = [await bank.has(LONG), await bank.has(other)]
    assert (await bank.run(Job.MERGE_DUPLICATES)).archived == 0
    assert all(await bank.live(*ids))


@pytest.mark.parametrize(
    "fields",
    [
        {"project": "other"}, {"type": MemoryType.FACT}, {"pinned": True}, {"legal_hold": True},
        {"metadata": {"a": 1}}, {"valid_to": NOON}, {"state": MemoryState.ARCHIVED},
        {"tenant": "beta"}, {"superseded_by": "x"},
    ],
)  # fmt: skip
async def test_what_stands_apart_or_is_protected_is_not_merged(
    bank: Bank, fields: dict[str, Any]
) -> None:
    kept = await bank.has(LONG)
    other = await bank.has(SHORT, **fields)
    before = await bank.get(other, fields.get("tenant", "acme"))
    assert (await bank.run(Job.MERGE_DUPLICATES)).archived == 0
    assert await bank.live(kept) == [True]
    assert await bank.get(other, before.tenant) == before


async def test_vectors_have_a_veto(tmp_path: Path) -> None:
    async with open_engine(Settings(data=tmp_path), WordEmbedder()) as engine:
        bank = Bank(engine, Rules(similarity=1.0))
        await bank.has(LONG)
        await bank.has(SHORT)
        assert (await bank.run(Job.MERGE_DUPLICATES)).archived == 0


async def test_a_preview_changes_nothing(bank: Bank) -> None:
    ids = await handoffs(bank)
    [told] = await bank.consolidation.preview(READER, [Job.COMPRESS_HANDOFFS])
    assert (told.run.kept, told.run.archived) == (1, 2)
    assert [memory.id for memory in told.folds[0].archived] == ids[:2]
    assert all(await bank.live(*ids))
    assert await bank.consolidation.runs(READER, limit=5) == []


async def test_undo_puts_everything_back_and_it_is_not_done_again(bank: Bank) -> None:
    ids = await handoffs(bank)
    kept, short = await bank.has(LONG), await bank.has(SHORT, tags=("x",))
    old = await bank.has("Tabs.", days=400, type=MemoryType.DECISION)
    every = (*ids, kept, short, old)
    before = [await bank.get(each) for each in every]
    for job in Job:
        await bank.run(job)
    for run in await bank.consolidation.runs(OWNER, limit=5):
        undone = await bank.consolidation.undo(OWNER, run.id)
        assert (undone.left, undone.run.status) == (0, RunStatus.UNDONE)
        with pytest.raises(Conflict, match="undone already"):
            await bank.consolidation.undo(OWNER, run.id)
    for then in before:
        now = await bank.get(then.id)
        for name in ("content", "details", "tags", "importance", "origin", "trust", "state"):
            assert getattr(now, name) == getattr(then, name), name
        assert await bank.memories.life.links(OWNER, then.id) == []
    for job in Job:
        assert (await bank.run(job)).archived == 0


async def test_undo_leaves_what_was_changed_since(bank: Bank) -> None:
    first, second, kept, _ = await handoffs(bank)
    run = await bank.run(Job.COMPRESS_HANDOFFS)
    await bank.memories.update(OWNER, kept, MemoryPatch(content="By hand."))
    await bank.memories.life.restore(OWNER, first)
    undone = await bank.consolidation.undo(OWNER, run.id)
    assert (undone.restored, undone.left) == (1, 2)
    assert (await bank.get(kept)).content == "By hand."
    assert await bank.live(first, second) == [True, True]


async def test_tenants_see_and_undo_their_own_runs_only(bank: Bank) -> None:
    await handoffs(bank)
    run = await bank.run(Job.COMPRESS_HANDOFFS)
    assert await bank.consolidation.runs(OTHER, limit=5) == []
    with pytest.raises(NotFound):
        await bank.consolidation.get(OTHER, run.id)
    with pytest.raises(NotFound):
        await bank.consolidation.undo(OTHER, run.id)
    with pytest.raises(Forbidden):
        await bank.consolidation.run(READER, [Job.MERGE_DUPLICATES])


async def test_a_run_that_was_killed_is_found_and_can_be_undone(tmp_path: Path) -> None:
    async with open_engine(Settings(data=tmp_path), WordEmbedder()) as engine:
        bank = Bank(engine)
        ids = await handoffs(bank)
        run = await bank.run(Job.COMPRESS_HANDOFFS)
        killed = _as_if_killed(run)
        await engine.store.consolidation.keep_run(killed, at=NOON)
    async with open_engine(Settings(data=tmp_path), WordEmbedder()) as engine:
        bank = Bank(engine)
        await follow(bank)
        found = await bank.consolidation.get(OWNER, run.id)
        assert found.status is RunStatus.INTERRUPTED
        assert (await bank.consolidation.undo(OWNER, run.id)).restored == 3
        assert all(await bank.live(*ids))


def _as_if_killed(run: ConsolidationRun) -> ConsolidationRun:
    return replace(run, status=RunStatus.RUNNING, ended_at=None)


async def test_a_run_of_another_process_is_not_taken_for_dead(tmp_path: Path) -> None:
    async with open_engine(Settings(data=tmp_path), WordEmbedder()) as engine:
        bank = Bank(engine, alone=False)
        run = _as_if_killed(await bank.run(Job.MERGE_DUPLICATES))
        store = engine.store.consolidation
        await store.keep_run(run, at=NOON)
        assert await store.interrupt(silent_since=NOON - DAY, at=NOON) == 0
        assert await store.interrupt(silent_since=NOON, at=NOON) == 1


async def test_a_moment_that_was_missed_is_made_up_for_once(bank: Bank) -> None:
    await bank.has("Anything.")

    async def started() -> list[Job]:
        await follow(bank)
        return [run.job for run in await bank.consolidation.runs(OWNER, limit=50)]

    assert await started() == list(reversed(Job))
    bank.now += timedelta(hours=1)
    reports = await bank.consolidation.jobs(OWNER)
    assert [report.next_run for report in reports] == [NOON.replace(hour=3, minute=30) + DAY] * 3
    assert all(report.last_done is not None for report in reports)
    last = await bank.engine.store.consolidation.last_scheduled("acme")
    assert last == dict.fromkeys(Job, NOON)
    bank.now += DAY
    assert len(await started()) == 6


async def test_a_job_that_failed_is_told_until_it_ends_well(
    bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    await handoffs(bank)
    assert await bank.consolidation.trouble() is None

    async def away(*_: Any, **__: Any) -> None:
        raise StoreUnavailable("the database does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(bank.engine.store.consolidation, "fold", away)
        [run] = await bank.consolidation.run(OWNER, [Job.COMPRESS_HANDOFFS])
    assert run.status is RunStatus.FAILED
    said = "the job compress_handoffs failed when it ran last: the database does not answer"
    assert await bank.consolidation.trouble() == said
    bank.consolidation.use_rules(replace(RULES, jobs=(Job.MERGE_DUPLICATES,)))
    assert await bank.consolidation.trouble() is None, "the schedule does not run it"
    bank.consolidation.use_rules(RULES)
    anew = Bank(bank.engine)
    assert await anew.consolidation.trouble() == said, "another process knows it too"
    await bank.ended.get()
    await bank.run(Job.COMPRESS_HANDOFFS)
    assert await bank.consolidation.trouble() is None


async def test_one_run_at_a_time(bank: Bank) -> None:
    for number in range(60):
        await bank.has(f"number {number}")
    runs = await bank.consolidation.run(OWNER, [Job.MERGE_DUPLICATES], wait_seconds=0)
    with pytest.raises(Conflict):
        await bank.consolidation.run(OWNER, [Job.MERGE_DUPLICATES])
    assert (await bank.ended.get()).status is RunStatus.DONE
    assert len(runs) <= 1
