"""The forgetting job on a real store, with a clock that the test turns."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from memorybank.auth.principal import Principal
from memorybank.domain.forgetting import Policy, Step
from memorybank.domain.keys import Role, Scope
from memorybank.domain.memory import Memory, MemoryFilter, MemoryState, MemoryType
from memorybank.errors import Conflict, Forbidden, NotFound
from memorybank.ports import ClockReading
from memorybank.schemas.memories import MemoryPatch, NewMemory
from memorybank.schemas.search import SearchRequest
from memorybank.server.engine import Engine
from memorybank.services.forgetting import Forgetting
from memorybank.services.leadership import Leadership
from memorybank.services.memories import MemoryService
from memorybank.services.steady import LONGEST_PAUSE, SteadyClock
from memorybank.services.timing import untimed
from memorybank.settings import Settings
from tests.support.memory_samples import NOON, a_memory, a_vector
from tests.support.service import open_engine

OWNER = Principal("acme", "k", frozenset(Scope))
READER = Principal("acme", "r", Role.READONLY.scopes)
OTHER = Principal("beta", "k", frozenset(Scope))
DAY = timedelta(days=1)
POLICY = Policy(enabled=True, interval=DAY, grace=10 * DAY)
EVERYTHING = MemoryFilter(states=frozenset())


class Time:
    """A machine's time, and what the kernel counts; they can be made to differ."""

    def __init__(self) -> None:
        self.wall = NOON
        self.counted = timedelta(0)

    def passes(self, span: timedelta) -> None:
        self.wall += span
        self.counted += span

    def clock(self, last: ClockReading | None = None) -> SteadyClock:
        return SteadyClock(last, wall=lambda: self.wall, elapsed=lambda: self.counted)


class Bank:
    """A service with its forgetting, on one clock."""

    def __init__(self, engine: Engine, time: Time, policy: Policy) -> None:
        self.engine = engine
        self.time = time
        self.policy = policy
        self.start(None)

    def start(self, last: ClockReading | None) -> None:
        self.clock = self.time.clock(last)
        self.memories = MemoryService(
            self.engine.store,
            self.engine.embedder,
            self.engine.index,
            seq=0,
            clock=lambda: self.time.wall,
            steady=self.clock.stamp,
        )
        self.forgetting = Forgetting(
            self.engine.store.forgetting,
            self.memories.ledger,
            self.memories.touches,
            self.clock,
            self.policy,
            leadership=Leadership(),
            last_run=None if last is None else last.job_ran_at,
            timed=untimed,
        )

    async def has(self, content: str, **fields: object) -> str:
        memory = a_memory(content, **fields)
        await self.engine.store.add(memory, a_vector(dimensions=64))
        return memory.id

    async def states(self) -> dict[str, MemoryState]:
        return {memory.id: memory.state for memory in await self.all()}

    async def all(self) -> list[Memory]:
        page = await self.engine.store.list_memories("acme", EVERYTHING, limit=1000, cursor=None)
        return page.memories


@pytest.fixture
async def bank(tmp_path: Path) -> AsyncIterator[Bank]:
    from tests.support.word_embedder import WordEmbedder

    async with open_engine(Settings(data=tmp_path), WordEmbedder()) as engine:
        yield Bank(engine, Time(), POLICY)


async def several(bank: Bank) -> list[str]:
    """Memories of all kinds: importance, type, use, age."""
    return [
        await bank.has(
            f"number {number}",
            importance=number % 5 / 4,
            type=list(MemoryType)[number % len(MemoryType)],
            access_count=number % 3 * 4,
            created_at=NOON - number * 20 * DAY,
            updated_at=NOON - number * 20 * DAY,
        )
        for number in range(40)
    ]


async def test_an_unused_memory_is_archived_trashed_and_purged_in_time(bank: Bank) -> None:
    task = await bank.has("x", type=MemoryType.TASK, importance=0.0)  # weak after one half-life
    fates = []
    for _ in range(60):
        await bank.forgetting.run(OWNER)
        fates.append((await bank.states()).get(task))
        bank.time.passes(DAY)
    assert [
        fates.index(MemoryState.ARCHIVED),
        fates.index(MemoryState.TRASH),
        fates.index(None),
    ] == [30, 40, 50]


