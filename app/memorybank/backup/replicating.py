"""Litestream as a process, and how it begins anew when it is asked to.

Litestream keeps what it could not send, without an end. Told to, by a file, it is ended here and
what it kept is removed; when the file is gone it starts again, with a whole copy of the database.

Whatever it was that ended it, a log that was begun anew meanwhile makes it take the new log for
the continuation of the old one, and what is between the two is missing from the backup, silently
(0.5.17: the last frame that it sent may be in the file still). So it never starts before all of the
log is in the database and the file is cut to nothing: then it sees that it has to begin anew.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import shutil
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Final

import apsw

from memorybank.backup.litestream import CONFIG, HOLD, program
from memorybank.errors import ConfigurationError

_LOOK_SECONDS = 0.25
_PATIENCE_MS = 1_000
_ENDS: Final = frozenset({signal.SIGTERM, signal.SIGINT})
_SIGNALS: Final = _ENDS | {signal.SIGCHLD}
_LOCAL = "ltx"
_REMOVED = "removed"
_DIES_WITH_PARENT = 1
"""PR_SET_PDEATHSIG: of two that replicate to one place neither backup can be restored."""
_logger = logging.getLogger(__name__)


class Replicator:
    """Runs Litestream on a configuration that was prepared."""

    def __init__(self, run_dir: Path) -> None:
        """Raises ConfigurationError."""
        self._config = run_dir / CONFIG
        self._hold = run_dir / HOLD
        try:
            (told,) = json.loads(self._config.read_text())["dbs"]
            self._database, self._state = Path(told["path"]), Path(told["meta-path"])
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigurationError(
                f"{self._config} is not there or not what `memorybank backup prepare` writes",
                field="backup.run_dir",
                hint="run `memorybank backup prepare` first",
            ) from None

    def run(self) -> int:
        """Replicate until told to end by a signal, or until Litestream ends by itself; return what
        this process is to exit with.
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        try:
            self._remove_leftovers()
            while self._wait_until_let_go() and self._wait_until(self._log_is_empty):
                code = self._replicate()
                if code is not None:
                    return code
            return 0
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)

    def _replicate(self) -> int | None:
        """Run Litestream; return what it ended with, None when it was ended to begin anew."""
        process = subprocess.Popen(  # noqa: S603  # a fixed argument list
            [program(), "replicate", "-config", str(self._config)],
            preexec_fn=_dies_with_parent,  # there are no threads
        )
        try:
            while True:
                got = signal.sigtimedwait(_SIGNALS, _LOOK_SECONDS)
                code = process.poll()
                if code is not None:
                    return code if code >= 0 else 128 - code
                if got is not None and got.si_signo in _ENDS:
                    process.terminate()
                elif self._hold.exists():
                    return None
        finally:
            process.kill()
            process.wait()

    def _wait_until_let_go(self) -> bool:
        """Wait while somebody holds it, with nothing kept by then; return False when told to end.

        An earlier process may have been asked, and have removed what it kept: who holds it sees to
        the destination before it is begun anew there.
        """
        if self._hold.exists():
            self._begin_anew()
        return self._wait_until(lambda: not self._hold.exists())

    def _begin_anew(self) -> None:
        """Remove what was not sent, in one step: of a part of it Litestream would miss the rest."""
        _logger.warning("what could not be sent is removed; a whole copy follows")
        with contextlib.suppress(FileNotFoundError):
            (self._state / _LOCAL).rename(self._state / _REMOVED)
        self._remove_leftovers()

    def _remove_leftovers(self) -> None:
        shutil.rmtree(self._state / _REMOVED, ignore_errors=True)

    def _log_is_empty(self) -> bool:
        """Empty the log; return whether it is. Nothing is known of one of a damaged database, which
        is for the service to tell.
        """
        if not self._database.exists():
            return True
        try:
            with contextlib.closing(apsw.Connection(str(self._database))) as connection:
                connection.set_busy_timeout(_PATIENCE_MS)
                return not next(connection.execute("PRAGMA wal_checkpoint(TRUNCATE)"))[0]
        except apsw.BusyError:
            return False
        except apsw.Error as error:
            _logger.warning("the log of %s cannot be emptied: %s", self._database, error)
            return True

    @staticmethod
    def _wait_until(holds: Callable[[], bool]) -> bool:
        """Wait for a condition; return False when told to end first."""
        while not holds():
            got = signal.sigtimedwait(_SIGNALS, _LOOK_SECONDS)
            if got is not None and got.si_signo in _ENDS:
                return False
        return True


def _dies_with_parent() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    ctypes.CDLL(None).prctl(_DIES_WITH_PARENT, signal.SIGKILL)
