"""The embedder that the settings ask for."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import ValidationError

from memorybank.embedders.cache import CachingEmbedder
from memorybank.embedders.switched import AbsentEmbedder, SwitchedEmbedder
from memorybank.errors import ConfigurationError, Conflict
from memorybank.ports import Embedder, EmbeddingStore, Generation, GenerationState
from memorybank.settings import EmbeddingSettings, Settings

if TYPE_CHECKING:
    from memorybank.embedders.remote import RemoteEmbedder

_logger = logging.getLogger(__name__)

Counted = Callable[[int, int], None]
"""Hears how many texts the cache of vectors knew, and how many not."""

_REACHED_BY = {"provider", "model", "dimensions", "ollama", "openai"}
"""Settings that say how a model is reached. Keys are in files of their own: none holds a secret."""


class OpenedEmbedder:
    """An embedder whose dimensions may still have to be found out."""

    def __init__(
        self, embedder: Embedder, cache: CachingEmbedder | None, remote: RemoteEmbedder | None
    ) -> None:
        """`remote` is the one behind the others where a service embeds."""
        self.embedder = embedder
        self.cache = cache
        self._remote = remote

    def set_dimensions(self, known: int | None) -> None:
        """Tell the dimensions from what is kept of earlier."""
        if self._remote is not None and known is not None:
            self._remote.assume(known)

    def use_key(self, key: str | None) -> None:
        """Ask the service with this key from now on."""
        if self._remote is not None:
            self._remote.use_key(key)

    async def settle(self, store: EmbeddingStore) -> None:
        """Make sure that the dimensions are known; raises ConfigurationError."""
        if self._remote is not None:
            await self._remote.discover(await store.known_dimensions())


class OpenedEmbedders:
    """See Embedders: the one of the settings, and others of earlier settings when needed."""

    def __init__(self, settings: Settings, configured: OpenedEmbedder, *, counted: Counted) -> None:
        """The configured one stays its opener's to close."""
        self._settings = settings
        self._configured = configured
        self._counted = counted
        self._others: dict[str, OpenedEmbedder] = {}
        self._current = SwitchedEmbedder(configured.embedder)

    @property
    def current(self) -> SwitchedEmbedder:
        """See Embedders."""
        return self._current

    @property
    def configured(self) -> Embedder:
        """See Embedders."""
        return self._configured.embedder

    async def choose(self, store: EmbeddingStore) -> None:
        """Let the embedder serve whose vectors are there, also when the settings name another."""
        configured = self.configured
        settings = self._settings.embedding
        await store.describe(
            configured.model,
            embedder=settings.model_dump_json(include=_REACHED_BY),
            dimensions=configured.dimensions,
        )
        for generation in await store.generations():
            if (
                generation.state is GenerationState.ACTIVE
                and generation.model != self._current.model
            ):
                store.use(generation.model)
                self._current.use(await self._whatever_is_left(generation, store))

    async def opened(self, generation: Generation) -> Embedder:
        """See Embedders."""
        if generation.model == self.configured.model:
            return self.configured
        if generation.model not in self._others:
            try:
                self._others[generation.model] = await self._open(generation)
            except ConfigurationError as error:
                raise Conflict(
                    f"the embedding model {generation.model} cannot be used: {error.message}",
                    hint=error.hint,
                ) from error
        return self._others[generation.model].embedder

    def use_key(self, key: str | None) -> None:
        """See Embedders. Former models are asked at the same service, or need no key."""
        for each in (self._configured, *self._others.values()):
            each.use_key(key)

    async def close(self) -> None:
        """Close those that were opened for other generations."""
        for other in self._others.values():
            await other.embedder.close()

    async def _whatever_is_left(self, generation: Generation, store: EmbeddingStore) -> Embedder:
        try:
            return await self.opened(generation)
        except Conflict as error:
            _logger.warning("searches go by words alone until all is embedded: %s", error.message)
            known = generation.dimensions or await store.known_dimensions(model=generation.model)
            return AbsentEmbedder(generation.model, known or 1, error.message)

    async def _open(self, generation: Generation) -> OpenedEmbedder:
        """Open the embedder of a generation as it was reached then, with today's patience."""
        reached = {} if generation.embedder is None else json.loads(generation.embedder)
        try:
            chosen = EmbeddingSettings.model_validate(
                self._settings.embedding.model_dump(exclude=_REACHED_BY) | reached
            )
        except ValidationError:
            raise ConfigurationError("this version does not know how it is reached") from None
        settings = self._settings.model_copy(update={"embedding": chosen})
        opened = await open_embedder(settings, counted=self._counted)
        if opened.embedder.model != generation.model:
            await opened.embedder.close()
            raise ConfigurationError("this version has another one in its place")
        opened.set_dimensions(generation.dimensions)
        return opened


async def open_embedder(
    settings: Settings, *, counted: Counted = lambda _hits, _misses: None
) -> OpenedEmbedder:
    """Open it; only the library that it needs is loaded. Raises ConfigurationError."""
    chosen = settings.embedding
    remote = None if chosen.builtin else await asyncio.to_thread(_remote, chosen)
    inner = await _builtin(settings) if remote is None else remote
    if not chosen.cache_entries:
        return OpenedEmbedder(inner, None, remote)
    cache = CachingEmbedder(inner, entries=chosen.cache_entries, counted=counted)
    return OpenedEmbedder(cache, cache, remote)


async def _builtin(settings: Settings) -> Embedder:
    from memorybank.model.locate import locate

    folder = await asyncio.to_thread(locate, settings.model_dir, _logger.info)
    if settings.embedding.provider == "builtin-tiny":
        from memorybank.embedders.tiny import TinyEmbedder

        return await TinyEmbedder.open(folder)
    from memorybank.embedders.builtin import BuiltinEmbedder

    return await BuiltinEmbedder.open(folder)


def _remote(chosen: EmbeddingSettings) -> RemoteEmbedder:
    from memorybank.embedders.apis import EmbeddingApi, OllamaApi, OpenAiApi
    from memorybank.embedders.remote import Patience, RemoteEmbedder

    assert chosen.model is not None  # noqa: S101  # the settings were validated
    key = None
    api: EmbeddingApi
    if chosen.provider == "ollama":
        url = chosen.ollama.url
        api = OllamaApi(
            chosen.model,
            dimensions=chosen.dimensions,
            keep_alive=chosen.ollama.keep_alive,
            truncate=chosen.ollama.truncate,
        )
    else:
        url, key = chosen.openai.base_url, read_embedding_key(chosen)
        api = OpenAiApi(chosen.model, dimensions=chosen.dimensions)
    patience = Patience(
        timeout_seconds=chosen.timeout_seconds,
        retries=chosen.retries,
        breaker_failures=chosen.breaker_failures,
        breaker_seconds=chosen.breaker_seconds,
    )
    return RemoteEmbedder(api, url=url, patience=patience, key=key, dimensions=chosen.dimensions)


def read_embedding_key(chosen: EmbeddingSettings) -> str | None:
    """Return the key for the service, None when none is configured; raises ConfigurationError."""
    file = chosen.openai.key_file
    if file is None:
        return None
    where = {"field": "embedding.openai.key_file"}
    try:
        key = file.read_text(encoding="ascii").strip()
    except OSError as error:
        raise ConfigurationError(
            f"the key file {file} cannot be read: {error.strerror}",
            **where,
            hint="mount the Secret there, or correct the path",
        ) from None
    except UnicodeDecodeError:
        key = ""
    if not key or not key.isprintable() or " " in key:
        raise ConfigurationError(
            f"the file {file} does not hold a key", **where, hint="put the key alone into it"
        )
    return key
