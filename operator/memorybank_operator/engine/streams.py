"""Whether we know everything yet, and whether we would hear of changes.

A reconcile that starts before all watched kinds are listed would take what it has not heard of
for missing. So work starts when each stream's first listing is complete. New banks are the
exception, of which there is nothing to hear: what they need to be made is listed first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from memorybank_operator.engine.cache import Affected, Cache
from memorybank_operator.kube import kinds
from memorybank_operator.kube.watching import Stream

FIRST = (kinds.MEMORY_BANK, kinds.STORAGE_CLASS)
"""What a new bank is made from, and the place for its volume."""


class Streams:
    """Follows the watch streams; implements `kube.watching.Listener`."""

    def __init__(
        self,
        expected: Iterable[Stream],
        *,
        cache: Cache,
        affected: Callable[[Affected], None],
        clock: Callable[[], float],
    ) -> None:
        """`affected` is told the banks that lost objects unnoticed, as a new listing shows."""
        self._cache = cache
        self._affected = affected
        self._clock = clock
        self._alive: dict[Stream, float] = {}
        self._unlisted = set(expected)
        self._complete = asyncio.Event()
        self._begun = asyncio.Event()
        self._judge()
        self._gone = asyncio.Event()
        self._lost: list[Stream] = []

    def expect(self, more: Iterable[Stream]) -> None:
        """These are opened as well. Before `begin`."""
        self._unlisted |= set(more)

    def begin(self) -> None:
        """The streams are opened now: from here on, silence counts."""
        self._alive = dict.fromkeys(self._unlisted, self._clock())

    def listed(self, stream: Stream, uids: frozenset[str], *, resource_version: int) -> None:
        """Forget what is not there any more. What is there was taken before."""
        gone = self._cache.retain(
            stream.kind.kind, stream.namespace, uids, resource_version=resource_version
        )
        self._affected(gone)
        self._unlisted.discard(stream)
        self._judge()

    async def turn(self, stream: Stream) -> None:
        """Return when a listing may begin. Banks come first, so that new ones need not wait for
        what thousands of others consist of.
        """
        if stream.kind not in FIRST:
            await self._begun.wait()

    def alive(self, stream: Stream) -> None:
        """The API server answered on this stream."""
        self._alive[stream] = self._clock()

    def gone(self, stream: Stream) -> None:
        """The API server does not know this kind any more."""
        self._lost.append(stream)
        self._gone.set()

    async def wait_gone(self) -> Stream:
        """Wait until a kind is not served any more; return its stream."""
        await self._gone.wait()
        return self._lost[0]

    @property
    def complete(self) -> bool:
        """Whether everything that existed at the start is known."""
        return self._complete.is_set()

    async def wait_begun(self) -> None:
        """Wait until all banks are known, though not what they consist of."""
        await self._begun.wait()

    async def wait_complete(self) -> None:
        """Wait until everything that existed at the start is known."""
        await self._complete.wait()

    def missing(self) -> tuple[str, ...]:
        """Return the streams whose first listing is not there yet."""
        return tuple(sorted(str(stream) for stream in self._unlisted))

    def ages(self) -> dict[Stream, float]:
        """Return the seconds since the API server last answered on each stream."""
        now = self._clock()
        return {stream: now - at for stream, at in self._alive.items()}

    def _judge(self) -> None:
        if not any(stream.kind in FIRST for stream in self._unlisted):
            self._begun.set()
        if not self._unlisted:
            self._complete.set()
