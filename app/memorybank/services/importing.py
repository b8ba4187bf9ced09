"""Reading the lines of an export back; see schemas.transfer.

Lines are taken in batches, each in one transaction, so an import that is cut leaves whole batches
behind and none by half. A memory that is there already and says the same is left alone: the same
file again goes on where the last attempt ended, and twice changes nothing.
"""

from __future__ import annotations

import asyncio
import binascii
import dataclasses
import hashlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeAlias

import numpy as np
from pydantic import ValidationError

from memorybank.auth.principal import Principal
from memorybank.domain.keys import Scope
from memorybank.domain.memory import Memory, searchable_text
from memorybank.domain.tenants import Tenant
from memorybank.errors import InvalidRequest, MemoryBankError, NotFound, Unavailable
from memorybank.ports import (
    Embedder,
    Kept,
    KeptLink,
    KeptRevision,
    KeptStep,
    MemoryStore,
    Put,
    SearchIndex,
    Vector,
)
from memorybank.schemas.details import checked_details
from memorybank.schemas.problems import invalid_request
from memorybank.schemas.transfer import (
    LINES,
    MAX_PROBLEMS,
    VERSION,
    AnyLine,
    EndLine,
    HeaderLine,
    ImportQuery,
    ImportReport,
    KeyLine,
    LineProblem,
    LinkLine,
    MemoryLine,
    RevisionLine,
    StepLine,
    TenantLine,
    memory_of,
)
from memorybank.services import jsonl
from memorybank.services.memories import now_utc
from memorybank.spaces import of_space

_BATCH = 500
"""Lines per transaction: some 20 ms, which other writers wait."""
_BATCH_BYTES = 4 * 1024 * 1024
_EMBEDDED_AT_ONCE = 32
_UNIT = 0.01
"""How far from 1 the squared length of a vector may be; float32 is a thousand times better."""
_VOLATILE = frozenset({"accessed_at", "access_count"})
"""Fields that reading changes: a memory that differs in them alone is the same."""
_COMPARED = tuple(each.name for each in dataclasses.fields(Memory) if each.name not in _VOLATILE)


@dataclass(frozen=True, slots=True)
class _Numbered:
    number: int
    item: Kept


@dataclass(frozen=True, slots=True)
class _About:
    """A line about memories that must be there: it comes after theirs."""

    number: int
    item: KeptRevision | KeptLink | KeptStep


_Item: TypeAlias = _Numbered | _About | TenantLine


