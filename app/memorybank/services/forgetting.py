"""The forgetting job: runs, on a schedule or when asked, what domain/forgetting.py says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from memorybank.auth.principal import Principal
from memorybank.domain.forgetting import Policy, Step, Vitals, foreseen, steps
from memorybank.domain.ids import new_id
from memorybank.domain.keys import Scope
from memorybank.domain.memory import MemoryState
from memorybank.errors import Conflict, MemoryBankError, NotFound
from memorybank.ports import BankStats, ForgettingRun, ForgettingStore
from memorybank.services.leadership import Leadership
from memorybank.services.ledger import Ledger
from memorybank.services.steady import SteadyClock
from memorybank.services.timing import Timed
from memorybank.services.touches import Touches

_READ_AT_ONCE = 5_000
_TAKEN_AT_ONCE = 250
"""Steps per transaction: some 10 ms, which other writers wait."""
_LOOK_SECONDS = 600.0
"""How often to look whether a run is due, at most; the clock is kept as often as that."""
MAX_SHOWN = 1_000
"""Memories that an answer tells of one by one; how many there are in all is always said."""

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a run did, or would do."""

    run: ForgettingRun
    dry_run: bool
    taken: list[tuple[str, Step]]
    """The first MAX_SHOWN memories, in order of creation."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """What will have become of memories by a day, if nobody uses them."""

    days: int
    at: datetime
    changed: list[tuple[str, MemoryState | None]]
    """The first MAX_SHOWN that will be in another state than now; None for purged."""
    counts: dict[MemoryState | None, int]
    """How many will get into which state, of those that change."""


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the job runs."""

    policy: Policy
    last_run: datetime | None
    next_run: datetime | None
    """None when forgetting is switched off."""
    running: bool
    now: datetime


