"""The one thread of this process that writes, with group commit.

All writes that wait share one transaction, a savepoint per write. A write that fails is undone
alone. Callers hear of success only after the COMMIT, when the change is on the server's disk.

When the connection breaks before COMMIT was sent, nothing was written, and everybody is told so.
When it breaks while COMMIT is under way, nobody knows: callers are told that the store is
unavailable, and what they wrote may be there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
from typing_extensions import override

from memorybank.batching import Job
from memorybank.errors import MemoryBankError
from memorybank.stores.postgres.connection import Session
from memorybank.stores.postgres.errors import unavailable
from memorybank.stores.postgres.sessions import Line, walled
from memorybank.stores.sql.audit import Recorder
from memorybank.stores.sql.connection import NOBODY, Connection
from memorybank.stores.sql.writer import GroupWriter, Task

_MAX_GROUP = 256
"""Writes per commit; bounds how long the first of a group waits for the last, and how long the
writers of other processes wait for this one."""


class Writer(GroupWriter[Connection]):
    """Owns the writing connection."""

    def __init__(
        self, line: Line, recorder: Recorder, *, admit: Callable[[Connection], None]
    ) -> None:
        """`admit` raises StoreUnavailable within a transaction that must not write."""
        self._line = line
        self._admit = admit
        super().__init__("postgres-writer", recorder, waits_for="database", max_group=_MAX_GROUP)

    @property
    def connected(self) -> bool:
        """Whether there is a connection."""
        return self._line.open

    def close(self) -> None:
        """Commit what was accepted, then close the connection."""
        self._thread.close()
        self._line.close()

    @override
    def _serve(self, jobs: list[Job[Task[Connection], Any]]) -> None:
        try:
            with self._line.transaction(NOBODY) as session:
                self._admit(session)
                announcements = [_attempt(session, job) for job in jobs]
        except psycopg.Error as error:
            failure: Exception = unavailable(error)
        except MemoryBankError as error:  # the URL cannot be read any more; the bank is being moved
            failure = error
        else:
            for announce in announcements:
                announce()
            return
        for job in jobs:
            job.future.set_exception(failure)


def _attempt(session: Session, job: Job[Task[Connection], Any]) -> Callable[[], None]:
    """Perform one write; return what tells its caller, to be called after the commit.

    Raises psycopg.Error only when the whole transaction is lost.
    """
    session.raw.execute(b"SAVEPOINT item; " + walled(session.raw, job.request.whose))
    failure: Exception
    try:
        answer = job.request.work(session)
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