async def test_a_thousand_runs_leave_what_one_leaves(bank: Bank) -> None:
    await several(bank)
    await bank.forgetting.run(OWNER)
    once = await bank.all()
    assert {memory.state for memory in once} == {MemoryState.LIVE, MemoryState.ARCHIVED}
    for _ in range(1_000):
        outcome = await bank.forgetting.run(OWNER)
        assert outcome.taken == []
    assert await bank.all() == once


async def test_the_preview_equals_what_then_happens(bank: Bank) -> None:
    await several(bank)
    await bank.forgetting.run(OWNER)
    forecasts = await bank.forgetting.preview(OWNER, [1, 7, 30, 60])
    now = await bank.states()
    happened: dict[int, dict[str, MemoryState | None]] = {}
    for day in range(1, 61):
        bank.time.passes(DAY)
        await bank.forgetting.run(OWNER)
        then = await bank.states()
        happened[day] = {
            memory_id: then.get(memory_id)
            for memory_id, state in now.items()
            if then.get(memory_id) is not state
        }
    assert [forecast.days for forecast in forecasts] == [1, 7, 30, 60]
    for forecast in forecasts:
        assert dict(forecast.changed) == happened[forecast.days]
        assert sum(forecast.counts.values()) == len(happened[forecast.days])
    assert None in happened[60].values(), "nothing was purged: the test shows too little"


async def test_a_dry_run_tells_what_a_run_does_and_changes_nothing(bank: Bank) -> None:
    await several(bank)
    before = await bank.all()
    told = await bank.forgetting.run(READER, dry_run=True)
    assert await bank.all() == before
    assert await bank.forgetting.runs(OWNER, limit=10) == []
    done = await bank.forgetting.run(OWNER)
    assert (told.taken, told.run.archived) == (done.taken, done.run.archived)
    assert done.run.archived == len(done.taken) > 0


async def test_a_policy_of_dry_runs_changes_nothing_whoever_asks(bank: Bank) -> None:
    await several(bank)
    bank.policy = replace(POLICY, dry_run=True)
    bank.start(None)
    before = await bank.all()
    assert (await bank.forgetting.run(OWNER)).dry_run
    assert await bank.all() == before


async def test_an_undo_restores_all_of_a_run_and_the_next_run_leaves_it(bank: Bank) -> None:
    await several(bank)
    before = await bank.states()
    archived = (await bank.forgetting.run(OWNER)).run
    assert await bank.forgetting.undo(OWNER, archived.id) == archived.archived
    assert await bank.states() == before
    assert (await bank.forgetting.run(OWNER)).taken == []
    with pytest.raises(Conflict, match="undone already"):
        await bank.forgetting.undo(OWNER, archived.id)
    [known] = await bank.forgetting.runs(OWNER, limit=10)
    assert (known.archived, known.undone_at) == (archived.archived, bank.clock.stamp())


async def test_an_undo_of_a_trashing_brings_back_the_archive(bank: Bank) -> None:
    await several(bank)
    await bank.forgetting.run(OWNER)
    before = await bank.states()
    bank.time.passes(POLICY.grace)
    run = (await bank.forgetting.run(OWNER)).run
    assert run.trashed > 0
    await bank.forgetting.undo(OWNER, run.id)
    assert await bank.states() == before


async def test_an_undo_leaves_what_somebody_has_moved_since(bank: Bank) -> None:
    memory_id = await bank.has("old", created_at=NOON, updated_at=NOON - 2_000 * DAY)
    run = (await bank.forgetting.run(OWNER)).run
    await bank.memories.life.forget(OWNER, memory_id)
    assert await bank.forgetting.undo(OWNER, run.id) == 0
    assert (await bank.states())[memory_id] is MemoryState.TRASH


