"""What becomes of memories after they were stored: state, flags, history, succession, links."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any

from memorybank import trail
from memorybank.auth.principal import Principal
from memorybank.domain.edges import Cycle
from memorybank.domain.gate import Finding
from memorybank.domain.keys import Scope
from memorybank.domain.memory import (
    Link,
    LinkType,
    Memory,
    MemoryState,
    Origin,
    RevisionPage,
    searchable_text,
)
from memorybank.domain.work.governed import by_hand
from memorybank.errors import Conflict, InvalidRequest, NotFound
from memorybank.ports import MemoryStore, Move
from memorybank.schemas.details import checked_details
from memorybank.schemas.memories import MemoryPatch, NewMemory
from memorybank.services.adding import CANARY_PROJECT, Adding
from memorybank.services.cycles import closes_cycle
from memorybank.services.ledger import Ledger
from memorybank.services.timing import Timed

_TEXTS = {"content", "title", "tags", "details", "metadata"}
"""What the write gate looks at."""

MAX_LINKS = 1_000
"""Edges of one memory: a list of them is answered whole."""

_NOT_SAID = {
    "id",
    "tenant",
    "created_at",
    "updated_at",
    "state",
    "state_changed_at",
    "state_run",
    "pinned",
    "legal_hold",
    "revision",
    "accessed_at",
    "access_count",
}
"""Fields that a rollback leaves alone: it brings back what a memory said, not what became of it."""


class Life:
    """Changes memories that are there. Two changes of one memory never undo each other."""

    def __init__(
        self,
        store: MemoryStore,
        adding: Adding,
        ledger: Ledger,
        *,
        clock: Callable[[], datetime],
        steady: Callable[[], datetime],
        timed: Timed,
    ) -> None:
        """`steady` is the clock that grace periods are counted by."""
        self._store = store
        self._adding = adding
        self._ledger = ledger
        self._clock = clock
        self._steady = steady
        self._timed = timed

    async def update(
        self, caller: Principal, memory_id: str, patch: MemoryPatch
    ) -> tuple[Memory, tuple[Finding, ...]]:
        """Change what a memory says, by hand: not what only the routes of its type change.

        Else as `change`.
        """
        caller.require(Scope.WRITE)
        changes = patch.changes()
        if not changes:
            raise InvalidRequest("there is nothing to change", hint="send at least one field")
        return await self.change(caller, memory_id, lambda old: by_hand(old, changes), "update")

    async def change(
        self,
        caller: Principal,
        memory_id: str,
        decide: Callable[[Memory], Mapping[str, Any]],
        action: str,
    ) -> tuple[Memory, tuple[Finding, ...]]:
        """Change what a memory says; return it and what the write gate found in what is new.

        `decide` is shown the memory while nobody else changes it, and returns the fields that are
        to change, none to leave it as it is; what it raises is passed on. `action` is what history
        and audit log call it. Raises NotFound. The memory's origin and trust become the caller's,
        if those deserve less trust.
        """
        caller.require(Scope.WRITE)
        async with self._ledger.alone_with([(caller.tenant, memory_id)]):
            old = await self._present(caller.tenant, memory_id)
            changes = decide(old)
            if not changes:
                return old, ()
            new, findings = self._rewritten(caller, old, changes)
            return await self._revise(caller, old, new, action), findings

    async def change_both(
        self,
        caller: Principal,
        ids: tuple[str, str],
        decide: Callable[[Memory, Memory], tuple[Mapping[str, Any], Mapping[str, Any]]],
        action: str,
    ) -> tuple[Memory, Memory, tuple[Finding, ...]]:
        """Change what two memories say in one transaction; return them, and what was found.

        As `change` otherwise. Both or none: with no changes for the first, nothing is done.
        """
        caller.require(Scope.WRITE)
        async with self._ledger.alone_with([(caller.tenant, each) for each in ids]):
            olds = [await self._present(caller.tenant, each) for each in ids]
            decided = decide(olds[0], olds[1])
            if not decided[0]:
                return olds[0], olds[1], ()
            news: list[Memory] = []
            found: list[Finding] = []
            for old, changes in zip(olds, decided, strict=True):
                new, findings = self._rewritten(caller, old, changes)
                news.append(_next(new, self._clock(), {}, after=old))
                found += findings
            vectors = await self._adding.embed([searchable_text(new) for new in news])
            with self._timed("store_replace"):
                seq = await self._store.revise(
                    list(zip(news, vectors, strict=True)), by=caller.key_id, action=action
                )
            self._acknowledge(seq)
            self._adding.stored(vectors)
            return news[0], news[1], tuple(found)

    async def at(self, tenant: str, memory_id: str, revision: int) -> Memory:
        """Return a memory as it was at an earlier revision. Raises NotFound."""
        page = await self._store.history(tenant, memory_id, before=revision + 1, limit=1)
        then = page.revisions[0].memory if page and page.revisions else None
        if then is None or then.revision != revision:
            raise NotFound(
                f"the memory has no revision {revision}",
                field="revision",
                hint="its history lists them",
            )
        return then

    async def rollback(self, caller: Principal, memory_id: str, revision: int) -> Memory:
        """Let a memory say again what it said at a revision; raises NotFound.

        That is a change like any other: it makes a new revision, and can be rolled back.
        """
        caller.require(Scope.WRITE)
        async with self._ledger.alone_with([(caller.tenant, memory_id)]):
            old = await self._present(caller.tenant, memory_id)
            if revision == old.revision:
                raise Conflict(
                    f"the memory is at revision {revision}",
                    field="revision",
                    hint="name an earlier one; its history lists them",
                )
            then = await self.at(caller.tenant, memory_id, revision)
            return await self._revise(caller, old, saying_again(old, then), "rollback")

    async def history(
        self, caller: Principal, memory_id: str, *, before: int | None, limit: int
    ) -> tuple[Memory, RevisionPage]:
        """Return a memory as it is, and what it said before; raises NotFound."""
        caller.require(Scope.READ)
        memory = await self._present(caller.tenant, memory_id)
        page = await self._store.history(caller.tenant, memory_id, before=before, limit=limit)
        if page is None:
            raise unknown()
        return memory, page

    async def supersede(
        self, caller: Principal, memory_id: str, new: NewMemory
    ) -> tuple[Memory, tuple[Finding, ...]]:
        """Store a memory that takes the place of another one; return it, and what was found in it.

        From the moment that the new one holds (`valid_from`, else now) the old one does not: it
        keeps its place in the past. Both changes are one transaction. Raises NotFound, Conflict.
        """
        caller.require(Scope.WRITE)
        memory, findings = self._adding.made(caller, new)
        [vector] = await self._adding.embed([searchable_text(memory)])
        async with self._ledger.alone_with([(caller.tenant, memory_id)]):
            old = await self._present(caller.tenant, memory_id)
            since = memory.valid_from or memory.created_at
            memory = replace(memory, valid_from=since, supersedes=old.id)
            if memory.valid_to is not None and memory.valid_to <= since:
                raise InvalidRequest(
                    "valid_to should be later than the moment from which on the memory holds",
                    field="memory.valid_to",
                    hint="send a valid_from, or a later valid_to",
                )
            outdated = _outdated(old, by=memory.id, since=since, now=self._clock())
            with self._timed("store_add"):
                seq = await self._store.revise(
                    [(outdated, None)],
                    by=caller.key_id,
                    action="supersede",
                    added=[(memory, vector)],
                )
            self._acknowledge(seq)
            self._adding.stored([vector])
            self._adding.count([memory])
            return memory, findings

    async def supersede_by(self, caller: Principal, memory_id: str, other_id: str) -> Memory:
        """Let a memory that is there take the place of another one; return the former."""
        caller.require(Scope.WRITE)
        if memory_id == other_id:
            raise InvalidRequest(
                "a memory cannot take its own place", field="by", hint="name another one"
            )
        names = [(caller.tenant, memory_id), (caller.tenant, other_id)]
        async with self._ledger.alone_with(names):
            old = await self._present(caller.tenant, memory_id)
            other = await self._present(caller.tenant, other_id, field="by")
            if other.supersedes is not None:
                raise Conflict(
                    "the memory that is to take its place has taken that of another one",
                    field="by",
                    hint="name a memory that supersedes none",
                )
            now = self._clock()
            since = other.valid_from or now
            successor = _next(other, now, {"valid_from": since, "supersedes": old.id})
            outdated = _outdated(old, by=other.id, since=since, now=now)
            with self._timed("store_replace"):
                seq = await self._store.revise(
                    [(outdated, None), (successor, None)], by=caller.key_id, action="supersede"
                )
            self._acknowledge(seq)
            return successor

    async def archive(self, caller: Principal, memory_id: str) -> Memory:
        """Keep a memory out of the way: it is found only when asked for. Raises NotFound."""
        caller.require(Scope.WRITE)
        await self._present(caller.tenant, memory_id)
        return await self._moved(caller, memory_id, MemoryState.ARCHIVED)

    async def restore(self, caller: Principal, memory_id: str) -> Memory:
        """Bring a memory back from the archive or the trash. Raises NotFound."""
        caller.require(Scope.WRITE)
        return await self._moved(caller, memory_id, MemoryState.LIVE)

    async def forget(self, caller: Principal, memory_id: str, *, purge: bool = False) -> bool:
        """Move a memory to the trash, or delete it for good; return whether it is gone for good.

        What is in the trash already is unknown here, if it is not to be purged. Raises NotFound,
        and Conflict for a memory on legal hold.
        """
        caller.require(Scope.DELETE)
        memory = await self._store.get(caller.tenant, memory_id)
        if memory is None:
            raise unknown()
        if memory.legal_hold:
            raise Conflict(
                "the memory is on legal hold and cannot be deleted",
                field="id",
                hint="an administrator can release it",
            )
        is_probe = memory.project == CANARY_PROJECT
        if purge or is_probe:
            with self._timed("store_delete"), trail.told_again(is_probe):
                seq = await self._store.delete(caller.tenant, memory_id)
            self._acknowledge(seq)
            return True
        if memory.state is MemoryState.TRASH:
            raise unknown()
        await self._moved(caller, memory_id, MemoryState.TRASH)
        return False

    async def pin(self, caller: Principal, memory_id: str, *, pinned: bool) -> Memory:
        """Keep a memory from being forgotten by itself, or let it be. Raises NotFound."""
        caller.require(Scope.WRITE)
        return await self._marked(caller, memory_id, pinned=pinned)

    async def hold(self, caller: Principal, memory_id: str, *, legal_hold: bool) -> Memory:
        """Keep a memory from being deleted by anybody, or release it. Raises NotFound."""
        caller.require(Scope.ADMIN)
        return await self._marked(caller, memory_id, legal_hold=legal_hold)

    async def link(
        self, caller: Principal, memory_id: str, target: str, kind: LinkType
    ) -> tuple[Link, bool]:
        """Store an edge; return it, and whether it is new. Raises NotFound.

        Raises Conflict, which tells the path, for an edge of an order that would close a cycle.
        """
        caller.require(Scope.WRITE)
        if memory_id == target:
            raise InvalidRequest(
                "a memory cannot be linked to itself", field="target", hint="name another one"
            )
        await self._present(caller.tenant, target, field="target")
        known = await self._links(caller.tenant, memory_id)
        for link in known:
            if (link.source, link.target, link.type) == (memory_id, target, kind):
                return link, False
        if len(known) >= MAX_LINKS:
            raise Conflict(
                f"the memory has {MAX_LINKS} links already",
                field="id",
                hint="remove some, or link to a memory that stands for many",
            )
        link = Link(memory_id, target, kind, self._clock())
        try:
            stored = await self._store.link(caller.tenant, link)
        except Cycle as cycle:
            raise await closes_cycle(self._store, caller.tenant, cycle) from None
        if stored is None:
            raise unknown()
        return link, True

    async def unlink(
        self, caller: Principal, memory_id: str, target: str, kind: LinkType | None
    ) -> None:
        """Remove the edges from one memory to another; raises NotFound when there is none."""
        caller.require(Scope.WRITE)
        if not await self._store.unlink(caller.tenant, memory_id, target, kind):
            raise NotFound("there is no such link", field="target", hint="list the links")

    async def links(self, caller: Principal, memory_id: str) -> list[Link]:
        """Return all edges from and to a memory, oldest first; raises NotFound."""
        caller.require(Scope.READ)
        return await self._links(caller.tenant, memory_id)

    async def _links(self, tenant: str, memory_id: str) -> list[Link]:
        await self._present(tenant, memory_id)
        links = await self._store.links(tenant, memory_id)
        if links is None:
            raise unknown()
        return links

    async def present(self, caller: Principal, memory_id: str) -> Memory:
        """Return a memory that something is to be added to. Raises NotFound."""
        caller.require(Scope.WRITE)
        return await self._present(caller.tenant, memory_id)

    async def _present(self, tenant: str, memory_id: str, *, field: str = "id") -> Memory:
        """Return a memory that is not in the trash; raises NotFound."""
        with self._timed("store_get"):
            memory = await self._store.get(tenant, memory_id)
        if memory is None or memory.state is MemoryState.TRASH:
            raise unknown(field)
        return memory

    def _rewritten(
        self, caller: Principal, old: Memory, changes: Mapping[str, Any]
    ) -> tuple[Memory, tuple[Finding, ...]]:
        """Return a memory with changes as it may be kept, and what the write gate found."""
        new = changed(old, changes)
        findings: tuple[Finding, ...] = ()
        if _TEXTS & changes.keys():
            new, findings = self._adding.guarded(new)
        if searchable_text(new) != searchable_text(old):
            new = _no_more_trusted_than(caller.origin, new)
        return new, findings

    async def _revise(self, caller: Principal, old: Memory, new: Memory, action: str) -> Memory:
        new = _next(new, self._clock(), {}, after=old)
        text, vector = searchable_text(new), None
        if text != searchable_text(old):
            [vector] = await self._adding.embed([text])
        with self._timed("store_replace"):
            seq = await self._store.revise([(new, vector)], by=caller.key_id, action=action)
        self._acknowledge(seq)
        self._adding.stored([vector])
        return new

    async def _moved(self, caller: Principal, memory_id: str, state: MemoryState) -> Memory:
        with self._timed("store_move"):
            seq = await self._store.move(caller.tenant, [Move(memory_id, state, self._steady())])
        return await self._after(caller, memory_id, seq)

    async def _marked(self, caller: Principal, memory_id: str, **flags: bool) -> Memory:
        await self._present(caller.tenant, memory_id)
        pinned, legal_hold = flags.get("pinned"), flags.get("legal_hold")
        with self._timed("store_mark"):
            seq = await self._store.mark(
                caller.tenant, memory_id, pinned=pinned, legal_hold=legal_hold
            )
        return await self._after(caller, memory_id, seq)

    async def _after(self, caller: Principal, memory_id: str, seq: int | None) -> Memory:
        """Return the memory after a change; None means that it was so before."""
        if seq is not None:
            self._ledger.acknowledge(seq)
        memory = await self._store.get(caller.tenant, memory_id)
        if memory is None:
            raise unknown()
        return memory

    def _acknowledge(self, seq: int | None) -> None:
        if seq is None:  # deleted in between
            raise unknown()
        self._ledger.acknowledge(seq)


def unknown(field: str = "id") -> NotFound:
    """Return the error about a memory that this tenant does not have."""
    return NotFound("there is no memory with this id", field=field, hint="list or search for it")


def saying_again(now: Memory, then: Memory) -> Memory:
    """Return a memory that says what it said then; what became of it since stays."""
    return replace(now, **said_by(then))


def said_by(memory: Memory) -> dict[str, Any]:
    """Return what a memory says, by field, without what becomes of it."""
    fields = {name: getattr(memory, name) for name in Memory.__dataclass_fields__}
    return {name: value for name, value in fields.items() if name not in _NOT_SAID}


def following(new: Memory, old: Memory, now: datetime) -> Memory:
    """Return what a memory is to say as the revision that follows the one it has."""
    return _next(new, now, {}, after=old)


def changed(old: Memory, changes: Mapping[str, Any]) -> Memory:
    """Return a memory with changes. Raises InvalidRequest for what it cannot say."""
    new = replace(old, **changes)
    if new.valid_from and new.valid_to and new.valid_to <= new.valid_from:
        raise InvalidRequest(
            "valid_to should be later than valid_from", field="valid_to", hint="correct it"
        )
    return replace(new, details=checked_details(new.type, new.details))


def _no_more_trusted_than(origin: Origin, memory: Memory) -> Memory:
    if origin.trust >= memory.trust:
        return memory
    return replace(memory, origin=origin, trust=origin.trust)


def _next(
    memory: Memory, now: datetime, changes: dict[str, Any], *, after: Memory | None = None
) -> Memory:
    """Return the next revision of a memory; a clock that was set back does not make it older."""
    before = after or memory
    return replace(
        memory,
        **changes,
        revision=before.revision + 1,
        updated_at=max(now, before.updated_at),
    )


def _outdated(old: Memory, *, by: str, since: datetime, now: datetime) -> Memory:
    if old.superseded_by is not None:
        raise Conflict(
            f"the memory {old.superseded_by} has taken its place already",
            field="id",
            hint="supersede that one",
        )
    if old.valid_from is not None and since <= old.valid_from:
        raise InvalidRequest(
            "the new memory should hold from a later time on than the old one",
            field="memory.valid_from",
            hint="send a valid_from that is later than the old one's",
        )
    return _next(old, now, {"valid_to": since, "superseded_by": by})
