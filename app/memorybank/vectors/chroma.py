"""A VectorServer behind Chroma's HTTP API, version 2 (Chroma 1.x).

Only vectors and the ids of memories go there: no text, no metadata, no name of a tenant. The API is
used as the server's own clients use it; none of them is needed for six routes.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import httpx
import numpy as np

from memorybank.errors import VectorsUnavailable
from memorybank.ports import Vector, VectorCollection

_COLLECTIONS = "/api/v2/tenants/default_tenant/databases/default_database/collections"
_PAGE = 1_000
"""Collections that are listed at a time."""
_IDS = 10_000
"""Ids that are listed at a time: 400 KB of JSON."""
_BATCH = 1_000
"""Vectors that are sent at a time: 2 MB for 384 dimensions; the server takes 40 MiB."""
_BATCH_BYTES = 16 * 1024 * 1024
_POSITION = "memorybank_position"
_OTHER_SECONDS = 60.0
"""How long anything but a search may take."""


class _ServerError(VectorsUnavailable):
    """It says that it cannot do this."""


class ChromaServer:
    """One Chroma server, its default tenant and database."""

    def __init__(self, url: str, *, timeout_seconds: float) -> None:
        """Make no contact yet. `timeout_seconds` is how long a search waits for an answer."""
        self._search_seconds = timeout_seconds
        self._client = httpx.AsyncClient(base_url=url.rstrip("/"), timeout=_OTHER_SECONDS)

    async def collections(self, prefix: str) -> dict[str, VectorCollection]:
        """See VectorServer."""
        found: dict[str, VectorCollection] = {}
        seen = 0
        while True:
            page = await self._ask("GET", "", params={"limit": _PAGE, "offset": seen})
            if not isinstance(page, list):
                raise _nonsense()
            for each in page:
                if str(each.get("name", "")).startswith(prefix):
                    found[each["name"]] = _collection(each)
            seen += len(page)
            if len(page) < _PAGE:
                return found

    async def make(self, name: str) -> VectorCollection:
        """See VectorServer."""
        wanted = {
            "name": name,
            "get_or_create": True,
            "configuration": {"hnsw": {"space": "ip"}},  # of any query, not only of unit vectors
        }
        return _collection(await self._ask("POST", "", json=wanted))

    async def drop(self, name: str) -> None:
        """See VectorServer."""
        await self._ask("DELETE", f"/{name}", absent=True)

    async def note(self, collection: str, position: int) -> None:
        """See VectorServer."""
        await self._ask("PUT", f"/{collection}", json={"new_metadata": {_POSITION: position}})

    async def count(self, collection: str) -> int:
        """See VectorServer."""
        counted = await self._ask("GET", f"/{collection}/count")
        if not isinstance(counted, int):
            raise _nonsense()
        return counted

    async def ids(self, collection: str) -> set[str]:
        """See VectorServer."""
        found: set[str] = set()
        seen = 0
        while True:
            wanted = {"include": [], "limit": _IDS, "offset": seen}
            page = _field(await self._ask("POST", f"/{collection}/get", json=wanted), "ids")
            found.update(page)
            seen += len(page)
            if len(page) < _IDS:
                return found

    async def put(self, collection: str, ids: Sequence[str], vectors: Sequence[Vector]) -> None:
        """See VectorServer. What a failure half-way leaves behind is replaced by the next try."""
        size = max(1, min(_BATCH, _BATCH_BYTES // max(1, 4 * len(vectors[0])))) if ids else 1
        for start in range(0, len(ids), size):
            part = vectors[start : start + size]
            await self._ask(
                "POST",
                f"/{collection}/upsert",
                json={
                    "ids": list(ids[start : start + size]),
                    "embeddings": [
                        base64.b64encode(np.asarray(each, dtype="<f4").tobytes()).decode()
                        for each in part
                    ],
                },
            )

    async def remove(self, collection: str, ids: Sequence[str]) -> None:
        """See VectorServer."""
        for start in range(0, len(ids), _BATCH):
            wanted = {"ids": list(ids[start : start + _BATCH])}
            await self._ask("POST", f"/{collection}/delete", json=wanted)

    async def get(self, collection: str, memory_id: str) -> Vector | None:
        """See VectorServer."""
        wanted = {"ids": [memory_id], "include": ["embeddings"]}
        found = _field(await self._ask("POST", f"/{collection}/get", json=wanted), "embeddings")
        return np.asarray(found[0], dtype=np.float32) if found else None

    async def nearest(
        self, collection: str, vector: Vector, *, count: int, among: Sequence[str] | None
    ) -> dict[str, float]:
        """See VectorServer."""
        wanted: dict[str, Any] = {
            "query_embeddings": [vector.tolist()],
            "n_results": count,
            "include": ["distances"],
        }
        if among is not None:
            wanted["ids"] = list(among)
        try:
            answer = await self._query(collection, wanted)
        except _ServerError:
            if among is None:
                raise
            # It answers 500 when it does not know one of the ids: a moment ago it was added here,
            # or removed there.
            known = {"ids": list(among), "include": []}
            wanted["ids"] = _field(await self._ask("POST", f"/{collection}/get", json=known), "ids")
            if not wanted["ids"]:
                return {}
            answer = await self._query(collection, wanted)
        [ids], [distances] = _field(answer, "ids"), _field(answer, "distances")
        return {each: 1.0 - distance for each, distance in zip(ids, distances, strict=True)}

    async def _query(self, collection: str, wanted: Mapping[str, Any]) -> Any:
        path = f"/{collection}/query"
        return await self._ask("POST", path, json=wanted, timeout=self._search_seconds)

    async def close(self) -> None:
        """See VectorServer."""
        await self._client.aclose()

    async def _ask(self, method: str, path: str, *, absent: bool = False, **options: Any) -> Any:
        """Return what the answer says; `absent`: None when there is no such thing."""
        try:
            answer = await self._client.request(method, _COLLECTIONS + path, **options)
        except httpx.TimeoutException:
            raise VectorsUnavailable("Chroma does not answer in time") from None
        except httpx.TransportError as error:
            name = type(error).__name__
            raise VectorsUnavailable(f"Chroma cannot be reached ({name})") from None
        if answer.status_code == 404:
            if absent:
                return None
            raise VectorsUnavailable(
                "Chroma has lost a collection of this bank, or its URL is wrong"
            )
        if answer.status_code == 410:
            raise VectorsUnavailable(
                "Chroma does not know version 2 of its API: it needs Chroma 1.x"
            )
        if answer.status_code == 500:
            raise _ServerError("Chroma answered 500")
        if answer.status_code not in (200, 201):
            raise VectorsUnavailable(f"Chroma answered {answer.status_code}")
        try:
            return answer.json()
        except ValueError:
            raise _nonsense() from None


def _collection(answer: Any) -> VectorCollection:
    if not isinstance(answer, Mapping) or not isinstance(answer.get("id"), str):
        raise _nonsense()
    position = (answer.get("metadata") or {}).get(_POSITION)
    return VectorCollection(answer["id"], position if isinstance(position, int) else None)


def _field(answer: Any, name: str) -> list[Any]:
    value = answer.get(name) if isinstance(answer, Mapping) else None
    if not isinstance(value, list):
        raise _nonsense()
    return value


def _nonsense() -> VectorsUnavailable:
    return VectorsUnavailable("what answers is not Chroma: is its URL right?")