async def test_a_run_is_of_one_tenant(bank: Bank) -> None:
    memory_id = await bank.has("old", tenant="acme", updated_at=NOON - 2_000 * DAY)
    assert (await bank.forgetting.run(OTHER)).taken == []
    run = (await bank.forgetting.run(OWNER)).run
    with pytest.raises(NotFound):
        await bank.forgetting.undo(OTHER, run.id)
    assert await bank.forgetting.runs(OTHER, limit=10) == []
    assert (await bank.states())[memory_id] is MemoryState.ARCHIVED


async def test_what_is_pinned_or_held_is_never_touched(bank: Bank) -> None:
    ages = {"updated_at": NOON - 3_000 * DAY, "created_at": NOON - 3_000 * DAY}
    protected = {
        await bank.has(f"{flag} {state}", state=state, state_changed_at=NOON - 3_000 * DAY, **ages,
                       **{flag: True}): state
        for flag in ("pinned", "legal_hold")
        for state in MemoryState
    }  # fmt: skip
    for _ in range(50):
        await bank.forgetting.run(OWNER)
        bank.time.passes(30 * DAY)
    assert await bank.forgetting.empty_trash(OWNER) == 0
    assert await bank.states() == protected


async def test_use_keeps_a_memory(bank: Bank) -> None:
    used = await bank.has("cats sleep", type=MemoryType.TASK, importance=0.0)
    unused = await bank.has("dogs bark", type=MemoryType.TASK, importance=0.0)
    for _ in range(20):
        bank.time.passes(10 * DAY)
        await bank.memories.get(OWNER, used)
        await bank.forgetting.run(OWNER)
    assert await bank.states() == {used: MemoryState.LIVE}, unused


async def test_what_is_used_while_a_run_is_on_is_passed_over(bank: Bank) -> None:
    memory_id = await bank.has("old", updated_at=NOON - 2_000 * DAY)
    [vitals], _ = await bank.engine.store.forgetting.vitals("acme", after=0, limit=10)
    await bank.memories.get(OWNER, memory_id)
    await bank.memories.touches.flush()
    outcome = await bank.forgetting.run(OWNER)
    taken, _seq = await bank.engine.store.forgetting.take(outcome.run, [(vitals, Step.ARCHIVE)])
    assert (outcome.taken, sum(taken.values())) == ([], 0)


async def test_archived_by_the_job_is_not_found_until_it_is_undone(bank: Bank) -> None:
    memory = await bank.memories.remember(OWNER, NewMemory(content="the parcel is in the cellar"))
    bank.time.passes(1_000 * DAY)
    run = (await bank.forgetting.run(OWNER)).run
    question = SearchRequest(query="parcel")
    assert await bank.memories.recall(OWNER, question) == []
    await bank.forgetting.undo(OWNER, run.id)
    assert [found.id for found, _ in await bank.memories.recall(OWNER, question)] == [memory.id]


async def test_a_clock_that_jumps_ahead_purges_and_archives_nothing(bank: Bank) -> None:
    kept = await bank.has("kept", updated_at=NOON)
    trashed = await bank.has("trashed", updated_at=NOON)
    await bank.memories.life.forget(OWNER, trashed)
    bank.time.wall += 3_650 * DAY  # the kernel knows better
    for _ in range(10):
        await bank.forgetting.run(OWNER)
    assert await bank.states() == {kept: MemoryState.LIVE, trashed: MemoryState.TRASH}
    bank.time.passes(POLICY.grace)
    await bank.forgetting.run(OWNER)
    assert await bank.states() == {kept: MemoryState.LIVE}


async def test_a_clock_that_is_set_back_and_forth_purges_nothing_early(bank: Bank) -> None:
    trashed = await bank.has("trashed", updated_at=NOON - 900 * DAY)
    bank.time.wall -= 365 * DAY
    await bank.memories.life.forget(OWNER, trashed)
    bank.time.wall += 365 * DAY
    await bank.forgetting.run(OWNER)
    assert await bank.states() == {trashed: MemoryState.TRASH}


