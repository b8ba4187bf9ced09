"""Refusing writes once another bank was promoted in the place of this one."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from memorybank.background import beside
from memorybank.backup.barrier import Barrier
from memorybank.backup.fence import GOOD_SECONDS, Fence, Fences
from memorybank.errors import BackupUnavailable, Fenced

_LOOK_SECONDS = 10.0
_CURE = (
    "write to that bank; or, if this one is to go on beside it, lift the fence:"
    " docs/service/backup.md, The fence"
)
_logger = logging.getLogger(__name__)


class Guard:
    """Stands before and behind each group of writes of a bank that has backups."""

    def __init__(
        self,
        fences: Fences,
        fence: Fence | None,
        barrier: Barrier | None,
        *,
        looked: Callable[[Fence | None], None] = lambda _: None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`fence` was there at the start. `barrier` is what acknowledged writes have to pass, None
        when these do not wait. `looked` hears what each look finds.
        """
        self._fences = fences
        self._barrier = barrier
        self._looked = looked
        self._clock = clock
        self._clear_at = float("-inf")
        """When the last look began that found none."""
        self._fence: Fence | None = None
        self._note(fence)

    @property
    def fence(self) -> Fence | None:
        """What was found last."""
        return self._fence

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Look again and again until left."""
        async with beside(self._run()):
            yield

    def admit(self) -> None:
        """Let a write begin. Raises Fenced, and as Barrier does."""
        if self._fence is not None:
            raise Fenced(f"{self._fence.told}: nothing is written here", hint=_CURE)
        if self._barrier is not None:
            self._barrier.admit()

    def confirm(self) -> None:
        """Return when what was committed may be acknowledged. Raises Fenced, and as Barrier."""
        if self._barrier is None:
            return
        self._barrier.confirm()
        if not self._barrier.holds or self._clock() - self._clear_at <= GOOD_SECONDS:
            return
        try:
            self._look()
        except BackupUnavailable as error:
            if self._barrier.refuses:
                raise BackupUnavailable(
                    f"the write has arrived, but not whether it counts: {error.message}",
                    hint="send it again with the same Idempotency-Key, by which it is found",
                ) from None
            return
        if self._fence is not None:
            raise Fenced(
                f"{self._fence.told}: the write may be missing there",
                hint=_CURE,
            )

    async def _run(self) -> None:
        while True:
            # The destination may be away: that is told by who looks whether anything arrives.
            with contextlib.suppress(BackupUnavailable):
                await asyncio.to_thread(self._look)
            await asyncio.sleep(_LOOK_SECONDS)

    def _look(self) -> None:
        began = self._clock()
        fence = self._fences.find()
        self._note(fence)
        self._clear_at = began if fence is None else float("-inf")

    def _note(self, fence: Fence | None) -> None:
        if fence is not None and self._fence is None:
            _logger.error("fenced: %s", fence.told)
        if fence is None and self._fence is not None:
            _logger.warning("the fence was lifted: this bank takes writes again")
        self._fence = fence
        self._looked(fence)
