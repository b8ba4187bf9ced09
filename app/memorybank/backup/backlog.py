"""What is on the volume because it is not at the destination yet, and what ends its growth."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from memorybank.backup.litestream import HOLD, last_in, state_of
from memorybank.errors import BackupUnavailable

_FIRST_SECONDS = 30.0
_BYTES_PER_SECOND = 4 * 1024 * 1024
"""A copy of the whole database is given this long, and this much for each second beyond."""
_KEPT_SECONDS = 60.0
"""How long what has arrived is left to Litestream, which makes one of several of it each half
minute, from here if it is here.
"""
_REST_SECONDS = 30.0
"""Before a second attempt to begin anew, if nothing arrived after the first; doubled each time."""
_LONGEST_REST_SECONDS = 600.0
_TOOK_NOTHING = "the destination took nothing when it was tried last"
_GIVES_UP = "what could not be sent is being removed"
_FOLLOWS = "; a whole copy follows when it is back, in place of what waited"
_logger = logging.getLogger(__name__)


def copy_seconds(database_bytes: int) -> float:
    """Return how long a copy of the whole database may take to arrive."""
    return _FIRST_SECONDS + database_bytes / _BYTES_PER_SECOND


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A file that Litestream made of the log."""

    path: Path
    last: str
    """The last transaction in it, as names are: of a fixed length."""
    size: int
    written: float


class Backlog:
    """Counts what waits. When it is more than a whole copy would be, and nothing can be sent, it is
    replaced by one: Litestream is held, without what it kept, until the destination takes
    something.

    A file in the folder that is shared with Litestream says so, so that a service that is started
    again knows; see replicating.Replicator.
    """

    def __init__(
        self,
        database: Path,
        epoch: str,
        run_dir: Path,
        *,
        most_bytes: int,
        reach: Callable[[], Awaitable[None]],
        clear: Callable[[], Awaitable[None]],
    ) -> None:
        """`most_bytes` may wait beside the size of the database; `reach` writes something at the
        destination, `clear` makes it one to begin anew at, or they raise BackupUnavailable.
        """
        self._database = database
        self._log = database.with_name(f"{database.name}-wal")
        self._made = state_of(database, epoch) / "ltx" / "0"
        self._hold = run_dir / HOLD
        self._most_bytes = most_bytes
        self._reach = reach
        self._clear = clear
        self._sent = ""
        self._arrived = time.monotonic()
        self._held_in_vain = 0
        self._rests_until = 0.0

    @property
    def held(self) -> bool:
        """Whether nothing is sent until the destination is back."""
        return self._hold.exists()

    def waiting(self) -> int:
        """Return how many bytes of what Litestream made are not known to have arrived."""
        return sum(each.size for each in self._files() if each.last > self._sent)

    async def let_go(self) -> None:
        """Let Litestream begin anew, if the destination takes something now. Raises
        BackupUnavailable.
        """
        if time.monotonic() < self._rests_until:
            raise BackupUnavailable(f"{_TOOK_NOTHING}{_FOLLOWS}")
        if self._made.parent.exists():
            raise BackupUnavailable(f"{_GIVES_UP}{_FOLLOWS}")
        try:
            await self._reach()
            await self._clear()
        except BackupUnavailable as error:
            raise BackupUnavailable(f"{error.message}{_FOLLOWS}") from None
        self._arrived = time.monotonic()
        self._hold.unlink(missing_ok=True)
        _logger.info("the destination is back: a whole copy is sent")

    def arrived(self, until: str | None) -> None:
        """Hear that everything has arrived, up to a transaction. What Litestream does not need any
        more goes: it would keep it for minutes.
        """
        self._arrived, self._held_in_vain = time.monotonic(), 0
        if until is None:
            return
        self._sent = until
        before = time.time() - _KEPT_SECONDS
        for each in self._files():
            if each.last < until and each.written < before:
                each.path.unlink(missing_ok=True)

    async def failed(self, error: BackupUnavailable) -> None:
        """Hear why nothing arrives, and hold Litestream when too much waits for it."""
        if self.held:
            return
        size = _size(self._database)
        waiting = self.waiting() + _size(self._log)
        if waiting <= size + self._most_bytes:
            return
        if error.late and await self._is_under_way(copy_seconds(size)):
            return
        self._rests_until = time.monotonic() + self._rest()
        self._held_in_vain += 1
        self._hold.touch(mode=0o600)
        _logger.warning(
            "%d MiB wait to be sent: they are replaced by a whole copy when the destination is"
            " back; the moments until then cannot be restored one by one", waiting // 2**20,
        )  # fmt: skip

    def _rest(self) -> float:
        if self._held_in_vain == 0:
            return 0.0
        return min(_REST_SECONDS * 2.0 ** (self._held_in_vain - 1), _LONGEST_REST_SECONDS)

    async def _is_under_way(self, seconds: float) -> bool:
        """Return whether the destination may be taking what waits, only slowly. Each attempt in
        vain gives the next one twice the time.
        """
        if time.monotonic() - self._arrived > seconds * 2**self._held_in_vain:
            return False
        try:
            await self._reach()
        except BackupUnavailable:
            return False
        return True

    def _files(self) -> Iterator[_Waiting]:
        try:
            names = list(self._made.iterdir())
        except OSError:
            return
        for path in names:
            last = last_in(path.name)
            if last is None:
                continue
            try:
                found = path.stat()
            except OSError:
                continue
            yield _Waiting(path, last, found.st_size, found.st_mtime)


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except OSError:
        return 0
