"""Episodes: work that is told step by step, and gone on with by others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from typing_extensions import override

from memorybank.auth.principal import Principal
from memorybank.domain.gate import Finding, guarded
from memorybank.domain.ids import new_id
from memorybank.domain.keys import Scope
from memorybank.domain.memory import Memory, MemoryType
from memorybank.domain.work.episodes import (
    MAX_STEPS,
    Pack,
    Step,
    abandoned,
    checkpoint_of,
    checkpointed,
    completed,
    pack,
    require_open,
)
from memorybank.errors import Conflict
from memorybank.schemas.fields import MAX_CONTENT, MAX_DETAIL, MAX_NAME, MAX_TITLE
from memorybank.schemas.memories import NewMemory
from memorybank.schemas.work.episodes import (
    EpisodeCompletion,
    EpisodeEnd,
    NewCheckpoint,
    NewStep,
    StepQuery,
)
from memorybank.schemas.work.things import NewThing
from memorybank.services.adding import Stored
from memorybank.services.life import unknown
from memorybank.services.memories import MemoryService, now_utc
from memorybank.services.timing import Timed, untimed
from memorybank.services.work.steps import StepQueue
from memorybank.services.work.things import Things

_TEXTS = {"tool": MAX_NAME, "action": MAX_DETAIL, "error": MAX_TITLE, "observation": MAX_DETAIL}
"""Texts of a step, with the limit of each."""
_SAME_TASK = ("task_type", "domain", "language", "framework", "complexity")


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of steps that were sent."""

    accepted: int
    numbers: list[int] | None
    """None while they wait to be written."""
    findings: tuple[Finding, ...]


@dataclass(frozen=True, slots=True)
class Page:
    """Steps of an episode, in their order."""

    steps: list[Step]
    next_after: int | None
    total: int


@dataclass(frozen=True, slots=True)
class Made:
    """A checkpoint that was made."""

    id: str
    pack: Pack
    handoff: Memory | None


