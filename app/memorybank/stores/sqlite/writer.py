"""The one thread that writes, with group commit.

All writes that wait share one transaction: BEGIN IMMEDIATE, a savepoint per write, COMMIT. A write
that fails is undone alone. Callers hear of success only after the COMMIT, which with
synchronous=FULL means after the log is on disk; so one fsync serves the whole group.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import apsw
from typing_extensions import override

from memorybank.batching import Job
from memorybank.errors import StoreUnavailable, Unavailable
from memorybank.stores.sql.audit import Recorder
from memorybank.stores.sql.connection import NOBODY, Connection
from memorybank.stores.sql.sealing import PLAIN, Seal
from memorybank.stores.sql.writer import GroupWriter, Task
from memorybank.stores.sqlite.connection import BUSY_MS
from memorybank.stores.sqlite.errors import Damage, unavailable

_PATIENCE_MS = 200
"""How long emptying the log waits for readers; meanwhile nothing is written."""

_MOST_LOG_BYTES = 128 * 1024 * 1024
_LOG_STEP_BYTES = 16 * 1024 * 1024
"""A replication tool empties the log long before the first, unless it is not at work. An attempt
that somebody who reads prevents is made again after so much more.
"""

_MAX_GROUP = 512
"""Writes per commit; bounds how long the first of a group waits for the last."""


class Replication(Protocol):
    """What an acknowledged write has to pass beside the commit."""

    def admit(self) -> None:
        """Let a write begin. Raises Unavailable."""

    def confirm(self) -> None:
        """Return when what was committed may be acknowledged. Raises Unavailable."""


class Writer(GroupWriter[apsw.Connection]):
    """Owns the writing connection."""

    def __init__(
        self,
        connection: apsw.Connection,
        recorder: Recorder | None = None,
        seal: Seal = PLAIN,
        damage: Damage | None = None,
        *,
        admit: Callable[[Connection], None] = lambda _connection: None,
        replication: Replication | None = None,
        leave: Callable[[], None] = lambda: None,
        log: Path | None = None,
    ) -> None:
        """`admit` raises StoreUnavailable within a transaction that must not write. With a
        `replication`, writes that somebody asked for are acknowledged when it has confirmed them.
        `leave` is called before a write is committed that would be lost if the database was put
        back to what it is; it may raise OSError. `log` is the write-ahead log that is left to a
        replication tool, unless it grows too large.
        """
        self._connection = connection
        self._damage = damage or Damage()
        self._seal = seal
        self._admit = admit
        self._replication = replication
        self._leave = leave
        self._empty_log = False
        self._log_is_empty = False
        self._log = log
        self._most_log_bytes = _MOST_LOG_BYTES
        super().__init__(
            "sqlite-writer", recorder or Recorder(), waits_for="disk", max_group=_MAX_GROUP
        )

    async def empty_log(self) -> bool:
        """Move the write-ahead log into the database and cut it to nothing.

        From then on, what was overwritten is in no file. Returns whether it was done: not while a
        reader, such as an export or a replication tool, still needs the log.
        """

        def ask(_connection: apsw.Connection) -> None:
            self._empty_log = True

        await self.run(NOBODY, ask)
        return self._log_is_empty

    def close(self) -> None:
        """Commit what was accepted, then close the connection."""
        self._thread.close()
        self._connection.close()

    @override
    def _serve(self, jobs: list[Job[Task[apsw.Connection], Any]]) -> None:
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            self._admit(self._connection)
            announcements = [self._attempt(job) for job in jobs]
            keys = self._seal.save(self._connection)
            self._leave_former(jobs)
            self._connection.execute("COMMIT")
        except (apsw.Error, StoreUnavailable) as error:
            self._damage.note(error)
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
            failure = unavailable(error) if isinstance(error, apsw.Error) else error
            for job in jobs:
                job.future.set_exception(failure)
            return
        self._seal.saved(keys)
        if self._empty_log:
            self._empty_log = False
            self._log_is_empty = self._checkpointed(_PATIENCE_MS)
        elif self._log is not None:
            self._bound(self._log)
        unconfirmed = self._unconfirmed(jobs)
        for announce in announcements:
            announce(unconfirmed)

    def _leave_former(self, jobs: list[Job[Task[apsw.Connection], Any]]) -> None:
        if not any(job.request.lasting for job in jobs):
            return
        try:
            self._leave()
        except OSError as error:
            raise StoreUnavailable(
                f"the data folder cannot be written: {error.strerror}",
                hint="look for disk errors in the system's log",
            ) from None

    def _unconfirmed(self, jobs: list[Job[Task[apsw.Connection], Any]]) -> Unavailable | None:
        """Wait for what must know of the group, once for all of it; return why that failed."""
        if self._replication is None or not any(job.request.awaited for job in jobs):
            return None
        try:
            self._replication.confirm()
        except Unavailable as error:
            return error
        return None

    def _bound(self, log: Path) -> None:
        """Empty a log that nobody empties. It is cut to nothing, since a replication tool tells by
        that, when it is back, that it has missed something; one at work does not let it be cut.
        """
        try:
            size = log.stat().st_size
        except OSError:
            return
        if size < _MOST_LOG_BYTES or (size >= self._most_log_bytes and self._checkpointed(0)):
            self._most_log_bytes = _MOST_LOG_BYTES
        elif size >= self._most_log_bytes:
            self._most_log_bytes = size + _LOG_STEP_BYTES

    def _checkpointed(self, patience_ms: int) -> bool:
        """Here, between two transactions, as nothing else may write during a checkpoint."""
        self._connection.set_busy_timeout(patience_ms)
        try:
            busy, _, _ = next(self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)"))
        except apsw.Error:  # the disk fails, or somebody else checkpoints: the log stays as it is
            return False
        finally:
            self._connection.set_busy_timeout(BUSY_MS)
        return not busy

    def _attempt(
        self, job: Job[Task[apsw.Connection], Any]
    ) -> Callable[[Unavailable | None], None]:
        """Perform one write; return what tells its caller, to be called after the commit with the
        reason for which it must not be acknowledged, if any.

        Raises apsw.Error only when SQLite gave up the whole transaction.
        """
        self._connection.execute("SAVEPOINT item")
        failure: Exception
        try:
            if self._replication is not None and job.request.awaited:
                self._replication.admit()
            answer = job.request.work(self._connection)
            self._connection.execute("RELEASE item")
        except apsw.Error as error:
            self._damage.note(error)
            if not self._connection.in_transaction:
                raise
            failure = unavailable(error)
        except Exception as error:  # whatever it is, the caller's own failure is its answer
            failure = error
        else:
            return partial(_announce, job, answer)
        self._connection.execute("ROLLBACK TO item")
        self._connection.execute("RELEASE item")
        return lambda _: job.future.set_exception(failure)


def _announce(
    job: Job[Task[apsw.Connection], Any], answer: Any, unconfirmed: Unavailable | None
) -> None:
    if unconfirmed is not None and job.request.awaited:
        job.future.set_exception(unconfirmed)
    else:
        job.future.set_result(answer)
