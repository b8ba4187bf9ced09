"""The bank's own condition, for its administrators."""

from __future__ import annotations

import time

from memorybank.auth.principal import Principal
from memorybank.ports import Embedder, MemoryStore, SearchIndex
from memorybank.schemas.care import BankStatus, CheckReport, EmbedderView, IndexView, store_view


class CareService:
    """Tells versions and sizes, and checks the store."""

    def __init__(
        self, store: MemoryStore, embedder: Embedder, index: SearchIndex, *, version: str
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._index = index
        self._version = version
        self._began = time.monotonic()

    async def status(self, caller: Principal) -> BankStatus:
        """Tell what is there. Raises Forbidden, StoreUnavailable."""
        caller.require_bank()
        stats = await self._store.stats()
        return BankStatus(
            version=self._version,
            uptime_seconds=round(time.monotonic() - self._began, 1),
            store=store_view(await self._store.care.status()),
            index=IndexView(position=self._index.seq, lag=max(0, stats.seq - self._index.seq)),
            embedder=EmbedderView(model=self._embedder.model, dimensions=self._embedder.dimensions),
        )

    async def check(self, caller: Principal) -> CheckReport:
        """Read everything that is stored; requests go on meanwhile. Raises Forbidden."""
        caller.require_bank()
        began = time.monotonic()
        return CheckReport.of(await self._store.care.integrity(), time.monotonic() - began)
