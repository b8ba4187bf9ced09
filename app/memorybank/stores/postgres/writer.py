"""The one thread of this process that writes, with group commit.

All writes that wait share one transaction, a savepoint per write. A write that fails is undone
alone. Callers hear of success only after the COMMIT, when the change is on the server's disk.

When the connection breaks before COMMIT was sent, nothing was written, and everybody is told so.
When it breaks while COMMIT is under way, nobody knows: callers are told that the store is
unavailable, and what they wrote may be there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import psycopg

from memorybank.batching import BatchThread, Closed, Job, QueueFull
from memorybank.domain.audit import AuditEvent
from memorybank.errors import MemoryBankError, StoreUnavailable
from memorybank.stores.postgres.connection import Session
from memorybank.stores.postgres.errors import unavailable
from memorybank.stores.postgres.sessions import Line
from memorybank.stores.sql.audit import Recorder
from memorybank.stores.sql.connection import Connection

Answer = TypeVar("Answer")
Write = Callable[[Connection], Any]

_CAPACITY = 10_000
"""Writes that may wait."""

_MAX_GROUP = 256
"""Writes per commit; bounds how long the first of a group waits for the last, and how long the
writers of other processes wait for this one."""


class Writer:
    """Owns the writing connection."""

    def __init__(self, line: Line, recorder: Recorder) -> None:
        self._line = line
        self._recorder = recorder
        self._thread: BatchThread[Write, Any] = BatchThread(
            "postgres-writer", self._serve, capacity=_CAPACITY, max_group=_MAX_GROUP
        )

    async def run(
        self,
        write: Callable[[Connection], Answer],
        events: Callable[[Answer], Iterable[AuditEvent]] | None = None,
    ) -> Answer:
        """Return what `write` returned, once it is durable; raises StoreUnavailable.

        `events` says what it did, for the audit log; the record is part of the same write.

        A caller that is cancelled before its group begins has written nothing.
        """
        if events is not None:
            write = self._recorder.recording(write, events)
        try:
            future = self._thread.submit(write)
        except QueueFull:
            raise StoreUnavailable(
                "too many writes wait for the database", hint="try again in a few seconds"
            ) from None
        except Closed:
            raise StoreUnavailable("the store is closed") from None
        answer: Answer = await asyncio.wrap_future(future)
        return answer

    @property
    def waiting(self) -> int:
        """Writes that wait for their group."""
        return self._thread.waiting

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._line.open

    def close(self) -> None:
        """Commit what was accepted, then close the connection."""
        self._thread.close()
        self._line.close()

    def _serve(self, jobs: list[Job[Write, Any]]) -> None:
        try:
            with self._line.transaction() as session:
                announcements = [_attempt(session, job) for job in jobs]
        except psycopg.Error as error:
            failure: Exception = unavailable(error)
        except MemoryBankError as error:  # the URL cannot be read any more
            failure = error
        else:
            for announce in announcements:
                announce()
            return
        for job in jobs:
            job.future.set_exception(failure)


def _attempt(session: Session, job: Job[Write, Any]) -> Callable[[], None]:
    """Perform one write; return what tells its caller, to be called after the commit.

    Raises psycopg.Error only when the whole transaction is lost.
    """
    session.raw.execute("SAVEPOINT item")
    failure: Exception
    try:
        answer = job.request(session)
        session.raw.execute("RELEASE item")
    except psycopg.Error as error:
        if session.raw.closed:
            raise
        failure = unavailable(error)
    except Exception as error:  # the caller's own failure, whatever it is, is the caller's answer
        failure = error
    else:
        return lambda: job.future.set_result(answer)
    session.raw.execute("ROLLBACK TO item; RELEASE item")
    return lambda: job.future.set_exception(failure)
