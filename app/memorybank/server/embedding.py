"""The embedder that the settings ask for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from memorybank.embedders.cache import CachingEmbedder
from memorybank.errors import ConfigurationError
from memorybank.ports import Embedder, EmbeddingStore
from memorybank.settings import EmbeddingSettings, Settings

_logger = logging.getLogger(__name__)

Counted = Callable[[int, int], None]
"""Hears how many texts the cache of vectors knew, and how many not."""


class OpenedEmbedder:
    """An embedder whose dimensions may still have to be found out."""

    def __init__(self, inner: Embedder, cache: CachingEmbedder | None) -> None:
        self._inner = inner
        self.cache = cache
        self.embedder: Embedder = inner if cache is None else cache

    async def settle(self, store: EmbeddingStore) -> None:
        """Make sure that the dimensions are known; raises ConfigurationError."""
        from memorybank.embedders.remote import RemoteEmbedder  # see open_embedder

        if isinstance(self._inner, RemoteEmbedder):
            await self._inner.discover(await store.known_dimensions())


async def open_embedder(
    settings: Settings, *, counted: Counted = lambda _hits, _misses: None
) -> OpenedEmbedder:
    """Open it; only the library that it needs is loaded. Raises ConfigurationError."""
    chosen = settings.embedding
    inner = (
        await _builtin(settings)
        if chosen.provider == "builtin"
        else await asyncio.to_thread(_remote, chosen)
    )
    if not chosen.cache_entries:
        return OpenedEmbedder(inner, None)
    return OpenedEmbedder(
        inner, CachingEmbedder(inner, entries=chosen.cache_entries, counted=counted)
    )


async def _builtin(settings: Settings) -> Embedder:
    from memorybank.embedders.builtin import BuiltinEmbedder
    from memorybank.model.locate import locate

    folder = await asyncio.to_thread(locate, settings.model_dir, _logger.info)
    return await BuiltinEmbedder.open(folder)


def _remote(chosen: EmbeddingSettings) -> Embedder:
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
        url, key = chosen.openai.base_url, _key(chosen)
        api = OpenAiApi(chosen.model, dimensions=chosen.dimensions)
    patience = Patience(
        timeout_seconds=chosen.timeout_seconds,
        retries=chosen.retries,
        breaker_failures=chosen.breaker_failures,
        breaker_seconds=chosen.breaker_seconds,
    )
    return RemoteEmbedder(api, url=url, patience=patience, key=key, dimensions=chosen.dimensions)


def _key(chosen: EmbeddingSettings) -> str | None:
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
