"""The bank's own condition, for its administrators."""

from __future__ import annotations

import logging
import time
from dataclasses import asdict

from memorybank.auth.principal import Principal
from memorybank.domain.configuration import ConfigurationInEffect
from memorybank.ports import Embedder, MemoryStore, SearchIndex, VectorCache
from memorybank.schemas.care import (
    BankStatus,
    CacheView,
    CheckReport,
    ConfigurationView,
    EmbedderView,
    IndexCheckReport,
    IndexRebuilt,
    IndexView,
    PoolView,
    VectorServerView,
    store_view,
)

_logger = logging.getLogger(__name__)


class CareService:
    """Tells versions and sizes, and checks the store."""

    def __init__(
        self,
        store: MemoryStore,
        embedder: Embedder,
        index: SearchIndex,
        *,
        version: str,
        configuration: ConfigurationInEffect,
        cache: VectorCache | None = None,
    ) -> None:
        """`cache` is what the embedder remembers, if it does."""
        self._cache = cache
        self._configuration = configuration
        self._store = store
        self._embedder = embedder
        self._index = index
        self._version = version
        self._began = time.monotonic()

    async def status(self, caller: Principal) -> BankStatus:
        """Tell what is there. Raises Forbidden, StoreUnavailable."""
        caller.require_bank()
        stats = await self._store.stats()
        cache = None if self._cache is None else self._cache.status()
        return BankStatus(
            version=self._version,
            uptime_seconds=round(time.monotonic() - self._began, 1),
            store=store_view(await self._store.care.status()),
            index=IndexView(
                position=self._index.seq,
                lag=max(0, stats.seq - self._index.seq),
                vectors=VectorServerView.of(self._index.vectors(), stats.seq),
            ),
            embedder=EmbedderView(model=self._embedder.model, dimensions=self._embedder.dimensions),
            pool=PoolView.model_validate(asdict(self._store.care.pool())),
            cache=None if cache is None else CacheView.model_validate(asdict(cache)),
        )

    async def configuration(self, caller: Principal) -> ConfigurationView:
        """Tell which configuration is in effect, by fingerprints. Raises Forbidden."""
        caller.require_bank()
        return ConfigurationView.of(self._configuration.report)

    async def check(self, caller: Principal) -> CheckReport:
        """Read everything that is stored; requests go on meanwhile. Raises Forbidden."""
        caller.require_bank()
        began = time.monotonic()
        return CheckReport.of(await self._store.care.integrity(), time.monotonic() - began)

    async def check_index(self, caller: Principal) -> IndexCheckReport:
        """Compare what is kept in memory with the store; what differs is built anew.

        Raises Forbidden, StoreUnavailable.
        """
        caller.require_bank()
        began = time.monotonic()
        found = await self._index.check()
        dropped = 0 if self._cache is None else self._cache.check()
        if found.differing:
            _logger.error("the search index is damaged: it is built anew")
            await self._index.rebuild()
        return IndexCheckReport(
            ok=not found.differing and not dropped,
            compared=found.compared,
            differing=found.differing,
            rebuilt=found.differing > 0,
            cached_dropped=dropped,
            seconds=round(time.monotonic() - began, 3),
        )

    async def rebuild_index(self, caller: Principal) -> IndexRebuilt:
        """Drop what is kept in memory and read it anew; searches go on meanwhile.

        Raises Forbidden, StoreUnavailable.
        """
        caller.require_bank()
        began = time.monotonic()
        dropped = 0 if self._cache is None else self._cache.clear()
        memories = await self._index.rebuild()
        seconds = round(time.monotonic() - began, 3)
        return IndexRebuilt(memories=memories, cached_dropped=dropped, seconds=seconds)