class ImportService:
    """Imports, one at a time."""

    def __init__(
        self,
        store: MemoryStore,
        embedder: Embedder,
        index: SearchIndex,
        *,
        clock: Callable[[], datetime] = now_utc,
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._index = index
        self._clock = clock
        self._running = asyncio.Lock()

    async def run(
        self, caller: Principal, chunks: AsyncIterator[bytes], query: ImportQuery
    ) -> ImportReport:
        """Take over what the bytes of a file hold; when this returns, all of it can be found.

        Raises Forbidden; InvalidRequest when the file is none, is of a newer version, was cut or
        changed: what came before that place is kept then, and the message says how much it is.
        Raises Unavailable while another import runs.
        """
        if query.all_tenants:
            caller.require_bank()
        caller.require(Scope.ADMIN)
        if self._running.locked():
            raise Unavailable("an import is running", hint="wait until it is done")
        async with self._running:
            work = _Import(self._store, self._embedder, caller.tenant, query, self._clock)
            try:
                await work.take_all(chunks)
            finally:
                if work.changed:
                    await self._index.catch_up()
            return work.report()


class _Import:
    """One file on its way in."""

    def __init__(
        self,
        store: MemoryStore,
        embedder: Embedder,
        tenant: str,
        query: ImportQuery,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._embedder = embedder
        self._own = tenant
        self._query = query
        self._clock = clock
        self._began = time.monotonic()
        self._header: HeaderLine | None = None
        self._end: EndLine | None = None
        self._hash = hashlib.sha256()
        self._read = 0
        self._unread = False
        self._kinds: Counter[str] = Counter()
        self._tenants = {tenant}
        self._counts: Counter[str] = Counter()
        self._problems: list[LineProblem] = []
        self._problems_left_out = 0

    @property
    def changed(self) -> bool:
        """Whether anything was stored."""
        return not self._query.dry_run and bool(self._counts["added"] + self._counts["replaced"])

    def report(self) -> ImportReport:
        """Return what became of the lines."""
        count = self._counts
        return ImportReport(
            dry_run=self._query.dry_run,
            lines=self._read,
            added=count["added"],
            unchanged=count["unchanged"],
            replaced=count["replaced"],
            kept=count["kept"],
            skipped=count["skipped"],
            refused=count["refused"],
            history=count["history"],
            links=count["links"],
            steps=count["steps"],
            embedded=count["embedded"],
            seconds=round(time.monotonic() - self._began, 3),
            problems=self._problems,
            problems_left_out=self._problems_left_out,
        )

    async def take_all(self, chunks: AsyncIterator[bytes]) -> None:
        """Read to the end and check that it was the end."""
        # While one batch is being stored, the next is read.
        storing: asyncio.Task[None] | None = None
        try:
            async for batch in self._batches(chunks):
                items = await asyncio.to_thread(self._parsed, batch)
                if storing is not None:
                    await storing
                storing = asyncio.create_task(self._take(items))
        finally:
            if storing is not None:
                await storing
        self._check_end()

    async def _batches(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[list[bytes]]:
        batch: list[bytes] = []
        size = 0
        async for line in jsonl.lines(chunks):
            batch.append(line)
            size += len(line)
            if len(batch) >= _BATCH or size >= _BATCH_BYTES or self._header is None:
                yield batch
                batch, size = [], 0
        yield batch

    async def _take(self, items: Sequence[_Item]) -> None:
        if self._query.all_tenants and not self._query.dry_run:
            lines = [each for each in items if isinstance(each, TenantLine)]
            await self._make_tenants(
                Tenant(each.name, self._clock(), each.quotas()) for each in lines
            )
        await self._store_all([each for each in items if isinstance(each, _Numbered)])
        if not self._query.dry_run:
            await self._store_about([each for each in items if isinstance(each, _About)])

    def _parsed(self, batch: Sequence[bytes]) -> list[_Item]:
        """Return what is to be stored; note what is not. Runs in a thread."""
        found: list[_Item] = []
        for text in batch:
            self._read += 1
            number = 1 if self._header is None else self._read - 2 + self._query.first_line
            if self._end is not None:
                raise InvalidRequest(
                    f"line {number} comes after the end line", hint="send one file at a time"
                )
            item = self._line(number, text)
            if not isinstance(item, EndLine):
                self._hash.update(text)
            if isinstance(item, _Item):
                found.append(item)
        return found

    def _line(self, number: int, text: bytes) -> _Numbered | _About | AnyLine | None:
        try:
            line = LINES.validate_json(text)
        except ValidationError as error:
            if self._header is None:
                raise _no_export() from None
            self._unread = True
            self._refuse(number, invalid_request(error.errors(include_input=False)))
            return None
        if self._header is None:
            self._begin(line)
            return line
        self._kinds[line.kind] += 1
        match line:
            case MemoryLine():
                return self._memory(number, line)
            case RevisionLine() | LinkLine() | StepLine():
                return self._about(number, line)
            case EndLine():
                self._end = line
                return line
            case HeaderLine():
                raise InvalidRequest(
                    f"line {number} is a second header", hint="send one file at a time"
                )
            case TenantLine() | KeyLine():
                self._counts["skipped"] += 1
                return line

    def _begin(self, line: AnyLine) -> None:
        if not isinstance(line, HeaderLine):
            raise _no_export()
        if line.version > VERSION:
            raise InvalidRequest(
                f"the file was written in version {line.version} of the format,"
                f" this service reads up to {VERSION}",
                field="version",
                hint="import it into a newer version of the service",
            )
        if len(line.tenants) > 1 and not self._query.all_tenants:
            raise InvalidRequest(
                f"the file holds {len(line.tenants)} tenants",
                field="all_tenants",
                hint="import it with all_tenants=true and an admin key of the bank",
            )
        self._header = line

    def _memory(self, number: int, line: MemoryLine) -> _Numbered | None:
        assert self._header is not None  # noqa: S101  # no line gets here before it
        memory = line.to_memory(None if self._query.all_tenants else self._own)
        try:
            if line.tenant not in self._header.tenants:
                raise _foreign("memory.tenant")
            _check_details(memory)
            vector = self._vector(line.vector)
        except InvalidRequest as error:
            self._refuse(number, error)
            return None
        return _Numbered(number, Kept(memory, vector))

    def _about(self, number: int, line: RevisionLine | LinkLine | StepLine) -> _About | None:
        assert self._header is not None  # noqa: S101  # no line gets here before it
        tenant: str = (
            memory_of(line.memory, None).tenant if isinstance(line, RevisionLine) else line.tenant
        )
        if tenant not in self._header.tenants:
            self._refuse(number, _foreign("tenant"))
            return None
        if not self._query.all_tenants:
            tenant = self._own
        if isinstance(line, LinkLine):
            return _About(number, KeptLink(tenant, line.to_link()))
        if isinstance(line, StepLine):
            return self._step(number, line, tenant)
        revision = line.to_revision(tenant)
        try:
            _check_details(revision.memory)
        except InvalidRequest as error:
            self._refuse(number, error)
            return None
        return _About(number, KeptRevision(revision))

    def _step(self, number: int, line: StepLine, tenant: str) -> _About | None:
        try:
            return _About(number, line.to_kept(tenant))
        except InvalidRequest as error:
            self._refuse(number, error)
            return None

    def _vector(self, text: str | None) -> Vector | None:
        """Return the vector if it is of the embedding space that is in use here."""
        assert self._header is not None  # noqa: S101  # no line gets here before it
        space = self._header.embeddings
        if text is None or space is None or space.model != self._embedder.model:
            return None
        try:
            vector = np.frombuffer(binascii.a2b_base64(text, strict_mode=True), "<f4")
        except (ValueError, binascii.Error):
            vector = np.empty(0, np.float32)
        # Not "more than": what is no number compares false.
        is_unit = abs(float(vector @ vector) - 1) <= _UNIT
        if vector.shape != (self._embedder.dimensions,) or not is_unit:
            raise InvalidRequest(
                f"vector is not one of {self._embedder.dimensions} dimensions and length 1",
                field="vector",
                hint="leave it out: the memory is embedded anew",
            )
        return of_space(vector.astype(np.float32, copy=False), space.model)

    async def _make_tenants(self, tenants: Iterable[Tenant]) -> None:
        """Make those that are not there, all in one commit."""
        made = list(tenants)
        await asyncio.gather(*map(self._store.access.add_tenant, made))
        self._tenants.update(tenant.name for tenant in made)

    async def _store_all(self, items: Sequence[_Numbered]) -> None:
        wanted = await self._differing(items)
        if not wanted or self._query.dry_run:
            there = {id(each) for each in wanted if each.item.position}
            self._counts["added"] += len(wanted) - len(there)
            self._counts["replaced"] += len(there)
            return
        ready = await self._embedded(wanted)
        # The file may have memories of tenants and no line of theirs: no memory is without tenant.
        named = {each.item.memory.tenant for each in ready}
        await self._make_tenants(Tenant(name, self._clock()) for name in named - self._tenants)
        _seq, outcomes = await self._store.transfer.put_many(
            [each.item for each in ready], replace=self._query.existing == "replace"
        )
        for each, outcome in zip(ready, outcomes, strict=True):
            if isinstance(outcome, MemoryBankError):
                self._refuse(each.number, outcome)
            elif outcome is Put.KEPT:  # stored by somebody else a moment ago
                self._keep(each.number)
            else:
                self._counts[outcome.value] += 1

    async def _store_about(self, items: Sequence[_About]) -> None:
        revisions = [(each, each.item) for each in items if isinstance(each.item, KeptRevision)]
        links = [(each, each.item) for each in items if isinstance(each.item, KeptLink)]
        steps = [(each, each.item) for each in items if isinstance(each.item, KeptStep)]
        store = self._store.transfer
        if revisions:
            outcomes = await store.put_revisions([item for _each, item in revisions])
            self._count_about("history", [each for each, _item in revisions], outcomes)
        if links:
            outcomes = await store.put_links([item for _each, item in links])
            self._count_about("links", [each for each, _item in links], outcomes)
        if steps:
            outcomes = await store.put_steps([item for _each, item in steps])
            self._count_about("steps", [each for each, _item in steps], outcomes)

    def _count_about(
        self, name: str, items: Sequence[_About], outcomes: Sequence[bool | None]
    ) -> None:
        for each, outcome in zip(items, outcomes, strict=True):
            if outcome is None:
                self._refuse(each.number, _homeless(name))
            else:
                self._counts[name if outcome else "unchanged"] += 1

    async def _differing(self, items: Sequence[_Numbered]) -> list[_Numbered]:
        """Return what is new or to be replaced; count the rest."""
        names = [(each.item.memory.tenant, each.item.memory.id) for each in items]
        there = {
            (memory.tenant, memory.id): memory
            for memory in await self._store.transfer.find_many(names)
        }
        found: dict[tuple[str, str], _Numbered] = {}
        for each in items:
            memory = each.item.memory
            name = (memory.tenant, memory.id)
            earlier = found[name].item.memory if name in found else there.get(name)
            if earlier is None:
                found[name] = each
            elif _same(earlier, memory):
                self._counts["unchanged"] += 1
            elif name in found or self._query.existing == "keep":
                self._keep(each.number)
            else:
                found[name] = replace(each, item=replace(each.item, position=1))
        return list(found.values())

    async def _embedded(self, items: Sequence[_Numbered]) -> list[_Numbered]:
        """Return the items, all with vectors."""
        lacking = [number for number, each in enumerate(items) if each.item.vector is None]
        ready = list(items)
        for start in range(0, len(lacking), _EMBEDDED_AT_ONCE):
            places = lacking[start : start + _EMBEDDED_AT_ONCE]
            texts = [searchable_text(items[place].item.memory) for place in places]
            vectors = await self._embedder.embed(texts)
            for place, vector in zip(places, vectors, strict=True):
                ready[place] = replace(items[place], item=replace(items[place].item, vector=vector))
        self._counts["embedded"] += len(lacking)
        return ready

    def _check_end(self) -> None:
        if self._header is None:
            raise _no_export()
        if self._end is None:
            if self._query.part:
                return
            raise InvalidRequest(
                f"the file was cut after line {self._read}; {self._so_far()}",
                hint="send the whole file again: what is stored already is left as it is",
            )
        counts = {kind: number for kind, number in self._kinds.items() if kind != "end"}
        whole = self._end.sha256 == self._hash.hexdigest() and self._end.lines == self._read
        # What a refused line was meant to be is not known: then lines and hash alone must do.
        if self._query.part or (whole and (self._unread or counts == self._end.counts)):
            return
        raise InvalidRequest(
            f"the lines are not those that the end line tells of; {self._so_far()}",
            field="sha256",
            hint="fetch the file again; if it was changed on purpose, leave the end line out and"
            " import it with part=true",
        )

    def _so_far(self) -> str:
        if self._query.dry_run:
            return "nothing was changed"
        stored = self._counts["added"] + self._counts["replaced"]
        return f"{stored} memories before that are stored and stay"

    def _keep(self, number: int) -> None:
        self._counts["kept"] += 1
        self._note(
            LineProblem(
                line=number,
                code="exists",
                message="a memory of this id is there and says something else",
                field="memory.id",
                hint="to have the file's, import with existing=replace",
            )
        )

    def _refuse(self, number: int, error: MemoryBankError) -> None:
        self._counts["refused"] += 1
        self._note(
            LineProblem(
                line=number,
                code=error.code,
                message=error.message,
                field=error.field,
                hint=error.hint,
            )
        )

    def _note(self, problem: LineProblem) -> None:
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(problem)
        else:
            self._problems_left_out += 1


def _check_details(memory: Memory) -> None:
    """Raises InvalidRequest for details that are none of the memory's type.

    What a session's status says, say, its routes rely upon.
    """
    try:
        checked_details(memory.type, memory.details)
    except InvalidRequest as error:
        raise InvalidRequest(
            error.message, field=f"memory.{error.field}", hint=error.hint
        ) from None


def _same(one: Memory, other: Memory) -> bool:
    return all(getattr(one, name) == getattr(other, name) for name in _COMPARED)


def _homeless(name: str) -> NotFound:
    if name == "links":
        return NotFound(
            "one of the memories that the link joins is not there",
            hint="import the line of that memory, too",
        )
    if name == "steps":
        return NotFound(
            "the episode of the step is not there", hint="import the line of that memory, too"
        )
    return NotFound(
        "the memory of this earlier state is not there, or is not newer",
        hint="import the line of that memory, too, with existing=replace",
    )


def _foreign(field: str) -> InvalidRequest:
    return InvalidRequest(
        "tenant is none that the header names",
        field=field,
        hint="correct the line, or add the tenant to the header",
    )


def _no_export() -> InvalidRequest:
    return InvalidRequest(
        "the first line is not the header of an export",
        hint="send what GET /v1/export or `memorybank export` wrote, as it is",
    )