class Forgetting:
    """Forgets by a policy; one run at a time in the whole process.

    Of several processes that share a store, the one that leads follows the schedule.
    """

    def __init__(
        self,
        store: ForgettingStore,
        ledger: Ledger,
        touches: Touches,
        clock: SteadyClock,
        policy: Policy,
        *,
        leadership: Leadership,
        last_run: datetime | None,
        timed: Timed,
    ) -> None:
        """`last_run` is that of the schedule, by the steady clock."""
        self._store = store
        self._ledger = ledger
        self._touches = touches
        self._clock = clock
        self._policy = policy
        self._leadership = leadership
        self._last_run = last_run
        self._timed = timed
        self._running = asyncio.Lock()

    def use_policy(self, policy: Policy) -> None:
        """Forget by this policy, from the next run on."""
        self._policy = policy

    async def run(self, caller: Principal, *, dry_run: bool = False) -> Outcome:
        """Run the job once on the caller's memories. Raises Conflict while another run is on."""
        caller.require(Scope.READ if dry_run else Scope.ADMIN)
        self._refuse_a_second()
        async with self._running:
            return await self._run(
                caller.tenant, cause=caller.key_id, dry_run=dry_run or self._policy.dry_run
            )

    async def undo(self, caller: Principal, run_id: str) -> int:
        """Put back what a run archived and moved to the trash; return how many memories.

        What somebody has moved since stays where it is, and what was purged is gone. Raises
        NotFound, and Conflict when it is undone already.
        """
        caller.require(Scope.ADMIN)
        async with self._running:
            undone = await self._store.undo(caller.tenant, run_id, at=self._clock.stamp())
        if undone is None:
            known = await self._store.forgetting_runs(caller.tenant, limit=MAX_SHOWN)
            if any(run.id == run_id for run in known):
                raise Conflict("the run is undone already", field="id", hint="list the runs")
            raise NotFound("there is no run of this id", field="id", hint="list the runs")
        count, seq = undone
        self._ledger.acknowledge(seq)
        return count

    async def runs(self, caller: Principal, *, limit: int) -> list[ForgettingRun]:
        """Return the newest runs that changed something, newest first."""
        caller.require(Scope.READ)
        return await self._store.forgetting_runs(caller.tenant, limit=limit)

    async def preview(self, caller: Principal, days: Sequence[int]) -> list[Forecast]:
        """Return what the schedule will have done by so many days from now."""
        caller.require(Scope.READ)
        await self._touches.flush()
        now = self._clock.now()
        first = max(self._next_run(now), now)
        ordered = sorted(set(days))
        found = [Forecast(day, now + timedelta(days=day), [], {}) for day in ordered]
        horizons = [forecast.at for forecast in found]
        async for page in self._all(caller.tenant):
            for vitals in page:
                states = foreseen(vitals, self._policy, first_run=first, horizons=horizons)
                for forecast, state in zip(found, states, strict=True):
                    _count(forecast, vitals, state)
        return found

    async def schedule(self, caller: Principal) -> Schedule:
        """Return when the job ran and runs."""
        caller.require(Scope.READ)
        await self._read_last_run()
        now = self._clock.now()
        return Schedule(
            policy=self._policy,
            last_run=self._last_run,
            next_run=max(self._next_run(now), now) if self._policy.enabled else None,
            running=self._running.locked(),
            now=now,
        )

    async def empty_trash(self, caller: Principal) -> int:
        """Purge all that is in the trash and not on legal hold; return how many."""
        caller.require(Scope.DELETE)
        return await self._empty(caller.tenant, cause=caller.key_id)

    async def stats(self, caller: Principal) -> BankStats:
        """Return what the tenant holds."""
        caller.require(Scope.READ)
        return await self._store.bank_stats(caller.tenant)

    async def follow_schedule(self) -> None:
        """Run the job whenever it is due, until cancelled.

        A run that was due while the service was not running is made up for at once, and once only.
        """
        if self._last_run is None:
            self._last_run = self._clock.now()
        try:
            while True:
                await self._leadership.gained()
                try:
                    await self._run_if_due()
                except MemoryBankError as error:  # the store is not there now
                    _logger.warning("forgetting must wait: %s", error.message)
                await asyncio.sleep(self._seconds_to_wait())
        finally:
            await self._keep_clock()

    async def _run_if_due(self) -> None:
        await self._read_last_run()
        now = self._clock.now()
        if self._policy.enabled and now >= self._next_run(now):
            async with self._running:
                for tenant in await self._store.tenants_with_memories():
                    if not self._leadership.leads:
                        return  # whoever does finds the run due, and what is left of it
                    await self._run_and_log(tenant)
            self._last_run = now
        await self._keep_clock()

    async def _read_last_run(self) -> None:
        """Another process may have led since."""
        reading = await self._store.read_clock()
        if reading is not None and reading.job_ran_at is not None:
            self._last_run = reading.job_ran_at

    async def _run_and_log(self, tenant: str) -> None:
        try:
            outcome = await self._run(tenant, cause="schedule", dry_run=self._policy.dry_run)
        except MemoryBankError as error:  # the next run does what this one could not
            _logger.warning("forgetting failed: %s", error.message)
            return
        run = outcome.run
        _logger.info(
            "forgetting ran",
            extra={
                "details": {
                    "dry_run": outcome.dry_run,
                    "archived": run.archived,
                    "trashed": run.trashed,
                    "purged": run.purged,
                }
            },
        )

    async def _keep_clock(self) -> None:
        if not self._leadership.leads:
            return
        try:
            await self._store.keep_clock(self._clock.reading(job_ran_at=self._last_run))
        except MemoryBankError as error:
            _logger.warning("the clock of grace periods could not be kept: %s", error.message)

    def _seconds_to_wait(self) -> float:
        if not self._policy.enabled:
            return _LOOK_SECONDS
        now = self._clock.now()
        return min(max((self._next_run(now) - now).total_seconds(), 1.0), _LOOK_SECONDS)

    def _next_run(self, now: datetime) -> datetime:
        return (self._last_run or now) + self._policy.interval

    def _refuse_a_second(self) -> None:
        if self._running.locked():
            raise Conflict(
                "a forgetting run is under way", hint="wait until it has ended, then try again"
            )

    async def _run(self, tenant: str, *, cause: str, dry_run: bool) -> Outcome:
        await self._touches.flush()
        now = self._clock.now()
        run = ForgettingRun(new_id(), tenant, self._clock.stamp(), cause)
        taken: list[tuple[str, Step]] = []
        with self._timed("forgetting_run"):
            async for page in self._all(tenant):
                due = steps(page, self._policy, now)
                taken += [(vitals.memory_id, step) for vitals, step in due][
                    : MAX_SHOWN - len(taken)
                ]
                run = await self._take(run, due, dry_run=dry_run)
        return Outcome(run, dry_run, taken)

    async def _take(
        self, run: ForgettingRun, due: list[tuple[Vitals, Step]], *, dry_run: bool
    ) -> ForgettingRun:
        for start in range(0, len(due), _TAKEN_AT_ONCE):
            part = due[start : start + _TAKEN_AT_ONCE]
            if dry_run:
                counts = {step: sum(each is step for _, each in part) for step in Step}
            else:
                counts, seq = await self._store.take(run, part)
                self._ledger.acknowledge(seq)
            run = replace(
                run,
                archived=run.archived + counts[Step.ARCHIVE],
                trashed=run.trashed + counts[Step.TRASH],
                purged=run.purged + counts[Step.PURGE],
            )
        return run

    async def _empty(self, tenant: str, *, cause: str) -> int:
        run = ForgettingRun(new_id(), tenant, self._clock.stamp(), cause)
        async with self._running:
            async for page in self._all(tenant):
                in_trash = [
                    (vitals, Step.PURGE) for vitals in page if vitals.state is MemoryState.TRASH
                ]
                run = await self._take(run, in_trash, dry_run=False)
        return run.purged

    async def _all(self, tenant: str) -> AsyncIterator[list[Vitals]]:
        after: int | None = 0
        while after is not None:
            page, after = await self._store.vitals(tenant, after=after, limit=_READ_AT_ONCE)
            yield page


def _count(forecast: Forecast, vitals: Vitals, state: MemoryState | None) -> None:
    if state is vitals.state:
        return
    forecast.counts[state] = forecast.counts.get(state, 0) + 1
    if len(forecast.changed) < MAX_SHOWN:
        forecast.changed.append((vitals.memory_id, state))
