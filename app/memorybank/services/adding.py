"""Taking memories in: one or many, each once."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from memorybank import trail
from memorybank.auth.principal import Principal
from memorybank.domain.duplicates import fingerprint, says_the_same
from memorybank.domain.gate import Action, Finding, GatePolicy, guarded
from memorybank.domain.ids import new_id
from memorybank.domain.keys import Scope
from memorybank.domain.memory import Memory, MemoryState, searchable_text
from memorybank.domain.work.governed import require_stored_as_such
from memorybank.errors import (
    Conflict,
    EmbedderUnavailable,
    InvalidRequest,
    MemoryBankError,
    WriteRefused,
)
from memorybank.ports import PENDING, Claim, Embedder, MemoryStore, Vector
from memorybank.schemas.details import checked_details
from memorybank.schemas.memories import NewMemory
from memorybank.schemas.problems import invalid_request
from memorybank.services.echoes import Echoes
from memorybank.services.ledger import Ledger
from memorybank.services.timing import Counted, Timed, uncounted
from memorybank.services.waiting import embed_in_time

IDEMPOTENCY_KEPT = timedelta(hours=24)
IDEMPOTENCY_FIELD = "Idempotency-Key"

_EMBEDDED_AT_ONCE = 32
"""Texts of a batch per request to the embedder: others get their turn in between."""

_LOOKED_AT_ONCE = 16
"""Memories of a batch that the write gate looks at in one go: others get their turn in between."""

CANARY_PROJECT = "memorybank-canary"
"""The project of deployments' own probes. What is stored there is stored as it is, and what is
deleted there is gone at once: probes leave nothing behind, whichever version they are of."""


@dataclass(frozen=True, slots=True)
class Stored:
    """What became of a new memory."""

    memory: Memory
    deduplicated: bool = False
    """True when nothing was stored: `memory` was there and says the same."""
    replayed: bool = False
    """True when an earlier request with the same Idempotency-Key was answered so."""
    findings: tuple[Finding, ...] = ()
    """What the write gate found, and did about it."""


@dataclass(slots=True)
class _Item:
    """A new memory on its way in."""

    memory: Memory
    deduplicate: bool
    findings: tuple[Finding, ...] = ()
    echo_of: str | None = None
    """Id of the memory that was served to the caller, and that this one repeats."""
    vector: Vector | None = None
    twin: Memory | None = None


class Adding:
    """Stores new memories. Each is durable, and found by the next recall, when it is acknowledged.

    Of two requests of the same words, however close together, the second sees the first.
    """

    def __init__(
        self,
        store: MemoryStore,
        embedder: Embedder,
        ledger: Ledger,
        *,
        clock: Callable[[], datetime],
        timed: Timed,
        counted: Counted = uncounted,
        deferred: Callable[[], None] = lambda: None,
        gate: GatePolicy | None = None,
    ) -> None:
        """`deferred` is called when memories were stored whose vectors are still to be made."""
        self.gate = gate or GatePolicy()
        self.echoes = Echoes()
        self._deferred = deferred
        self._store = store
        self._embedder = embedder
        self._ledger = ledger
        self._clock = clock
        self._timed = timed
        self._counted = counted

    async def add(self, caller: Principal, new: NewMemory, *, once: str | None = None) -> Stored:
        """Store a memory; `once` is the request's Idempotency-Key."""
        caller.require(Scope.WRITE)
        request = new.model_dump_json(exclude_unset=True)
        [outcome] = await self._once(caller, [new], request, once)
        if isinstance(outcome, MemoryBankError):
            raise outcome
        return outcome

    async def add_many(
        self, caller: Principal, raw: Sequence[Any], *, once: str | None = None
    ) -> list[Stored | MemoryBankError]:
        """Store the memories of a batch that are sound, in one transaction.

        `raw` is as it came; the answer holds for each what became of it, or why it was refused.
        """
        caller.require(Scope.WRITE)
        news = [_parsed(each, place) for place, each in enumerate(raw)]
        request = json.dumps(raw, sort_keys=True)
        return await self._once(caller, news, request, once, places=True)

    async def is_answered(self, caller: Principal, once: str) -> bool:
        """Say whether a request with this Idempotency-Key was answered, so that it is again."""
        known = await self._store.find_claim(caller.tenant, caller.key_id, once)
        return known is not None and self._is_kept(known)

    def made(self, caller: Principal, new: NewMemory) -> tuple[Memory, tuple[Finding, ...]]:
        """Return the memory that a request means, as it may be kept, and what was found in it.

        Raises InvalidRequest, and WriteRefused for what the bank does not take.
        """
        if type(new) is NewMemory:
            require_stored_as_such(new.type)
        now = self._clock()
        origin = caller.origin if new.origin is None else new.origin
        if origin.trust > caller.origin.trust:
            raise InvalidRequest(
                f"this key's memories come from {caller.origin}, which deserves less trust than"
                f" {origin}",
                field="origin",
                hint="leave it out, or name an origin that deserves less trust",
            )
        if new.valid_from and new.valid_to and new.valid_to <= new.valid_from:
            raise InvalidRequest(
                "valid_to should be later than valid_from", field="valid_to", hint="correct it"
            )
        memory = Memory(
            id=new_id(),
            tenant=caller.tenant,
            content=new.content,
            created_at=now,
            updated_at=now,
            title=new.title,
            type=new.type,
            project=new.project,
            session=new.session,
            tags=tuple(new.tags),
            metadata=new.metadata,
            importance=new.importance,
            occurred_at=new.occurred_at,
            details=checked_details(new.type, new.details),
            pinned=new.pinned,
            valid_from=new.valid_from,
            valid_to=new.valid_to,
            origin=origin,
            trust=origin.trust,
        )
        return self.guarded(memory)

    def guarded(self, memory: Memory) -> tuple[Memory, tuple[Finding, ...]]:
        """Return a memory as it may be kept, and what the write gate found. Raises WriteRefused.

        What is kept is within the limits of each field, so that an export of it can be imported.
        """
        looked, findings = guarded(memory, self.gate)
        if any(each.action is Action.MASK for each in findings):
            _check_limits(looked)
        return looked, findings

    async def embed(self, texts: Sequence[str]) -> list[Vector]:
        """Return the vectors of the texts, PENDING for those that cannot be embedded now.

        Call `stored` with them when they are in the store.
        """
        vectors: list[Vector] = []
        for start in range(0, len(texts), _EMBEDDED_AT_ONCE):
            try:
                with self._timed("embed"):
                    part = await embed_in_time(
                        self._embedder, texts[start : start + _EMBEDDED_AT_ONCE]
                    )
            except EmbedderUnavailable:
                return [*vectors, *([PENDING] * (len(texts) - len(vectors)))]
            vectors.extend(part)
        return vectors

    def stored(self, vectors: Iterable[Vector | None]) -> None:
        """Let those be embedded later that were stored as PENDING."""
        if any(vector is PENDING for vector in vectors):
            self._deferred()

    def count(self, new: Iterable[Memory]) -> None:
        """Count memories that were stored just now; those of probes are nobody's."""
        for memory in new:
            if memory.project != CANARY_PROJECT:
                self._counted("memory", memory.type.value)

    async def _once(
        self,
        caller: Principal,
        news: Sequence[NewMemory | MemoryBankError],
        request: str,
        once: str | None,
        *,
        places: bool = False,
    ) -> list[Stored | MemoryBankError]:
        """Answer as before where the request was answered before, else do it."""
        if once is None:
            return await self._store_all(caller, news, None, places=places)
        digest = hashlib.sha256(request.encode(errors="surrogatepass")).digest()
        async with self._ledger.alone_with([("once", caller.tenant, caller.key_id, once)]):
            known = await self._store.find_claim(caller.tenant, caller.key_id, once)
            now = self._clock()
            if known is not None and self._is_kept(known):
                if known.digest != digest:
                    raise InvalidRequest(
                        "this Idempotency-Key was used for another request",
                        field=IDEMPOTENCY_FIELD,
                        hint="use a new key for a new request; a key is remembered for 24 hours",
                    )
                return await self._replayed(caller, known)
            claim = Claim(caller.tenant, caller.key_id, once, digest, "", now)
            return await self._store_all(caller, news, claim, places=places)

    def _is_kept(self, claim: Claim) -> bool:
        return claim.created_at >= self._clock() - IDEMPOTENCY_KEPT

    async def _store_all(
        self,
        caller: Principal,
        news: Sequence[NewMemory | MemoryBankError],
        claim: Claim | None,
        *,
        places: bool,
    ) -> list[Stored | MemoryBankError]:
        outcomes: list[_Item | MemoryBankError] = []
        for place, new in enumerate(news):
            outcomes.append(
                new if isinstance(new, MemoryBankError) else self._item(caller, new, place, places)
            )
            if place % _LOOKED_AT_ONCE == _LOOKED_AT_ONCE - 1:
                await asyncio.sleep(0)
        items = [outcome for outcome in outcomes if isinstance(outcome, _Item)]
        texts = [searchable_text(item.memory) for item in items]
        words = [(caller.tenant, fingerprint(text)) for text in texts]
        async with self._ledger.alone_with(words):
            await self._find_twins(caller.tenant, items, texts)
            results = [
                Stored(
                    each.twin or each.memory,
                    deduplicated=each.twin is not None,
                    findings=each.findings,
                )
                if isinstance(each, _Item)
                else each
                for each in outcomes
            ]
            fresh = [(item.memory, _vector(item)) for item in items if item.twin is None]
            await self._keep(fresh, claim, results)
        return results

    def _item(
        self, caller: Principal, new: NewMemory, place: int, places: bool
    ) -> _Item | MemoryBankError:
        try:
            memory, findings = self.made(caller, new)
            item = _Item(memory, new.deduplicate and new.project != CANARY_PROJECT, findings)
            self._listen_for_echo(caller, item)
        except InvalidRequest as error:
            return _of_a_batch(error, place) if places else error
        return item

    def _listen_for_echo(self, caller: Principal, item: _Item) -> None:
        """Note when a new memory repeats what a recall has just answered. Raises WriteRefused."""
        action = self.gate.echo
        if action is Action.OFF or not item.deduplicate:
            return
        source = self.echoes.echoed(caller, item.memory)
        if source is None:
            return
        if action is Action.REFUSE:
            raise WriteRefused(
                f"this was recalled a moment ago, from the memory {source}",
                field="content",
                hint="nothing needs to be stored; update that memory if something has changed",
            )
        item.findings += (Finding("recall_echo", source, action, "content"),)
        if action is Action.DEDUPLICATE:
            item.echo_of = source

    async def _find_twins(self, tenant: str, items: list[_Item], texts: list[str]) -> None:
        """Give each item its vector, and the memory that says the same if there is one.

        That may also be an earlier one of the same items.
        """
        if not items:
            return
        with self._timed("store_same_words"):
            vectors, known = await asyncio.gather(
                self.embed(texts), self._store.same_words(tenant, texts)
            )
        before: dict[bytes, list[Memory]] = {}
        for item, text, vector, twins in zip(items, texts, vectors, known, strict=True):
            item.vector = vector
            earlier = before.setdefault(fingerprint(text), twins)
            if item.deduplicate:
                item.twin = next((old for old in earlier if _repeats(item.memory, old)), None)
            if item.twin is None and item.echo_of is not None:
                item.twin = await self._source(tenant, item.echo_of)
                if item.twin is None:  # gone since: then it is no repetition of anything
                    item.findings = tuple(
                        each for each in item.findings if each.check != "recall_echo"
                    )
            if item.twin is None:
                earlier.append(item.memory)

    async def _source(self, tenant: str, memory_id: str) -> Memory | None:
        """Return the memory that was served, if it can still be recalled."""
        memory = await self._store.get(tenant, memory_id)
        return memory if memory is not None and memory.state is MemoryState.LIVE else None

    async def _keep(
        self,
        fresh: list[tuple[Memory, Vector]],
        claim: Claim | None,
        results: list[Stored | MemoryBankError],
    ) -> None:
        if not any(isinstance(each, Stored) for each in results):
            return  # nothing was done that must not be done twice
        if claim is None and not fresh:
            return
        are_probes = all(memory.project == CANARY_PROJECT for memory, _ in fresh)
        with self._timed("store_add"), trail.told_again(bool(fresh) and are_probes):
            if claim is None:
                seq = await self._store.add_many(fresh)
            else:
                told = replace(claim, answer=_written(results))
                seq = await self._store.add_claimed(
                    fresh, told, since=claim.created_at - IDEMPOTENCY_KEPT
                )
        self._ledger.acknowledge(seq)
        self.stored(vector for _, vector in fresh)
        self.count(memory for memory, _ in fresh)

    async def _replayed(self, caller: Principal, claim: Claim) -> list[Stored | MemoryBankError]:
        """Return what was answered then: memories as they were stored, not as they are now."""
        outcomes: list[Stored | MemoryBankError] = []
        for each in json.loads(claim.answer):
            if "id" not in each:
                outcomes.append(_read_error(each))
                continue
            memory = await self._as_stored(caller.tenant, each["id"])
            if memory is None:
                raise Conflict(
                    "a memory that this Idempotency-Key stored is purged",
                    field=IDEMPOTENCY_FIELD,
                    hint="use a new key to store it again",
                )
            # Answers of the version before the write gate hold none.
            found = tuple(_read_finding(finding) for finding in each.get("findings", ()))
            outcomes.append(Stored(memory, each["deduplicated"], replayed=True, findings=found))
        return outcomes

    async def _as_stored(self, tenant: str, memory_id: str) -> Memory | None:
        first = await self._store.history(tenant, memory_id, before=2, limit=1)
        if first is None:
            return None
        if first.revisions:
            return first.revisions[0].memory
        return await self._store.get(tenant, memory_id)


