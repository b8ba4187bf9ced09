"""The backends that the settings ask for, opened and closed in the right order."""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from memorybank.configuration import key_ring
from memorybank.errors import ConfigurationError, MemoryBankError
from memorybank.ports import (
    Embedder,
    Embedders,
    MemoryStore,
    ReplaceableEmbedder,
    SearchIndex,
    SharedStore,
    VectorCache,
)
from memorybank.search import MemoryIndex, ServedIndex
from memorybank.server.embedding import Counted, OpenedEmbedders, open_embedder
from memorybank.services.selftest import INTERNAL_TENANT
from memorybank.settings import Settings
from memorybank.stores.sqlite import SqliteStore
from memorybank.stores.sqlite.follower import SqliteFollower
from memorybank.stores.sqlite.writer import Replication

if TYPE_CHECKING:
    from memorybank.server.following import Followed
    from memorybank.stores.postgres import PostgresIndex, PostgresStore

    Store = SqliteStore | PostgresStore | SqliteFollower

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Engine:
    """Where memories are kept, how texts become vectors, and how both are searched."""

    store: MemoryStore
    embedder: ReplaceableEmbedder
    embedders: Embedders
    index: SearchIndex
    shared: SharedStore | None = None
    """The store, where other processes may write it."""
    cache: VectorCache | None = None
    """Vectors of the texts met last; None when none are remembered."""
    followed: Followed | None = None
    """The bank that is read here; None for one of its own."""
    renew: Callable[[], Awaitable[object]] | None = None
    """Reads the store anew when another one is in its place; None for `index.rebuild`."""


@asynccontextmanager
async def open_engine(
    settings: Settings,
    *,
    counted: Counted = lambda _hits, _misses: None,
    replication: Replication | None = None,
    followed: Followed | None = None,
) -> AsyncIterator[Engine]:
    """Open the backends; on the way out everything that was accepted is finished.

    `counted` hears how many texts the cache of vectors knew, and how many not. What somebody writes
    into SQLite is acknowledged when the `replication` has confirmed it.

    The index is built in the background, a recall waits for it. Raises ConfigurationError.
    """
    async with AsyncExitStack() as stack:
        opened = await open_embedder(settings, counted=counted)
        stack.push_async_callback(opened.embedder.close)
        model = opened.embedder.model
        store: Store = (
            await open_store(settings, model, replication)
            if followed is None
            else await followed.open_store(settings, model)
        )
        stack.push_async_callback(store.close)
        await opened.settle(store.embeddings)
        embedders = OpenedEmbedders(settings, opened, counted=counted)
        stack.push_async_callback(embedders.close)
        await embedders.choose(store.embeddings)
        index = await build_index(settings, store, embedders.current)
        stack.push_async_callback(index.close)
        await stack.enter_async_context(_built_in_background(index))
        shared = None if isinstance(store, SqliteStore) else store

        async def renew() -> None:
            await embedders.choose(store.embeddings)  # another model may be in use there
            await index.rebuild((embedders.current.model, embedders.current.dimensions))

        yield Engine(
            store, embedders.current, embedders, index, shared, opened.cache, followed, renew
        )


async def open_store(
    settings: Settings, model: str, replication: Replication | None = None
) -> SqliteStore | PostgresStore:
    """Open the store for vectors of this embedding space. Raises ConfigurationError."""
    if settings.database.engine == "postgres":
        return await _open_postgres(settings, model)
    if settings.database_url is not None:
        raise ConfigurationError(
            "there is an address of a database, and the engine is sqlite",
            field="database.engine",
            hint="choose the engine postgres, or take the address away",
        )
    require_no_copy_alone(settings.database_path)
    store = await SqliteStore.open(
        settings.database_path,
        model=model,
        audited=settings.audit.kinds(),
        ring=key_ring(settings),
        checkpoints=settings.checkpoints,
        replication=replication,
    )
    # Of the bank that was followed before this one was promoted.
    await asyncio.to_thread(shutil.rmtree, copies_in(settings.database_path), ignore_errors=True)
    return store


def copies_in(database: Path) -> Path:
    """Return the folder beside a database in which a copy of another bank is kept."""
    return database.with_name("following")


def require_no_copy_alone(database: Path) -> None:
    """Raise ConfigurationError where a bank would begin with nothing beside a copy of one."""
    if database.exists() and database.stat().st_size:
        return
    for copy in sorted(copies_in(database).rglob("*.db")):
        raise ConfigurationError(
            f"there is no bank in {database.parent}, but the copy of one that was followed",
            field="follow",
            hint="promote it: docs/service/standby.md, Promotion; or, when the copy is all that is"
            f" left, move {copy} to {database}",
        )


async def build_index(
    settings: Settings, store: Store, embedder: Embedder
) -> MemoryIndex | PostgresIndex:
    """Return an index, an empty one unless the database itself is searched.

    Where there is a vector server, a task keeps it up to date until the index is closed. Raises
    ConfigurationError.
    """
    if settings.vector.provider == "embedded":
        return MemoryIndex(store, dimensions=embedder.dimensions)
    if settings.vector.provider == "pgvector":
        if isinstance(store, SqliteStore | SqliteFollower):
            raise ConfigurationError(
                "pgvector is a part of PostgreSQL, and the bank is in SQLite",
                field="vector.provider",
                hint="write `embedded`, or choose the engine postgres",
            )
        return await store.search_inside(model=embedder.model, dimensions=embedder.dimensions)
    if settings.encryption.enabled:
        raise ConfigurationError(
            "the bank is encrypted, and Chroma would hold its vectors in clear",
            field="vector.provider",
            hint="write `embedded`: the vectors of an encrypted bank stay in memory",
        )
    # Loaded here: most banks ask no server, and the library takes some MiB.
    from memorybank.vectors import ChromaServer

    chroma = settings.vector.chroma
    index = ServedIndex(
        store,
        ChromaServer(chroma.url, timeout_seconds=chroma.timeout_seconds),
        prefix=chroma.collections,
        space=(embedder.model, embedder.dimensions),
        but=(INTERNAL_TENANT,),
        lineage=store.lineage if isinstance(store, SqliteStore) else 0,
    )
    index.start()
    return index


async def _open_postgres(settings: Settings, model: str) -> PostgresStore:
    # Loaded here: a bank on SQLite needs neither the driver nor the megabytes that it takes.
    from memorybank.server.postgres import server_of
    from memorybank.stores.postgres import PostgresStore

    if key_ring(settings) is not None:
        raise ConfigurationError(
            "a bank on PostgreSQL cannot be encrypted by the service",
            field="encryption.enabled",
            hint="leave encryption off and encrypt the server's disk, or choose the engine sqlite",
        )
    if settings.vector.provider == "chroma":
        raise ConfigurationError(
            "a bank on PostgreSQL has no use for Chroma, which several processes would fill",
            field="vector.provider",
            hint="write `embedded` or `pgvector`, or choose the engine sqlite",
        )
    return await PostgresStore.open(
        server_of(settings),
        model=model,
        audited=settings.audit.kinds(),
        readers=settings.database.readers,
    )


@asynccontextmanager
async def _built_in_background(index: SearchIndex) -> AsyncIterator[None]:
    async def build() -> None:
        began = time.monotonic()
        try:
            await index.catch_up()
        except MemoryBankError as error:  # a recall tries again, and says so to its caller
            _logger.warning("the search index could not be built: %s", error.message)
        else:
            _logger.debug("the search index was built in %.2f s", time.monotonic() - began)

    task = asyncio.create_task(build())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
