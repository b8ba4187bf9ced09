"""How writes reach the one thread of a process that writes, whichever the database is."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from memorybank import trail
from memorybank.batching import BatchThread, Closed, Job, QueueFull
from memorybank.domain.audit import AuditEvent
from memorybank.errors import StoreUnavailable
from memorybank.stores.sql.audit import AnyConnection, Recorder
from memorybank.stores.sql.connection import Whose

Answer = TypeVar("Answer")

_CAPACITY = 10_000
"""Writes that may wait. A disk or server that is this far behind is not coming back soon."""


@dataclass(frozen=True, slots=True)
class Task(Generic[AnyConnection]):
    """A write that waits for its group."""

    whose: Whose
    work: Callable[[AnyConnection], Any]
    awaited: bool = True
    """Whether a caller is told of it, rather than the service itself."""
    lasting: bool = True
    """Whether it is lost with the database; what is told to each database anew is not."""


class GroupWriter(ABC, Generic[AnyConnection]):
    """Queues writes and gives all that wait to `_serve`, which shares a commit among them."""

    def __init__(self, name: str, recorder: Recorder, *, waits_for: str, max_group: int) -> None:
        """`name` is the thread's, `waits_for` what writes wait for, for people, and `max_group` how
        many may share a commit.
        """
        self._recorder = recorder
        self._waits_for = waits_for
        self._thread: BatchThread[Task[AnyConnection], Any] = BatchThread(
            name, self._serve, capacity=_CAPACITY, max_group=max_group
        )

    async def run(
        self,
        whose: Whose,
        write: Callable[[AnyConnection], Answer],
        events: Callable[[Answer], Iterable[AuditEvent]] | None = None,
    ) -> Answer:
        """Return what `write` returned, once it is durable; raises StoreUnavailable.

        It is about rows of `whose`. `events` says what it did, for the audit log; the record is
        part of the same write.

        A caller that is cancelled before its group begins has written nothing.
        """
        if events is not None:
            write = self._recorder.recording(write, events)
        try:
            awaited = trail.actor.get() is not None
            lasting = awaited and not trail.is_told_again()
            future = self._thread.submit(Task(whose, write, awaited, lasting))
        except QueueFull:
            raise StoreUnavailable(
                f"too many writes wait for the {self._waits_for}",
                hint="try again in a few seconds",
            ) from None
        except Closed:
            raise StoreUnavailable("the store is closed") from None
        answer: Answer = await asyncio.wrap_future(future)
        return answer

    @property
    def waiting(self) -> int:
        """Writes that wait for their group."""
        return self._thread.waiting

    @abstractmethod
    def _serve(self, jobs: list[Job[Task[AnyConnection], Any]]) -> None:
        """Settle the future of every job, once its write is durable or undone."""
