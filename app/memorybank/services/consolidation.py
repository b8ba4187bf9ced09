"""The consolidation jobs: run, on a schedule or when asked, what domain/consolidation says."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from memorybank.auth.principal import Principal
from memorybank.domain import cron
from memorybank.domain.consolidation.rules import Fold, Job, Rules, RunStatus
from memorybank.domain.ids import new_id
from memorybank.domain.keys import Scope
from memorybank.domain.memory import searchable_text
from memorybank.errors import Conflict, MemoryBankError, NotFound
from memorybank.ports import (
    ConsolidationRun,
    Folded,
    JobReport,
    MemoryStore,
    SearchIndex,
    Vector,
)
from memorybank.schemas.consolidation import MAX_SHOWN
from memorybank.services.adding import Adding
from memorybank.services.folding import Folding, Pace
from memorybank.services.leadership import Leadership
from memorybank.services.ledger import Ledger
from memorybank.services.life import following, saying_again
from memorybank.services.touches import Touches

SCHEDULE = "schedule"
"""The cause of the runs that nobody asked for."""
_LOOK_SECONDS = 60.0
"""How often to look whether a run is due, at most."""
_TROUBLE_HOLDS_SECONDS = 30.0
"""For how long what is known of failed jobs is told again, however many ask."""
_ALIVE_SECONDS = 15.0
_SILENT = timedelta(minutes=5)
"""After so long without a word of it a run is taken for dead by the other processes."""
_UNDONE_AT_ONCE = 50
_LOOKED_BACK = 100
"""Runs of a job among which the last one that ended well is looked for."""
_WAIT_SECONDS = 25.0
"""How long a request waits for the runs that it asked for: gateways often give up after 30."""

_logger = logging.getLogger(__name__)
Heard = Callable[[ConsolidationRun], None]


@dataclass(frozen=True, slots=True)
class Preview:
    """What a job would do now."""

    run: ConsolidationRun
    """With its counts; kept nowhere."""
    folds: list[Fold]
    """The first MAX_SHOWN."""


@dataclass(frozen=True, slots=True)
class Undone:
    """What undoing a run did."""

    run: ConsolidationRun
    restored: int
    left: int
    """Memories that somebody has changed since, which stay as they are."""


class Consolidation:
    """Makes few of many; one run at a time in the whole process.

    Of several processes that share a store, the one that leads follows the schedule.
    """

    def __init__(
        self,
        store: MemoryStore,
        index: SearchIndex,
        adding: Adding,
        ledger: Ledger,
        touches: Touches,
        rules: Rules,
        *,
        leadership: Leadership,
        alone: bool,
        clock: Callable[[], datetime],
        steady: Callable[[], datetime],
        heard: Heard = lambda _run: None,
    ) -> None:
        """`alone`: no other process has this store. `heard` is told of each run that ended."""
        self._store = store
        self._index = index
        self._adding = adding
        self._ledger = ledger
        self._touches = touches
        self._rules = rules
        self._leadership = leadership
        self._alone = alone
        self._clock = clock
        self._steady = steady
        self._heard = heard
        self._running = asyncio.Lock()
        self._tasks: set[asyncio.Task[list[ConsolidationRun]]] = set()
        self._trouble: str | None = None
        self._trouble_until = float("-inf")

    @property
    def rules(self) -> Rules:
        """What the jobs go by."""
        return self._rules

    def use_rules(self, rules: Rules) -> None:
        """Go by these rules, from the next run on."""
        self._rules = rules
        self._trouble_until = float("-inf")

    async def trouble(self) -> str | None:
        """Say which of the scheduled jobs failed when they ran last; None when none did.

        It is read from the runs that are kept, so that every process of a bank tells it, and a new
        one too. Raises StoreUnavailable.
        """
        if not self._rules.enabled:
            return None
        if time.monotonic() >= self._trouble_until:
            failing = await self._store.consolidation.failing()
            told = [_failure(job, *failing[job]) for job in self._rules.jobs if job in failing]
            self._trouble = "; ".join(told) or None
            self._trouble_until = time.monotonic() + _TROUBLE_HOLDS_SECONDS
        return self._trouble

    async def run(
        self, caller: Principal, jobs: Sequence[Job], *, wait_seconds: float = _WAIT_SECONDS
    ) -> list[ConsolidationRun]:
        """Run jobs on the caller's memories, one after the other; return their runs.

        Waits so long for them to end; they go on beyond that. Raises Conflict while others are on.
        """
        caller.require(Scope.ADMIN)
        if self._running.locked():
            raise Conflict(
                "a consolidation run is under way", hint="wait until it has ended, then try again"
            )
        begun: list[ConsolidationRun] = []
        task = asyncio.create_task(self._run_all(caller.tenant, jobs, caller.key_id, begun))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        done, _ = await asyncio.wait({task}, timeout=wait_seconds)
        if done:
            return task.result()
        return begun

    async def preview(self, caller: Principal, jobs: Sequence[Job]) -> list[Preview]:
        """Return what jobs would do now, each by itself. Nothing is changed."""
        caller.require(Scope.READ)
        await self._touches.flush()
        await self._index.catch_up(self._ledger.acknowledged)
        found: list[Preview] = []
        for job in jobs:
            run = ConsolidationRun(new_id(), caller.tenant, job, caller.key_id, self._clock())
            folding = self._folding(run)
            shown: list[Fold] = []
            async for fold in folding.folds():
                run = _with(run, fold)
                shown += [fold] if len(shown) < MAX_SHOWN else []
            run = replace(run, examined=folding.examined, ended_at=self._clock())
            found.append(Preview(replace(run, status=RunStatus.DONE), shown))
        return found

    async def jobs(self, caller: Principal) -> list[JobReport]:
        """Return all jobs, in the order in which the schedule runs them."""
        caller.require(Scope.READ)
        rules, reports = self._rules, []
        next_run = cron.next_due(rules.schedule, self._clock()) if rules.enabled else None
        for job in (*rules.jobs, *(job for job in Job if job not in rules.jobs)):
            runs = await self._store.consolidation.consolidation_runs(
                caller.tenant, limit=_LOOKED_BACK, job=job
            )
            done = next((run for run in runs if run.status is RunStatus.DONE), None)
            scheduled = rules.enabled and job in rules.jobs
            reports.append(
                JobReport(
                    job,
                    scheduled,
                    next_run if scheduled else None,
                    runs[0] if runs else None,
                    done,
                )
            )
        return reports

    async def runs(
        self, caller: Principal, *, limit: int, job: Job | None = None
    ) -> list[ConsolidationRun]:
        """Return the newest runs, newest first."""
        caller.require(Scope.READ)
        return await self._store.consolidation.consolidation_runs(
            caller.tenant, limit=limit, job=job
        )

    async def get(self, caller: Principal, run_id: str) -> ConsolidationRun:
        """Return a run; raises NotFound."""
        caller.require(Scope.READ)
        return await self._present(caller.tenant, run_id)

    async def undo(self, caller: Principal, run_id: str) -> Undone:
        """Put back what a run did, step by step, the last one first.

        What somebody has changed since stays as it is. One that is broken off goes on when it is
        asked for again. Raises NotFound, and Conflict for a run that is undone or under way.
        """
        caller.require(Scope.ADMIN)
        async with self._running:
            run = await self._present(caller.tenant, run_id)
            if run.status in (RunStatus.UNDONE, RunStatus.RUNNING):
                said = "undone already" if run.status is RunStatus.UNDONE else "under way"
                raise Conflict(f"the run is {said}", field="id", hint="list the runs")
            restored = left = 0
            store = self._store.consolidation
            while folds := await store.folds(run.tenant, run.id, limit=_UNDONE_AT_ONCE):
                for folded in folds:
                    put_back, stays = await self._unfold(run, folded)
                    restored, left = restored + put_back, left + stays
            run = replace(run, status=RunStatus.UNDONE, undone_at=self._clock())
            await store.keep_run(run, at=self._clock())
        return Undone(run, restored, left)

    async def follow_schedule(self) -> None:
        """Run the jobs whenever they are due, until cancelled.

        A moment that passed while the service was not running is made up for at once, and once
        only.
        """
        try:
            while True:
                await self._leadership.gained()
                try:
                    await self._find_the_dead()
                    await self._run_what_is_due()
                except MemoryBankError as error:  # the store is not there now
                    _logger.warning("consolidation must wait: %s", error.message)
                await asyncio.sleep(_LOOK_SECONDS)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _present(self, tenant: str, run_id: str) -> ConsolidationRun:
        run = await self._store.consolidation.consolidation_run(tenant, run_id)
        if run is None:
            raise NotFound("there is no run of this id", field="id", hint="list the runs")
        return run

    async def _find_the_dead(self) -> None:
        if self._running.locked():
            return
        now = self._clock()
        since = now if self._alone else now - _SILENT
        count = await self._store.consolidation.interrupt(silent_since=since, at=now)
        if count:
            _logger.warning("%d consolidation runs were interrupted; they can be undone", count)

    async def _run_what_is_due(self) -> None:
        rules = self._rules
        if not rules.enabled:
            return
        due = cron.last_due(rules.schedule, self._clock())
        for tenant in await self._store.forgetting.tenants_with_memories():
            last = await self._store.consolidation.last_scheduled(tenant)
            for job in rules.jobs:
                if not self._leadership.leads:
                    return  # whoever does finds what is left
                if job not in last or last[job] < due:
                    await self._run_all(tenant, [job], SCHEDULE, [])

    async def _run_all(
        self, tenant: str, jobs: Sequence[Job], cause: str, begun: list[ConsolidationRun]
    ) -> list[ConsolidationRun]:
        async with self._running:
            await self._touches.flush()
            ended: list[ConsolidationRun] = []
            for job in jobs:
                run = ConsolidationRun(new_id(), tenant, job, cause, self._clock())
                begun.append(run)
                ended.append(await self._run(run))
                begun[-1] = ended[-1]
            return ended

    async def _run(self, run: ConsolidationRun) -> ConsolidationRun:
        store = self._store.consolidation
        await store.keep_run(run, at=self._clock())
        folding = self._folding(run)
        status, error, alive = RunStatus.INTERRUPTED, None, time.monotonic()
        try:
            await self._index.catch_up(self._ledger.acknowledged)
            async for fold in folding.steps():
                run = replace(run, examined=folding.examined)
                if fold is not None and await self._fold(_with(run, fold), fold):
                    run, alive = _with(run, fold), time.monotonic()
                elif time.monotonic() - alive > _ALIVE_SECONDS:
                    alive = time.monotonic()
                    await store.keep_run(run, at=self._clock())
            status = RunStatus.DONE
        except MemoryBankError as problem:
            status, error = RunStatus.FAILED, problem.message
            _logger.warning("the job %s failed: %s", run.job.value, error)
        except Exception:  # a mistake of ours: the next jobs are to run all the same
            status, error = RunStatus.FAILED, "an internal error; the log of the service tells more"
            _logger.exception("the job %s failed", run.job.value)
        finally:
            run = replace(
                run,
                status=status,
                error=error,
                examined=folding.examined,
                ended_at=self._clock(),
            )
            with suppress(MemoryBankError):  # the next start finds it interrupted
                await store.keep_run(run, at=self._clock())
            self._trouble_until = float("-inf")
            self._heard(run)
        return run

    async def _fold(self, run: ConsolidationRun, fold: Fold) -> bool:
        """Do a step; return whether it was done: somebody may have been faster."""
        says, vector = fold.says, None
        if says is not None and fold.kept is not None:
            says = following(says, fold.kept, self._clock())
            vector = await self._vector(searchable_text(fold.kept), searchable_text(says))
        names = [(each.tenant, each.id) for each in fold.archived]
        if fold.kept is not None:
            names.append((fold.kept.tenant, fold.kept.id))
        async with self._ledger.alone_with(names):
            seq = await self._store.consolidation.fold(
                run, replace(fold, says=says), vector, at=self._steady()
            )
        if seq is None:
            return False
        self._ledger.acknowledge(seq)
        self._adding.stored([vector])
        return True

    async def _unfold(self, run: ConsolidationRun, folded: Folded) -> tuple[int, int]:
        while True:  # until nobody changes the memory that was kept meanwhile
            says, vector = None, None
            if folded.kept is not None and folded.revision is not None:
                now = await self._store.get(run.tenant, folded.kept)
                page = await self._store.history(
                    run.tenant, folded.kept, before=folded.revision, limit=1
                )
                if now is not None and now.revision == folded.revision and page and page.revisions:
                    says = following(
                        saying_again(now, page.revisions[0].memory), now, self._clock()
                    )
                    vector = await self._vector(searchable_text(now), searchable_text(says))
            undone = await self._store.consolidation.unfold(
                run.tenant, run.id, folded, says=says, vector=vector, at=self._steady()
            )
            if undone is not None:
                restored, left, seq = undone
                self._ledger.acknowledge(seq)
                self._adding.stored([vector])
                return restored, left

    async def _vector(self, before: str, after: str) -> Vector | None:
        if before == after:
            return None
        [vector] = await self._adding.embed([after])
        return vector

    def _folding(self, run: ConsolidationRun) -> Folding:
        return Folding(
            self._store, self._index, self._rules, run.tenant, run.job, run.started_at, Pace()
        )


def _failure(job: Job, tenants: int, error: str) -> str:
    of = f" of {tenants} tenants" if tenants > 1 else ""
    return f"the job {job.value} failed{of} when it ran last: {error}"


def _with(run: ConsolidationRun, fold: Fold) -> ConsolidationRun:
    return replace(
        run,
        kept=run.kept + (fold.kept is not None),
        archived=run.archived + len(fold.archived),
    )
