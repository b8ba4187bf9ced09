"""The whole service in this process: real store, real index, real application, a tiny embedder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from memorybank.auth import tokens
from memorybank.auth.bootstrap import establish_admin_key
from memorybank.configuration import load
from memorybank.embedders.switched import SwitchedEmbedder
from memorybank.http.app import Api
from memorybank.ports import Embedder, Generation, GenerationState, MemoryStore
from memorybank.server.app import Application, build_application
from memorybank.server.engine import Engine, build_index, open_store
from memorybank.server.services import Services
from memorybank.settings import Settings
from memorybank.telemetry import Telemetry
from tests.support.word_embedder import WordEmbedder

BASE_URL = "http://localhost:8080"


@dataclass(frozen=True)
class Service:
    """A running service and clients for it."""

    application: Application
    engine: Engine
    telemetry: Telemetry
    admin_key: str

    @property
    def services(self) -> Services:
        """The use cases behind all faces."""
        return self.application.services

    def client(self, key: str | None = None, **options: Any) -> httpx.AsyncClient:
        """Return an HTTP client; without a key of its own it has none."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        transport = httpx.ASGITransport(self.application.asgi)
        return httpx.AsyncClient(transport=transport, base_url=BASE_URL, headers=headers, **options)

    async def key(self, role: str) -> str:
        """Make a key of a role."""
        async with self.client(self.admin_key) as admin:
            answer = await admin.post("/v1/admin/keys", json={"name": role, "role": role})
        assert answer.status_code == 201, answer.text
        token: str = answer.json()["key"]
        return token


@asynccontextmanager
async def service(
    folder: Path, *, embedder: Embedder | None = None, **overrides: Any
) -> AsyncIterator[Service]:
    """Run the service on a folder; `overrides` are settings in the shape of the file."""
    settings = load(overrides={"data": str(folder), **overrides}, environ={})
    async with open_engine(settings, embedder or WordEmbedder()) as engine:
        admin_key = tokens.generate()
        await establish_admin_key(engine.store.access, admin_key)
        telemetry = Telemetry(version="0", revision=settings.revision)
        application = await build_application(engine, settings, telemetry)
        async with _lifespan(application.api):
            yield Service(application, engine, telemetry, admin_key)


class GivenEmbedders:
    """Embedders that are there anyway, by their models."""

    def __init__(self, configured: Embedder, *others: Embedder) -> None:
        self.configured = configured
        self.current = SwitchedEmbedder(configured)
        self._known = {each.model: each for each in (configured, *others)}

    async def choose(self, store: MemoryStore) -> None:
        for each in await store.embeddings.generations():
            if each.state is GenerationState.ACTIVE:
                store.embeddings.use(each.model)
                self.current.use(await self.opened(each))

    def use_key(self, _key: str | None) -> None:
        """See Embedders: these need none."""

    async def opened(self, generation: Generation) -> Embedder:
        return self._known[generation.model]


@asynccontextmanager
async def open_engine(
    settings: Settings, embedder: Embedder, *others: Embedder
) -> AsyncIterator[Engine]:
    """Open the real store and index around an embedder; `others` made vectors before."""
    store = await open_store(settings, embedder.model)
    embedders = GivenEmbedders(embedder, *others)
    if others:
        await embedders.choose(store)
    index = await build_index(settings, store, embedders.current)
    try:
        yield Engine(store, embedders.current, embedders, index)
    finally:
        await index.close()
        await store.close()


@asynccontextmanager
async def _lifespan(api: Api) -> AsyncIterator[None]:
    """Run the application's lifespan in a task of its own, as a server does.

    Fixtures are set up and torn down in different tasks, which its task group does not allow.
    """
    started, stop = asyncio.Event(), asyncio.Event()

    async def run() -> None:
        async with api.router.lifespan_context(api):
            started.set()
            await stop.wait()

    task = asyncio.create_task(run())
    await started.wait()
    yield
    stop.set()
    await task
