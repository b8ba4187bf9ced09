"""Writing everything of a tenant, or of the bank, as lines; see schemas.transfer."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import zlib
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import datetime

import numpy as np
from pydantic import BaseModel

from memorybank.auth.principal import Principal
from memorybank.domain.keys import Scope
from memorybank.domain.memory import MemoryType, Revision
from memorybank.errors import Unavailable
from memorybank.ports import Kept, KeptRevision, MemoryStore, Snapshot
from memorybank.schemas.transfer import (
    MEMORIES,
    EndLine,
    ExportQuery,
    HeaderLine,
    KeyLine,
    LinkLine,
    Space,
    StepLine,
    TenantLine,
)
from memorybank.services.memories import now_utc
from memorybank.services.work.steps import StepQueue

_PAGE = 500
"""Memories read and written out at a time: with vectors a megabyte and some 20 ms of work."""

_AT_ONCE = 2
"""Exports that may run. Each holds a moment of the database, whose log grows meanwhile."""

GZIP_LEVEL = 1
"""Vectors do not compress, and texts at this level do so at twice the speed of the next."""
GZIP_WINDOW = zlib.MAX_WBITS | 16


class ExportService:
    """Exports of one moment, in bounded memory."""

    def __init__(
        self,
        store: MemoryStore,
        steps: StepQueue,
        *,
        space: Callable[[], Space],
        version: str,
        clock: Callable[[], datetime] = now_utc,
    ) -> None:
        """`space` is that of the vectors that are worth exporting: the one in use."""
        self._store = store
        self._steps = steps
        self._space = space
        self._version = version
        self._clock = clock
        self._running = 0

    async def begin(self, caller: Principal, query: ExportQuery) -> AsyncGenerator[bytes]:
        """Check that the caller may, hold on to this moment, and return the bytes to come.

        They end with the end line; what lacks it was cut. Close the iterator to let go early.
        Raises Forbidden, and Unavailable when as many exports run as may.
        """
        if query.all_tenants:
            caller.require_bank()
        caller.require(Scope.ADMIN)
        if self._running >= _AT_ONCE:
            raise Unavailable(
                "as many exports run as may run at once", hint="wait until one is done"
            )
        self._running += 1
        stack = AsyncExitStack()
        stack.callback(self._ended)
        try:
            tenant = None if query.all_tenants else caller.tenant
            # What callers were told is queued belongs to this moment, too.
            await (self._steps.flush_all() if tenant is None else self._steps.flush(tenant))
            snapshot = await stack.enter_async_context(self._store.transfer.snapshot(tenant))
            tenants = await snapshot.tenants()
        except BaseException:
            await stack.aclose()
            raise
        space = self._space() if query.embeddings else None
        header = HeaderLine(
            service=self._version,
            exported_at=self._clock(),
            tenants=[each.name for each in tenants] or [caller.tenant],
            embeddings=space,
        )
        file = _File(space, compressed=query.gzip)
        first: list[HeaderLine | TenantLine] = [header, *map(TenantLine.of, tenants)]
        without = frozenset() if query.events else frozenset({MemoryType.EVENT})
        return _written(stack, snapshot, file, first, without)

    def _ended(self) -> None:
        self._running -= 1


async def _written(
    stack: AsyncExitStack,
    snapshot: Snapshot,
    file: _File,
    first: Sequence[HeaderLine | TenantLine],
    without: frozenset[MemoryType],
) -> AsyncGenerator[bytes]:
    left_out: set[int] = set()
    async with stack:
        keys = [
            KeyLine.of(key)
            for line in first
            if isinstance(line, TenantLine)
            for key in await snapshot.keys(line.name)
        ]
        yield file.lines([*first, *keys])
        position = 0
        while page := await snapshot.memories(after=position, limit=_PAGE):
            position = page[-1].position
            left_out.update(each.position for each in page if each.memory.type in without)
            page = [each for each in page if each.position not in left_out]
            yield await asyncio.to_thread(file.memories, page)
        past = (0, 0)
        while revisions := await snapshot.revisions(after=past, limit=_PAGE):
            past = revisions[-1].position
            revisions = [each for each in revisions if each.position[0] not in left_out]
            yield await asyncio.to_thread(file.revisions, revisions)
        edge = (0, 0, "")
        while links := await snapshot.links(after=edge, limit=_PAGE):
            edge = links[-1].position
            links = [each for each in links if left_out.isdisjoint(each.position[:2])]
            yield file.lines([LinkLine.of(each.tenant, each.link) for each in links])
        done = (0, 0)
        while steps := await snapshot.steps(after=done, limit=_PAGE):
            done = steps[-1].position
            yield file.lines([StepLine.of(each) for each in steps])
    yield file.end()


class _File:
    """Turns lines into bytes, and counts and hashes them."""

    def __init__(self, space: Space | None, *, compressed: bool) -> None:
        self._space = space
        self._gzip = zlib.compressobj(GZIP_LEVEL, wbits=GZIP_WINDOW) if compressed else None
        self._hash = hashlib.sha256()
        self._counts: Counter[str] = Counter()

    def lines(
        self, lines: Sequence[HeaderLine | TenantLine | KeyLine | LinkLine | StepLine]
    ) -> bytes:
        """Return the bytes of small lines."""
        self._counts.update(line.kind for line in lines)
        return self._out(b"".join(map(_bytes, lines)))

    def memories(self, page: Sequence[Kept]) -> bytes:
        """Return the bytes of memories."""
        self._counts["memory"] += len(page)
        return self._out(b"".join(map(self._memory, page)))

    def revisions(self, page: Sequence[KeptRevision]) -> bytes:
        """Return the bytes of earlier states."""
        self._counts["revision"] += len(page)
        return self._out(b"".join(_revision(each.revision) for each in page))

    def end(self) -> bytes:
        """Return the end line, and the end of the compressed stream."""
        total = self._counts.total() + 1
        counts = {kind: each for kind, each in self._counts.items() if each and kind != "header"}
        last = _bytes(EndLine(lines=total, counts=counts, sha256=self._hash.hexdigest()))
        return last if self._gzip is None else self._gzip.compress(last) + self._gzip.flush()

    def _memory(self, item: Kept) -> bytes:
        line = b'{"kind":"memory","memory":' + MEMORIES.dump_json(item.memory)
        if self._space is not None and item.vector is not None and item.model == self._space.model:
            vector = base64.b64encode(np.ascontiguousarray(item.vector, "<f4").tobytes())
            line += b',"vector":"' + vector + b'"'
        return line + b"}\n"

    def _out(self, plain: bytes) -> bytes:
        self._hash.update(plain)
        return plain if self._gzip is None else self._gzip.compress(plain)


def _revision(revision: Revision) -> bytes:
    about = {
        "replaced_at": revision.replaced_at.isoformat(),
        "replaced_by": revision.replaced_by,
        "action": revision.action,
    }
    memory = MEMORIES.dump_json(revision.memory)
    return b'{"kind":"revision","memory":' + memory + b"," + json.dumps(about).encode()[1:] + b"\n"


def _bytes(line: BaseModel) -> bytes:
    return line.model_dump_json().encode() + b"\n"