class Episodes(Things):
    """The episodes of a tenant."""

    def __init__(
        self,
        memories: MemoryService,
        queue: StepQueue,
        *,
        ended: Callable[[Principal], None] = lambda _caller: None,
        clock: Callable[[], datetime] = now_utc,
        timed: Timed = untimed,
    ) -> None:
        """`ended` hears who ended an episode."""
        super().__init__(memories, MemoryType.EPISODE, clock=clock)
        self._queue = queue
        self._ended = ended
        self._timed = timed

    @override
    async def add(self, caller: Principal, new: NewThing, *, once: str | None = None) -> Stored:
        """Begin an episode; `once` is an Idempotency-Key."""
        with self._timed("episode_create"):
            return await super().add(caller, new, once=once)

    async def add_steps(
        self, caller: Principal, episode_id: str, new: Sequence[NewStep], *, wait: bool
    ) -> Taken:
        """Add steps to an open episode. Raises NotFound, Conflict, InvalidRequest, WriteRefused."""
        caller.require(Scope.WRITE)
        now = self._clock()
        looked = [self._looked(caller, each.to_step(now)) for each in new]
        steps = [step for step, _ in looked]
        findings = dict.fromkeys(each for _, found in looked for each in found)
        async with self._alone_with(caller, episode_id):
            last = self._queue.known(caller.tenant, episode_id)
            if last is None:
                episode = await self._memories.life.present(caller, episode_id)
                require_open(self._of_this_kind(episode))
                last = await self._queue.store.last_step(caller.tenant, episode_id)
            if last + sum(not step.number for step in steps) > MAX_STEPS:
                raise Conflict(
                    f"an episode has {MAX_STEPS:,} steps at most, this one has {last:,}",
                    field="steps",
                    hint="complete it, or go on in another one from a checkpoint",
                )
            numbers = await self._queue.add(caller.tenant, episode_id, steps, last=last, wait=wait)
        if numbers == []:  # deleted in between
            raise unknown()
        return Taken(len(steps), numbers, tuple(findings))

    async def steps(self, caller: Principal, episode_id: str, query: StepQuery) -> Page:
        """Return one page of steps, those that wait to be written included. Raises NotFound."""
        await self.get(caller, episode_id)
        await self._queue.flush(caller.tenant)
        store = self._queue.store
        found = await store.steps(
            caller.tenant, episode_id, after=query.after, limit=query.limit + 1
        )
        more = len(found) > query.limit
        shown = found[: query.limit]
        total = await store.last_step(caller.tenant, episode_id)
        return Page(shown, shown[-1].number if more else None, total)

    async def complete(
        self, caller: Principal, episode_id: str, end: EpisodeCompletion
    ) -> tuple[Memory, tuple[Finding, ...]]:
        """End an episode with its outcome; the same again changes nothing.

        All of its steps are durable before the outcome is. Raises NotFound, Conflict.
        """
        return await self._end(caller, episode_id, completed, end.given(), "complete")

    async def abandon(
        self, caller: Principal, episode_id: str, end: EpisodeEnd | None
    ) -> tuple[Memory, tuple[Finding, ...]]:
        """End an episode that comes to nothing. Raises NotFound, Conflict."""
        given = {} if end is None else end.given()
        return await self._end(caller, episode_id, abandoned, given, "abandon")

    async def checkpoint(self, caller: Principal, episode_id: str, new: NewCheckpoint) -> Made:
        """Mark a place to go on from. Raises NotFound, Conflict."""
        async with self._alone_with(caller, episode_id):
            await self._queue.flush(caller.tenant)
            at_step = await self._queue.store.last_step(caller.tenant, episode_id)
            said = new.model_dump(mode="json", exclude_none=True, exclude={"handoff"})
            checkpoint = {"id": new_id(), "at_step": at_step, "at": self._clock(), **said}
            episode, _findings = await self._change(
                caller, episode_id, lambda known: checkpointed(known, checkpoint), "checkpoint"
            )
        made = await self._packed(caller, episode, checkpoint["id"])
        handoff = await self._handed_off(caller, episode, made) if new.handoff else None
        return Made(checkpoint["id"], made, handoff)

    async def pack(self, caller: Principal, episode_id: str, checkpoint_id: str) -> Pack:
        """Return what whoever goes on from a checkpoint has to know. Raises NotFound."""
        return await self._packed(caller, await self.get(caller, episode_id), checkpoint_id)

    async def resume(
        self, caller: Principal, episode_id: str, checkpoint_id: str, *, once: str | None = None
    ) -> tuple[Stored, Pack]:
        """Begin an episode that goes on from a checkpoint of another one. Raises NotFound."""
        before = self._of_this_kind(await self._memories.life.present(caller, episode_id))
        found = await self._packed(caller, before, checkpoint_id)
        details = {name: before.details[name] for name in _SAME_TASK if name in before.details}
        origin = {"episode": episode_id, "checkpoint": checkpoint_id}
        new = NewMemory(
            type=MemoryType.EPISODE,
            content=before.content,
            title=before.title,
            project=before.project,
            session=before.session,
            tags=list(before.tags),
            details={**details, "status": "open", "resumed_from": origin},
            deduplicate=False,
        )
        return await self._memories.adding.add(caller, new, once=once), found

    async def _end(
        self,
        caller: Principal,
        episode_id: str,
        ended: Callable[..., dict[str, Any]],
        given: dict[str, Any],
        action: str,
    ) -> tuple[Memory, tuple[Finding, ...]]:
        def decide(episode: Memory) -> Mapping[str, Any]:
            return ended(episode, given, now=self._clock())

        with self._timed("episode_complete"):
            async with self._alone_with(caller, episode_id):
                await self._queue.flush(caller.tenant)
                changed = await self._change(caller, episode_id, decide, action)
        self._ended(caller)
        return changed

    async def _packed(self, caller: Principal, episode: Memory, checkpoint_id: str) -> Pack:
        checkpoint = checkpoint_of(episode, checkpoint_id)
        steps = await self._queue.store.steps(caller.tenant, episode.id)
        return pack(episode, checkpoint, steps)

    async def _handed_off(self, caller: Principal, episode: Memory, made: Pack) -> Memory:
        new = NewMemory(
            type=MemoryType.HANDOFF,
            content=made.text()[:MAX_CONTENT],
            title=made.reason,
            project=episode.project,
            session=episode.session,
            details={"episode": episode.id},
            deduplicate=False,
        )
        return (await self._memories.adding.add(caller, new)).memory

    def _alone_with(self, caller: Principal, episode_id: str) -> Any:
        """Let no step come in between: the end of an episode knows all of them."""
        return self._memories.ledger.alone_with([("steps", caller.tenant, episode_id)])

    def _looked(self, caller: Principal, step: Step) -> tuple[Step, tuple[Finding, ...]]:
        """Return a step as it may be kept, and what was found in it. Raises WriteRefused."""
        texts = {name: value for name in _TEXTS if (value := getattr(step, name)) is not None}
        memory = Memory("", caller.tenant, "step", step.at, step.at, details={"steps": texts})
        looked, findings = guarded(memory, self._memories.adding.gate)
        if not findings:
            return step, ()
        kept = {name: text[: _TEXTS[name]] for name, text in looked.details["steps"].items()}
        return replace(step, **kept), findings
