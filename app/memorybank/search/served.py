"""SearchIndex whose vectors are with a vector server: words, filters and signs stay in memory."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress

from typing_extensions import override

from memorybank.domain.memory import MemoryFilter
from memorybank.domain.search import Refinement
from memorybank.ports import IndexCheck, MemoryStore, Vector, VectorServer, VectorsStatus
from memorybank.search.index import MemoryIndex
from memorybank.search.mirror import Mirror
from memorybank.search.tenant import Nearness
from memorybank.search.vectors import CoarseVectors


class ServedIndex(MemoryIndex):
    """Asks the server which memories are near, and ranks as MemoryIndex does.

    What the filter means is decided here, so that no answer ever holds what it should not, whatever
    the server says. A memory is found as soon as the store has it; until the server has its vector,
    and for all while it is down, the signs of vectors tell roughly how near they are.
    """

    def __init__(
        self,
        store: MemoryStore,
        server: VectorServer,
        *,
        prefix: str,
        space: tuple[str, int],
        but: Collection[str] = (),
        lineage: int = 0,
    ) -> None:
        """`space` is the embedding space in use, and its dimensions; see Mirror for the rest."""
        super().__init__(store, dimensions=space[1], vectors=CoarseVectors)
        self._server = server
        self._mirror = Mirror(
            server, store, prefix=prefix, space=space, indexed=self, but=but, lineage=lineage
        )
        self._task: asyncio.Task[None] | None = None

    @override
    @property
    def problem(self) -> str | None:
        """See SearchIndex."""
        return self._mirror.problem

    @override
    def vectors(self) -> VectorsStatus | None:
        """See SearchIndex."""
        return self._mirror.status()

    def start(self) -> None:
        """Keep the server up to date from now on, until `close`."""
        self._task = asyncio.create_task(self._mirror.run())

    @override
    async def _near(
        self,
        tenant: str,
        vector: Vector | None,
        *,
        where: MemoryFilter,
        limit: int,
        refine: Refinement,
    ) -> Nearness | None:
        if vector is None or self.problem is not None:
            return None
        question = await self._thread.run(
            lambda: self._of(tenant, vector).question(
                vector, where=where, limit=limit, refine=refine
            )
        )
        if question is None:
            return None
        return await self._mirror.nearest(tenant, question, seq=self.seq)

    @override
    async def vector(self, tenant: str, memory_id: str) -> Vector | None:
        """See SearchIndex. While the server cannot tell, one of the same signs."""
        exact = await self._mirror.vector(tenant, memory_id)
        return await super().vector(tenant, memory_id) if exact is None else exact

    @override
    async def catch_up(self, seq: int | None = None) -> None:
        """See SearchIndex. The server may still be behind."""
        before = self.seq
        await super().catch_up(seq)
        if self.seq > before:
            self._mirror.wake()

    @override
    async def rebuild(
        self,
        space: tuple[str, int] | None = None,
        *,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> int:
        """See SearchIndex. The server is filled anew behind the answer."""
        count = await super().rebuild(space, before=before)
        self._mirror.start_again(space)
        return count

    @override
    async def check(self) -> IndexCheck:
        """See SearchIndex. On the server, which vectors there are is compared, not their values."""
        here = await super().check()
        return IndexCheck(here.compared, here.differing + await self._mirror.differing())

    @override
    async def close(self) -> None:
        """End the task, and let go of the server."""
        if self._task is not None:
            self._task.cancel()
            with suppress(asyncio.CancelledError):
                await self._task
        await self._server.close()
        await super().close()

    async def embedded(self) -> Mapping[str, Collection[str]]:
        """See Indexed."""
        await self.catch_up()
        return await self._thread.run(
            lambda: {tenant: each.embedded() for tenant, each in self._content.tenants.items()}
        )

    async def counted(self) -> Mapping[str, int]:
        """See Indexed."""
        await self.catch_up()
        return await self._thread.run(
            lambda: {tenant: each.with_vector() for tenant, each in self._content.tenants.items()}
        )
