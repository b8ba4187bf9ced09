"""The keys that an identity provider publishes (RFC 7517), fetched when they are needed."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx
import jwt

from memorybank.auth.jwt import SIGNATURES
from memorybank.errors import Unavailable

_logger = logging.getLogger(__name__)

_FRESH_SECONDS = 300.0
"""A key that the provider has withdrawn is accepted for so long at most while it answers."""

_STALE_SECONDS = 3_600.0
"""... and for so long while it does not: an outage of the provider should not be ours at once."""

_PAUSE_SECONDS = 10.0
"""Between two fetches, whatever tokens come: made-up key ids must not make us flood anybody."""

_TIMEOUT_SECONDS = 5.0
_MAX_BYTES = 262_144
_MIN_RSA_BITS = 2_048


@dataclass(frozen=True, slots=True)
class _Published:
    """A public key, and the algorithms that it may verify: by its kind, curve and what it says."""

    id: object
    algorithms: frozenset[str]
    key: Any


class PublishedKeys:
    """A key set behind a URL, kept in memory.

    Fetched anew when it is old, and when a token names a key that is not in it: that is how a
    provider rotates. One fetch at a time, however many wait for it.
    """

    algorithms = frozenset(SIGNATURES)

    def __init__(
        self, client: httpx.AsyncClient, url: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._client = client
        self._url = url
        self._clock = clock
        self._keys: list[_Published] = []
        self._fetched = float("-inf")
        self._tried = float("-inf")
        self._fetching = asyncio.Lock()

    async def keys(self, key_id: str | None, algorithm: str) -> Sequence[Any]:
        """See KeySource. A token without key id is verified if just one key fits."""
        if self._age() < _FRESH_SECONDS:
            found = self._fitting(key_id, algorithm)
            if found is not None:
                return [found]
        await self._refresh()
        if self._age() > _STALE_SECONDS:
            raise Unavailable(
                "the keys of the identity provider cannot be fetched",
                hint="try again; the service's log says what is wrong with auth.jwt.jwks_url",
            )
        found = self._fitting(key_id, algorithm)
        return [] if found is None else [found]

    def _age(self) -> float:
        return self._clock() - self._fetched

    def _fitting(self, key_id: str | None, algorithm: str) -> Any:
        fitting = [
            each.key
            for each in self._keys
            if (key_id is None or each.id == key_id) and algorithm in each.algorithms
        ]
        return fitting[0] if len(fitting) == 1 or (fitting and key_id is not None) else None

    async def _refresh(self) -> None:
        async with self._fetching:
            if self._clock() - self._tried < _PAUSE_SECONDS:
                return  # somebody else did while this one waited, or a moment ago
            self._tried = self._clock()
            try:
                self._keys = _usable(await self._fetch())
            except (httpx.HTTPError, ValueError) as error:
                _logger.warning("the key set of auth.jwt.jwks_url cannot be fetched: %s", error)
            else:
                self._fetched = self._clock()

    async def _fetch(self) -> bytes:
        async with self._client.stream("GET", self._url, timeout=_TIMEOUT_SECONDS) as answer:
            if answer.status_code != 200:
                raise ValueError(f"it answers {answer.status_code}")
            body = b""
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > _MAX_BYTES:
                    raise ValueError("it is too large")
            return body


def _usable(body: bytes) -> list[_Published]:
    """Return the public keys of a key set that this service can use; raises ValueError."""
    document = json.loads(body)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError("it holds no `keys`")  # what is wrong is the document
    return [key for entry in entries if (key := _parsed(entry)) is not None]


def _parsed(entry: object) -> _Published | None:
    """Return a key, None for one that is secret, for encryption, weak or of an unknown kind."""
    if not isinstance(entry, dict) or entry.get("use", "sig") != "sig" or "d" in entry:
        return None
    kind, curve, named = entry.get("kty"), entry.get("crv"), entry.get("alg")
    algorithms = frozenset(
        algorithm
        for algorithm, needed in SIGNATURES.items()
        if needed[0] == kind and needed[1] in (None, curve) and named in (None, algorithm)
    )
    if not algorithms:
        return None
    try:
        key = jwt.PyJWK(entry, min(algorithms)).key
    except (jwt.PyJWTError, ValueError, TypeError, KeyError):
        return None
    if kind == "RSA" and key.key_size < _MIN_RSA_BITS:
        return None
    return _Published(entry.get("kid"), algorithms, key)
