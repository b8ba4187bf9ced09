"""What a vector server has of a store's vectors, kept up with the change feed.

The server has a collection per tenant, and one without vectors that keeps up to which change it was
fed. All of it is derived data: what is missing, and be it everything, is given to it again from the
vectors in the store. Nobody waits for that: the index knows the signs of all vectors.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Protocol

from memorybank.domain.feed import FeedPage
from memorybank.errors import StoreUnavailable, VectorsUnavailable
from memorybank.ports import MemoryStore, Vector, VectorServer, VectorsStatus
from memorybank.search.tenant import Nearness, Question

_PAGE = 2_000
"""Changes that are read, and written, at a time."""
_LOOK_SECONDS = 10.0
"""How often it is looked whether the server still has what it had."""
_LOOKED_AT = 50
"""Collections whose vectors are counted at such a time, one after the other."""
_PAUSES = (0.5, 1.0, 2.0, 5.0)
"""Seconds until the server is tried again, one after the other; then always the last."""

_LOST = "the vector server has lost vectors of this bank"

_logger = logging.getLogger(__name__)


class Indexed(Protocol):
    """What the index in memory has, of the newest state of the store, by tenant."""

    async def embedded(self) -> Mapping[str, Collection[str]]:
        """Return the ids of the memories that have a vector."""

    async def counted(self) -> Mapping[str, int]:
        """Return how many these are."""


class Mirror:
    """Feeds one server for one store. One task runs `run`; the rest is called from its loop."""

    def __init__(
        self,
        server: VectorServer,
        store: MemoryStore,
        *,
        prefix: str,
        space: tuple[str, int],
        indexed: Indexed,
        but: Collection[str] = (),
        lineage: int = 0,
    ) -> None:
        """Make no contact yet.

        No other store may use the same server under the same prefix. Tenants in `but` are left
        out. `space` names the vectors, and says how long they are. A position counts within one
        `lineage` of the store alone: with another one the server is filled anew.
        """
        self._lineage = lineage
        self._server = server
        self._store = store
        self._prefix = prefix
        self._space = space
        self._indexed = indexed
        self._but = frozenset(but)
        self._collections: dict[str, str] = {}
        """The ids of what the server has, by name."""
        self._position = 0
        self._missing = 0
        self._problem: str | None = "the vector server was not asked yet"
        self._following = False
        self._again = False
        self._clean = False
        self._looked_at = 0
        self._woken = asyncio.Event()

    def status(self) -> VectorsStatus:
        """Tell how far it is."""
        return VectorsStatus(self._position, self._missing, self.problem)

    @property
    def problem(self) -> str | None:
        """Why the server can not tell all; None when it can."""
        if self._problem is None and self._missing:
            return f"the vector server is being filled: {self._missing} vectors are missing"
        return self._problem

    def wake(self) -> None:
        """Something has changed in the store."""
        self._woken.set()

    def start_again(self, space: tuple[str, int] | None) -> None:
        """Drop what the server has and fill it anew, with the vectors of this space, or with those
        of the same as before.
        """
        self._space = space or self._space
        self._clean = self._again = True
        self._problem = "the vector server is filled anew"
        self.wake()

    async def nearest(self, tenant: str, question: Question, *, seq: int) -> Nearness | None:
        """Ask the server; None when it can not tell. `seq` is the newest change that is known."""
        collection = self._collections.get(self._name(tenant))
        if self._problem is not None or collection is None:
            return None
        knows_all = self._position >= seq
        try:
            products = await self._server.nearest(
                collection, question.vector, count=question.count, among=question.among
            )
        except VectorsUnavailable as error:
            self._doubt(error.message)
            return None
        if knows_all and question.among is None and len(products) >= question.count:
            return Nearness(products, min(products.values()))
        return Nearness(products)

    async def vector(self, tenant: str, memory_id: str) -> Vector | None:
        """Return a memory's vector; None when there is none, or the server can not tell."""
        collection = self._collections.get(self._name(tenant))
        if self._problem is not None or collection is None:
            return None
        try:
            return await self._server.get(collection, memory_id)
        except VectorsUnavailable as error:
            self._doubt(error.message)
            return None

    async def differing(self) -> int:
        """Count the vectors that are missing on the server or should not be there.

        0 while it is behind, or cannot be asked: then it is looked after anyway.
        """
        if self.problem is not None:
            return 0
        position = self._position
        expected = await self._expected()
        count = 0
        try:
            for tenant, ids in expected.items():
                count += len((await self._ids(tenant)).symmetric_difference(ids))
        except VectorsUnavailable as error:
            self._doubt(error.message)
            return 0
        newest = (await self._store.stats()).seq
        return count if self._position == position == newest else 0

    async def run(self) -> None:
        """Keep the server up to date until cancelled."""
        failures = 0
        while True:
            try:
                self._following = False
                await self._follow()
                failures = 0
            except (VectorsUnavailable, StoreUnavailable) as error:
                failures = 0 if self._following else failures
                if not failures:
                    _logger.warning("the vector server is not used: %s", error.message)
                self._problem = error.message
                await asyncio.sleep(_PAUSES[min(failures, len(_PAUSES) - 1)])
                failures += 1
            except Exception:  # whatever it is, the server must not stay behind for ever
                _logger.exception("the vector server could not be brought up to date")
                self._problem = "the vector server could not be brought up to date"
                await asyncio.sleep(_PAUSES[-1])

    async def _follow(self) -> None:
        await self._agree()
        self._problem, self._following = None, True
        if self._missing:
            _logger.info(
                "the vector server is being filled", extra={"details": {"count": self._missing}}
            )
        clock = asyncio.get_running_loop().time
        looked = clock()
        while True:
            self._woken.clear()
            if self._again:
                return
            await self._take_changes()
            if clock() >= looked + _LOOK_SECONDS:
                await self._look()
                looked = clock()
            with suppress(TimeoutError):
                async with asyncio.timeout_at(looked + _LOOK_SECONDS):
                    await self._woken.wait()

    async def _agree(self) -> None:
        """Find out what the server has, drop what it should not have, and give what it lacks."""
        self._again = False
        clean, self._clean = self._clean, False
        try:
            there = await self._server.collections(f"{self._prefix}.")
            ledger = there.get(self._ledger())
            position = None if ledger is None or clean else ledger.position
            if position is not None and position > (await self._store.stats()).seq:
                position = None  # the store was put back to an earlier state
            expected = await self._expected()
            kept = {self._ledger(), *map(self._name, expected)} if position is not None else set()
            for name in there.keys() - kept:
                await self._server.drop(name)
            self._collections = {name: there[name].id for name in there.keys() & kept}
            self._position = position or 0
            lacking = await self._lacking(expected)
            self._missing = sum(map(len, lacking.values()))
            if self._position:
                await self._fill(lacking)
            if position is None:
                await self._keep_position(0)
        except BaseException:
            self._clean = self._clean or clean
            raise

    async def _lacking(self, expected: Mapping[str, set[str]]) -> dict[str, set[str]]:
        """Return what the server lacks, by tenant; remove what it has and should not have."""
        lacking = {}
        for tenant, ids in expected.items():
            there = await self._ids(tenant)
            if strange := there - ids:
                await self._server.remove(self._collections[self._name(tenant)], sorted(strange))
            if missing := ids - there:
                lacking[tenant] = missing
        return lacking

    async def _ids(self, tenant: str) -> set[str]:
        """Return whose vectors the server has of a tenant."""
        collection = self._collections.get(self._name(tenant))
        return set() if collection is None else await self._server.ids(collection)

    async def _fill(self, lacking: Mapping[str, set[str]]) -> None:
        """Give the server what it lacks of what it should have had at its position."""
        after = 0
        self._problem = None
        while after < self._position and any(lacking.values()):
            page = await self._feed(after)
            for tenant, ids, vectors in _embedded_in(page):
                wanted = [at for at, each in enumerate(ids) if each in lacking.get(tenant, ())]
                if wanted:
                    await self._put(
                        tenant, [ids[at] for at in wanted], [vectors[at] for at in wanted]
                    )
                    lacking[tenant].difference_update(ids[at] for at in wanted)
            after = page.seq
            if page.complete:
                break

    async def _take_changes(self) -> None:
        """Do to the server what was done to the store since its position."""
        while True:
            page = await self._feed(self._position)
            changed = await self._write(page)
            self._position = page.seq
            if changed:
                await self._keep_position(page.seq)
            if page.complete:
                break
        self._missing = 0

    async def _write(self, page: FeedPage) -> bool:
        """Return whether there was anything to do."""
        gone: dict[str, list[str]] = {}
        for tenant, memory_id in page.gone:
            gone.setdefault(tenant, []).append(memory_id)
        added = list(_embedded_in(page))
        for tenant, ids in _without_vector(page):
            gone.setdefault(tenant, []).extend(ids)
        changed = False
        for tenant, ids in gone.items():
            collection = self._collections.get(self._name(tenant))
            if collection is not None and tenant not in self._but:
                await self._server.remove(collection, ids)
                changed = True
        for tenant, ids, vectors in added:
            if tenant not in self._but:
                await self._put(tenant, ids, vectors)
                changed = True
        return changed

    async def _put(self, tenant: str, ids: Sequence[str], vectors: Sequence[Vector]) -> None:
        fitting = [at for at, each in enumerate(vectors) if each.shape == (self._space[1],)]
        name = self._name(tenant)
        if name not in self._collections:
            self._collections[name] = (await self._server.make(name)).id
        await self._server.put(
            self._collections[name], [ids[at] for at in fitting], [vectors[at] for at in fitting]
        )
        self._missing = max(0, self._missing - len(fitting))

    async def _look(self) -> None:
        """See whether the server still has what it had, and no more. Raises VectorsUnavailable."""
        there = await self._server.collections(f"{self._prefix}.")
        for name, known in self._collections.items():
            if name not in there or there[name].id != known:
                raise VectorsUnavailable(_LOST)
        counts = {
            self._name(tenant): count
            for tenant, count in (await self._indexed.counted()).items()
            if count and tenant not in self._but
        }
        for name in there.keys() - counts.keys() - {self._ledger()}:
            self._collections.pop(name, None)  # nothing of a tenant that is gone stays behind
            await self._server.drop(name)
        names = sorted(counts)
        turn = names[self._looked_at :] + names[: self._looked_at]
        self._looked_at = (self._looked_at + _LOOKED_AT) % max(1, len(names))
        for name in turn[:_LOOKED_AT]:
            known = self._collections.get(name, "")
            count = await self._server.count(known) if known else 0
            if count != counts[name] and not self._woken.is_set():  # unless it changed meanwhile
                raise VectorsUnavailable(_LOST)

    async def _expected(self) -> dict[str, set[str]]:
        return {
            tenant: set(ids)
            for tenant, ids in (await self._indexed.embedded()).items()
            if ids and tenant not in self._but
        }

    async def _feed(self, after: int) -> FeedPage:
        return await self._store.feed(after, limit=_PAGE, model=self._space[0])

    async def _keep_position(self, position: int) -> None:
        name = self._ledger()
        if name not in self._collections:
            self._collections[name] = (await self._server.make(name)).id
        await self._server.note(self._collections[name], position)

    def _doubt(self, why: str) -> None:
        self._problem, self._again = why, True
        self.wake()

    def _ledger(self) -> str:
        line = f"{self._lineage}." if self._lineage else ""
        return f"{self._prefix}.{_digest(self._space[0])[:12]}.{line}position"

    def _name(self, tenant: str) -> str:
        """Return the name of a tenant's collection: of any tenant 95 letters at most, and no clue
        who it is."""
        return f"{self._prefix}.{_digest(self._space[0])[:12]}.{_digest(tenant)[:32]}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _embedded_in(page: FeedPage) -> list[tuple[str, list[str], list[Vector]]]:
    """Return the memories of a page that have a vector: tenants, their ids, their vectors."""
    found = []
    for tenant, part in () if page.memories is None else page.memories.of_tenants():
        pairs = [
            (memory_id, vector)
            for memory_id, vector in zip(part.ids, part.vectors, strict=True)
            if vector is not None
        ]
        if pairs:
            found.append((tenant, [each for each, _ in pairs], [each for _, each in pairs]))
    return found


def _without_vector(page: FeedPage) -> list[tuple[str, list[str]]]:
    return [
        (tenant, [i for i, vector in zip(part.ids, part.vectors, strict=True) if vector is None])
        for tenant, part in (() if page.memories is None else page.memories.of_tenants())
    ]