async def test_a_pause_counts_for_a_week_at_most(bank: Bank) -> None:
    time = Time()
    last = time.clock().reading(job_ran_at=None)
    for pause, counted in ((3 * DAY, 3 * DAY), (300 * DAY, LONGEST_PAUSE), (-DAY, timedelta(0))):
        time.wall = NOON + pause
        assert time.clock(last).stamp() == NOON + counted
        assert time.clock(last).now() <= time.wall


@pytest.mark.parametrize("missed", [0, 1, 5])
async def test_missed_runs_are_made_up_for_once(bank: Bank, missed: int) -> None:
    await bank.has("old", type=MemoryType.TASK, importance=0.0, updated_at=NOON - 300 * DAY)
    last = ClockReading(wall=bank.time.wall, steady=bank.time.wall, job_ran_at=NOON)
    bank.time.wall += missed * DAY
    bank.start(last)
    following = asyncio.create_task(bank.forgetting.follow_schedule())
    while (reading := await bank.engine.store.forgetting.read_clock()) is None:
        pass  # each look takes its time
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    runs = await bank.forgetting.runs(OWNER, limit=10)
    assert [(run.cause, run.archived) for run in runs] == [("schedule", 1)] * bool(missed)
    assert reading.job_ran_at == NOON + missed * DAY


async def test_nothing_runs_by_itself_unless_it_is_switched_on(bank: Bank) -> None:
    bank.policy = Policy()
    bank.start(ClockReading(wall=NOON - 5 * DAY, steady=NOON - 5 * DAY, job_ran_at=NOON - 5 * DAY))
    await bank.has("old", updated_at=NOON - 3_000 * DAY)
    following = asyncio.create_task(bank.forgetting.follow_schedule())
    while await bank.engine.store.forgetting.read_clock() is None:
        pass  # each look takes its time
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)
    assert (await bank.forgetting.schedule(OWNER)).next_run is None
    assert await bank.forgetting.runs(OWNER, limit=10) == []


async def test_one_run_at_a_time(bank: Bank) -> None:
    await several(bank)
    outcomes = await asyncio.gather(
        *(bank.forgetting.run(OWNER) for _ in range(5)), return_exceptions=True
    )
    assert sum(isinstance(outcome, Conflict) for outcome in outcomes) == 4
    assert len(await bank.forgetting.runs(OWNER, limit=10)) == 1


async def test_emptying_the_trash_purges_all_of_it_and_nothing_else(bank: Bank) -> None:
    ids = [await bank.has(f"number {number}") for number in range(3)]
    for memory_id in ids[:2]:
        await bank.memories.life.forget(OWNER, memory_id)
    assert await bank.forgetting.empty_trash(OWNER) == 2
    assert await bank.states() == {ids[2]: MemoryState.LIVE}


async def test_only_administrators_forget_for_all(bank: Bank) -> None:
    writer = Principal("acme", "d", Role.DEVELOPER.scopes)
    with pytest.raises(Forbidden):
        await bank.forgetting.run(writer)
    with pytest.raises(Forbidden):
        await bank.forgetting.undo(writer, "x")
    with pytest.raises(Forbidden):
        await bank.forgetting.empty_trash(READER)


async def test_stats_tell_what_there_is(bank: Bank) -> None:
    created = [NOON - 3 * DAY, NOON - DAY, NOON]
    ids = [
        await bank.has(f"{number}", importance=number / 4, created_at=moment, pinned=number == 0)
        for number, moment in enumerate(created)
    ]
    await bank.memories.life.archive(OWNER, ids[2])
    await bank.memories.update(OWNER, ids[1], MemoryPatch(type=MemoryType.FACT))
    stats = await bank.forgetting.stats(OWNER)
    assert stats.by_state == {MemoryState.LIVE: 2, MemoryState.ARCHIVED: 1}
    assert stats.by_type == {MemoryType.NOTE: 1, MemoryType.FACT: 1}
    assert (stats.average_importance, stats.pinned) == (0.125, 1)
    assert (stats.oldest, stats.newest) == (created[0], created[1])
    nobody: datetime | None = (await bank.forgetting.stats(OTHER)).oldest
    assert nobody is None