def _parsed(raw: Any, place: int) -> NewMemory | MemoryBankError:
    try:
        return NewMemory.model_validate(raw)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        return invalid_request(
            [{**each, "loc": ("memories", place, *each["loc"])} for each in errors]
        )


def _check_limits(masked: Memory) -> None:
    """Raises WriteRefused where the marks in the place of what was masked make a text too long."""
    try:
        NewMemory(
            content=masked.content,
            title=masked.title,
            tags=list(masked.tags),
            metadata=masked.metadata,
        )
        checked_details(masked.type, masked.details)
    except ValidationError as error:
        field = str(error.errors(include_url=False, include_input=False)[0]["loc"][0])
        raise _too_long(field) from None
    except InvalidRequest as error:
        raise _too_long(error.field or "details") from None


def _too_long(field: str) -> WriteRefused:
    return WriteRefused(
        f"{field} holds what this bank masks, and is too long with the marks in its place",
        field=field,
        hint="shorten it, or leave the secrets out",
    )


def _of_a_batch(error: InvalidRequest, place: int) -> InvalidRequest:
    return type(error)(error.message, field=f"memories.{place}.{error.field}", hint=error.hint)


def _repeats(new: Memory, old: Memory) -> bool:
    """Say whether a memory of the same words makes a new one superfluous, now."""
    holds = old.valid_to is None or old.valid_to > new.created_at
    return holds and says_the_same(new, old)


def _vector(item: _Item) -> Vector:
    assert item.vector is not None  # noqa: S101  # every item has one once its twins are looked for
    return item.vector


def _written(results: Sequence[Stored | MemoryBankError]) -> str:
    """Return results as the JSON of a claim: never contents."""
    return json.dumps(
        [
            {"code": each.code, "message": each.message, "field": each.field, "hint": each.hint}
            if isinstance(each, MemoryBankError)
            else {
                "id": each.memory.id,
                "deduplicated": each.deduplicated,
                "findings": [asdict(finding) for finding in each.findings],
            }
            for each in results
        ]
    )


def _read_finding(written: dict[str, Any]) -> Finding:
    return Finding(**{**written, "action": Action(written["action"])})


def _read_error(written: dict[str, Any]) -> MemoryBankError:
    error = MemoryBankError(written["message"], field=written["field"], hint=written["hint"])
    error.code = written["code"]
    return error
