"""What the services need from the outside world, as Protocols.

Stores, search indexes and embedders implement these; services know nothing else of them. One
contract suite per Protocol runs against every implementation.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

import numpy as np
import numpy.typing as npt

from memorybank.domain.audit import AuditPage, AuditRecord, Chain, NotedEvent
from memorybank.domain.consolidation.rules import Fold, Job, RunStatus
from memorybank.domain.edges import Direction, Order
from memorybank.domain.encryption import EncryptionStatus
from memorybank.domain.feed import FeedPage
from memorybank.domain.forgetting import Step, Vitals
from memorybank.domain.keys import ApiKey, ManagedKeys
from memorybank.domain.memory import (
    Condition,
    Link,
    LinkType,
    Memory,
    MemoryChange,
    MemoryFilter,
    MemoryPage,
    MemoryState,
    MemoryType,
    Revision,
    RevisionPage,
    Touch,
)
from memorybank.domain.search import Facets, Hit, Refinement, Suggestion
from memorybank.domain.tenants import Quotas, Tenant, TenantPage, TenantStats
from memorybank.domain.usage import Count, Endpoint
from memorybank.domain.work.episodes import Step as EpisodeStep
from memorybank.encryption import KeyRing
from memorybank.errors import MemoryBankError

Vector = npt.NDArray[np.float32]

PENDING: Vector = np.empty(0, dtype=np.float32)
"""Stands for the vector of a memory that is to be embedded later; the store keeps none then."""
PENDING.setflags(write=False)


class Embedder(Protocol):
    """Turns texts into unit vectors of one embedding space."""

    @property
    def model(self) -> str:
        """Names the embedding space: vectors of different names must never be compared."""

    @property
    def dimensions(self) -> int:
        """Length of every vector."""

    @property
    def patience(self) -> float | None:
        """How many seconds those wait who can do without a vector; None: until there is one."""

    async def embed(self, texts: Sequence[str]) -> Vector:
        """Return a float32 array of shape (len(texts), dimensions), rows of length 1.

        Raises EmbedderUnavailable when the model cannot answer.
        """

    async def close(self) -> None:
        """Finish what was accepted, refuse what comes after."""


@dataclass(frozen=True, slots=True)
class StoreStats:
    """What a store holds, over all tenants."""

    memories: int
    """In any state."""
    seq: int
    """Of the newest change in the feed; 0 when the feed is empty."""


class AccessStore(Protocol):
    """Keeps tenants and API keys. Writes are durable when they return."""

    async def find_key(self, digest: str) -> ApiKey | None:
        """Return the key whose SHA-256 (hex) is this, valid or not."""

    async def get_key(self, key_id: str) -> ApiKey | None:
        """Return the key of this id, valid or not, of whatever tenant."""

    async def add_key(self, key: ApiKey) -> None:
        """Store a key; only its digest is ever kept."""

    async def list_keys(self, tenant: str) -> list[ApiKey]:
        """Return all keys of the tenant, revoked ones included, oldest first."""

    async def revoke_key(self, tenant: str, key_id: str, at: datetime) -> bool:
        """Mark a key as revoked; False when the tenant has no such key."""

    async def rotate_key(self, successor: ApiKey, *, old_until: datetime) -> bool:
        """Store a key and let the one it was rotated from expire, in one transaction.

        False, with nothing changed, when that one is gone or revoked.
        """

    async def replace_managed_keys(self, listed: Sequence[ApiKey], at: datetime) -> ManagedKeys:
        """Make these the only valid managed keys, in one transaction, and say what changed.

        A key is known by its digest. One that was revoked and is listed is valid again; a digest
        of a key that is not managed is left alone. Listing the same again changes nothing.
        """

    async def note_use(self, used: Mapping[str, datetime]) -> None:
        """Note when keys were used last, by id."""

    async def replace_bootstrap_key(
        self, key: ApiKey, *, old_until: datetime | None = None
    ) -> bool:
        """Make this the only bootstrap key, in one transaction; False when it already was.

        The former one is revoked, or with `old_until` becomes a key like others that expires then.
        """

    async def find_tenant(self, name: str) -> Tenant | None:
        """Return the tenant, unless it is deleted or being deleted."""

    async def add_tenant(self, tenant: Tenant) -> bool:
        """Store a tenant; False when there is one of that name.

        Raises Conflict while one of that name is being deleted.
        """

    async def list_tenants(self, *, limit: int, cursor: str | None) -> TenantPage:
        """Return one page of tenants in the order of their names. Raises InvalidCursor."""

    async def set_quotas(self, name: str, quotas: Quotas) -> Tenant | None:
        """Replace a tenant's quotas; None when there is no such tenant.

        A quota below what the tenant has already removes nothing: it stops what would be added.
        """

    async def tenant_stats(self, name: str, *, now: datetime) -> TenantStats:
        """Count what a tenant holds, all of one moment."""

    async def begin_deletion(self, name: str) -> bool:
        """Close a tenant for good; False when there is none. It takes no memory from now on."""

    async def finish_deletions(self) -> None:
        """Erase every tenant whose deletion has begun: memories, vectors, keys, all that is its.

        In steps, each a transaction; after a crash, calling it again goes on.
        """

    async def rewrap_keys(self) -> None:
        """Wrap every tenant's data key by the active key of the ring, where it is not yet.

        In steps, each a transaction; after a crash, calling it again goes on.
        """

    async def use_ring(self, ring: KeyRing) -> None:
        """Open and wrap by this ring from now on; `rewrap_keys` then does so with what is there.

        Raises ConfigurationError, with nothing changed, when it lacks a key that is still needed.
        """

    async def encryption(self) -> EncryptionStatus:
        """Tell whether and how what is kept is encrypted."""

    async def audit_page(
        self,
        tenant: str,
        *,
        action: str | None,
        actor: str | None,
        limit: int,
        cursor: str | None,
    ) -> AuditPage:
        """Return one page of a tenant's audit log, newest first. Raises InvalidCursor."""

    async def audit_chain(self, tenant: str) -> Chain:
        """Return where a tenant's audit log begins and ends."""

    async def audit_records(self, tenant: str, after: int) -> list[AuditRecord]:
        """Return the records that follow one, oldest first; some of them when they are many."""

    async def prune_audit(self, before: datetime) -> None:
        """Drop the oldest records, as far as they were made before a moment.

        The newest record of each tenant stays, and where the rest begins is kept.
        """

    async def prune_claims(self, before: datetime) -> None:
        """Drop what repeated requests were to be answered, made before a moment: of all tenants,
        as one that adds nothing any more drops none of its own.
        """

    async def add_activity(
        self, usage: Mapping[Endpoint, Count], events: Sequence[NotedEvent]
    ) -> None:
        """Add what was counted and noted since the last time, in one transaction."""

    async def usage(self, tenant: str, *, first: str, last: str) -> dict[str, Count]:
        """Return what a tenant asked from one day to another, both included, by endpoint."""


@dataclass(frozen=True, slots=True)
class Kept:
    """A memory with the vector that is kept beside it, and the embedding space of that."""

    memory: Memory
    vector: Vector | None
    model: str | None = None
    position: int = 0
    """Where it comes in the order of creation over all tenants; only of what was read."""


class Put(StrEnum):
    """What became of a memory that was put into the store."""

    ADDED = "added"
    REPLACED = "replaced"
    KEPT = "kept"
    """There was one of that id, which was not to be replaced."""


@dataclass(frozen=True, slots=True)
class KeptRevision:
    """An earlier state of a memory, and where it comes in their order."""

    revision: Revision
    position: tuple[int, int] = (0, 0)


@dataclass(frozen=True, slots=True)
class KeptLink:
    """An edge of a tenant, and where it comes in their order."""

    tenant: str
    link: Link
    position: tuple[int, int, str] = (0, 0, "")


@dataclass(frozen=True, slots=True)
class KeptStep:
    """A step of an episode, and where it comes in their order."""

    tenant: str
    episode: str
    step: EpisodeStep
    position: tuple[int, int] = (0, 0)


class Snapshot(Protocol):
    """One tenant, or all, as they were at one moment, however long reading takes."""

    async def tenants(self) -> list[Tenant]:
        """Return the tenants, in the order of their names."""

    async def keys(self, tenant: str) -> list[ApiKey]:
        """Return all keys of one of the tenants, oldest first."""

    async def memories(self, *, after: int, limit: int) -> list[Kept]:
        """Return the first `limit` memories behind the position `after`, in order of creation."""

    async def revisions(self, *, after: tuple[int, int], limit: int) -> list[KeptRevision]:
        """Return earlier states of memories, by memory, oldest first, behind a position."""

    async def links(self, *, after: tuple[int, int, str], limit: int) -> list[KeptLink]:
        """Return edges between memories, by source, behind a position."""

    async def steps(self, *, after: tuple[int, int], limit: int) -> list[KeptStep]:
        """Return the steps of episodes, by episode, in their order, behind a position."""


class TransferStore(Protocol):
    """Reads everything, and writes much at once."""

    def snapshot(self, tenant: str | None) -> AbstractAsyncContextManager[Snapshot]:
        """Hold on to this moment until the block ends. Writes go on meanwhile.

        Of this tenant; None means of all of them.
        """

    async def find_many(self, names: Sequence[tuple[str, str]]) -> list[Memory]:
        """Return the memories of these tenants and ids that are there, in any order."""

    async def put_many(
        self, items: Sequence[Kept], *, replace: bool
    ) -> tuple[int, list[Put | MemoryBankError]]:
        """Store memories with vectors of the store's own embedding space, in one transaction.

        Returns the `seq` of the last change and what became of each: one that is refused, for the
        quota of its tenant, say, does not keep the others out. Without a vector a memory that is
        replaced keeps the one it had.
        """

    async def put_revisions(self, items: Sequence[KeptRevision]) -> list[bool | None]:
        """Store earlier states of memories that are there, in one transaction.

        False where there is one of that number, which stays; None where there is no such memory,
        or its newest state has that number or a lower one.
        """

    async def put_links(self, items: Sequence[KeptLink]) -> list[bool | None]:
        """Store edges, in one transaction; False where one was there, None where an end is not."""

    async def put_steps(self, items: Sequence[KeptStep]) -> list[bool | None]:
        """Store steps of episodes, in one transaction.

        False where there is one of that number, which stays; None where there is no such episode.
        An episode that gets any is a change of the feed.
        """


@dataclass(frozen=True, slots=True)
class NewSteps:
    """Steps of one episode on their way in, in their order."""

    episode: str
    steps: Sequence[EpisodeStep]


@dataclass(frozen=True, slots=True)
class StepsSince:
    """What changed of the episodes of a tenant."""

    changed: Sequence[tuple[Memory, Sequence[EpisodeStep]]]
    """In the order of their newest changes, with all of their steps."""
    gone: Sequence[str]
    """Ids of memories that were deleted, whatever they were."""
    seq: int
    """How far this goes."""


class StepStore(Protocol):
    """What was done in episodes. See MemoryStore for what it promises."""

    async def add_steps(self, tenant: str, batch: Sequence[NewSteps]) -> list[list[int]]:
        """Store steps of several episodes, all or none; return their numbers.

        One without a number gets the next of its episode. One that is there already and says the
        same is left as it is. For an episode that is gone there are no numbers. Raises Conflict for
        a number that another step has, and for more steps than an episode may have.
        """

    async def steps(
        self, tenant: str, episode: str, *, after: int = 0, limit: int = ...
    ) -> list[EpisodeStep]:
        """Return the steps of an episode behind a number, in their order."""

    async def last_step(self, tenant: str, episode: str) -> int:
        """Return the highest number of a step of an episode, 0 without any."""

    async def since(self, tenant: str, after: int, *, limit: int) -> StepsSince:
        """Return what changed of a tenant's episodes behind a `seq`, of so many at most."""


@dataclass(frozen=True, slots=True)
class StoreCheck:
    """What reading everything has shown."""

    problems: list[str]
    """Empty for a sound store. Never contents."""
    counts: Mapping[str, int]
    """Rows by kind; empty when they could not be counted."""


@dataclass(frozen=True, slots=True)
class Disk:
    """The file system that a store is on, as `df` shows it to those who are not root."""

    total_bytes: int
    """What is used and what is free; less than the file system's size where it keeps a reserve."""
    free_bytes: int


@dataclass(frozen=True, slots=True)
class StoreStatus:
    """What a store is and how large it is."""

    engine: str
    schema_version: int
    counts: Mapping[str, int]
    database_bytes: int
    log_bytes: int
    """Of the write-ahead log, which the next checkpoint empties."""
    reusable_bytes: int
    """Within the database: what deleted memories left."""
    disk: Disk | None
    """None where it is another machine's."""
    connections: int
    """Open ones, to the database."""


@dataclass(frozen=True, slots=True)
class PoolStatus:
    """How busy what serves a store's readers and writers is, at this moment."""

    readers: int
    readers_busy: int
    writes_waiting: int


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """What a whole store holds at a moment, by which two copies of it are compared."""

    schema_version: int
    """0 without any tables of ours."""
    change: int
    """Number of the newest change."""
    changed_at: datetime | None
    """When the newest memory, tenant or key was made or changed."""
    memories: int
    tenants: int
    keys: int
    key_ids: tuple[str, ...]
    """The keys of a ring that are needed to open it; none when it is not encrypted."""


class StoreCare(Protocol):
    """Looks after a store while it is in use."""

    @property
    def schema_version(self) -> int:
        """Of the database, which was brought to this version of the code when it was opened."""

    @property
    def way_back(self) -> int | None:
        """Schema that an older version can put the database back to without losing anything; None
        for none.
        """

    @property
    def damaged(self) -> bool:
        """Whether damage was met since the store was opened; it stays so until it is again."""

    async def integrity(self) -> StoreCheck:
        """Read everything and tell what is damaged."""

    async def status(self) -> StoreStatus:
        """Tell version and sizes, over all tenants."""

    async def disk(self) -> Disk | None:
        """Tell how full the disk is, without the database; None when it does not answer in time."""

    def pool(self) -> PoolStatus:
        """Tell how busy it is."""


@dataclass(frozen=True, slots=True)
class Claim:
    """What a request with an Idempotency-Key was answered, for when it comes again."""

    tenant: str
    key_id: str
    name: str
    """The Idempotency-Key; each API key has its own."""
    digest: bytes
    """Of the request: another request under the same name is a mistake."""
    answer: str
    """JSON without contents: ids, and what was refused and why."""
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Move:
    """A memory that is to change its state."""

    memory_id: str
    state: MemoryState
    at: datetime


class LifeStore(Protocol):
    """What becomes of memories after they were stored. See MemoryStore for what it promises."""

    async def revise(
        self,
        changes: Sequence[tuple[Memory, Vector | None]],
        *,
        by: str,
        action: str,
        added: Sequence[tuple[Memory, Vector]] = (),
    ) -> int | None:
        """Store what the memories say now, and keep what they said before in their history.

        `added` are new memories that come with it. All or none. A None vector keeps the old one.
        State, flags and use stay as they are: they may have changed since the memory was read.
        Returns the `seq` of the last change; None when the tenant has not all of them, or one is in
        the trash or was revised meanwhile.
        """

    async def history(
        self, tenant: str, memory_id: str, *, before: int | None, limit: int
    ) -> RevisionPage | None:
        """Return earlier states, newest first, below revision `before`.

        The total is that of all of them. None when the tenant has no memory of that id.
        """

    async def move(self, tenant: str, moves: Sequence[Move]) -> int | None:
        """Change states, all in one transaction; return the `seq` of the last change.

        Memories that are gone, or in that state already, or that are to go to the trash and are
        on legal hold, are passed over; None when all were.
        """

    async def mark(
        self, tenant: str, memory_id: str, *, pinned: bool | None, legal_hold: bool | None
    ) -> int | None:
        """Set those of the flags that are not None; None when there is no such memory."""

    async def touch(self, touches: Sequence[Touch]) -> None:
        """Count that memories were found or read; not a change that the feed tells."""

    async def same_words(self, tenant: str, texts: Sequence[str]) -> list[list[Memory]]:
        """Return, for each text, the live memories that hold the same words, oldest first.

        At most a few for each.
        """

    async def find_claim(self, tenant: str, key_id: str, name: str) -> Claim | None:
        """Return what is known of this Idempotency-Key."""

    async def add_claimed(
        self, items: Sequence[tuple[Memory, Vector]], claim: Claim, *, since: datetime
    ) -> int:
        """Store memories and the claim in one transaction; forget the claims older than `since`.

        Returns the `seq` of the last memory, 0 without any.
        """

    async def link(self, tenant: str, link: Link) -> bool | None:
        """Store an edge; False when it was there, None when one of the ends is not.

        Raises Cycle when its type is one of an order and it would close a cycle: of edges that only
        together close one, whoever stores them, one is refused.
        """

    async def unlink(self, tenant: str, source: str, target: str, kind: LinkType | None) -> int:
        """Remove edges from source to target, of one type or of all; return how many."""

    async def links(self, tenant: str, memory_id: str) -> list[Link] | None:
        """Return all edges from and to a memory, oldest first; None when there is none of that id.

        Edges to memories in the trash are left out.
        """

    async def contradictions(self, tenant: str, project: str | None, *, limit: int) -> list[Link]:
        """Return the newest edges between live memories that contradict each other.

        Of a project, or of all. What another memory took the place of contradicts nothing any more.
        """


class EdgeStore(Protocol):
    """Edges between the memories of a tenant as a whole. One edge is stored by LifeStore."""

    async def around(
        self,
        tenant: str,
        ids: Sequence[str],
        *,
        types: Collection[LinkType],
        direction: Direction,
        limit: int,
    ) -> list[Link]:
        """Return edges from or to any of these memories, of any of these types, none for all.

        Those of the first memory first, each memory's oldest first; at most so many. Edges to and
        from memories in the trash are left out.
        """

    async def ordering(
        self, tenant: str, order: Order, *, root: str, limit: int
    ) -> list[tuple[str, str]] | None:
        """Return what an order says of a memory and of all that its edges lead to, and so on.

        Pairs of ids, the later one first; also of memories in the trash. At most so many. None
        when there is no such memory.
        """

    async def ordering_of(
        self, tenant: str, order: Order, *, project: str, limit: int
    ) -> list[tuple[str, str]]:
        """Return the same of all edges of an order that a memory of a project is an end of.

        Not of memories in the trash.
        """

    async def closes(self, tenant: str, edge: Link) -> list[str] | None:
        """Return the ids along the cycle that an edge would close, the first again as the last.

        None for none, or when one of the ends is not there.
        """


@dataclass(frozen=True, slots=True)
class Unembedded:
    """A memory without a vector of the embedding space in use."""

    position: int
    """In the order in which they are worked through."""
    seq: int
    """Of the memory's newest change."""
    memory: Memory


@dataclass(frozen=True, slots=True)
class EmbeddingProgress:
    """How many memories have a vector of the embedding space in use, over all tenants."""

    model: str
    memories: int
    embedded: int


class GenerationState(StrEnum):
    """What an embedding space is for."""

    ACTIVE = "active"
    """Searches compare its vectors."""
    BUILDING = "building"
    """It is to become the active one once all memories have a vector of it."""
    KEPT = "kept"
    """It was active or building before; there is a way back to it."""
    REFUSED = "refused"
    """The settings ask for it, but an administrator went back from it."""


@dataclass(frozen=True, slots=True)
class Generation:
    """The vectors of one embedding space."""

    model: str
    state: GenerationState
    embedder: str | None
    """How its model is reached, as JSON without secrets; None when nobody said."""
    dimensions: int | None
    created_at: datetime
    activated_at: datetime | None
    vectors: int


class ReplaceableEmbedder(Embedder, Protocol):
    """An embedder in whose place another can be put while it is used."""

    def use(self, embedder: Embedder) -> None:
        """Put another one in its place."""


class Embedders(Protocol):
    """The embedding models that a bank can reach."""

    @property
    def current(self) -> ReplaceableEmbedder:
        """The one that serves."""

    @property
    def configured(self) -> Embedder:
        """The one that the settings ask for; most of the time it is the one that serves."""

    async def opened(self, generation: Generation) -> Embedder:
        """Return the embedder of a generation. Raises Conflict when it cannot be opened."""

    def use_key(self, key: str | None) -> None:
        """Show this key to the service that embeds, from the next request on."""


class EmbeddingStore(Protocol):
    """Knows which memories lack a vector, and takes it later. Over all tenants.

    A `model` of None means the space in use.
    """

    async def unembedded(
        self, after: int, *, limit: int, model: str | None = None
    ) -> list[Unembedded]:
        """Return memories that lack one, of positions > after, ascending; 0 is before the first."""

    async def embedded(
        self, items: Sequence[tuple[Unembedded, Vector]], *, model: str | None = None
    ) -> tuple[int, int]:
        """Store the vectors of memories that have not changed since they were read, at once.

        Each of the space in use is a change of the feed. Returns the `seq` of the last change, 0
        without any, and how many vectors were stored.
        """

    async def progress(self, *, model: str | None = None) -> EmbeddingProgress:
        """Count."""

    async def known_dimensions(self, *, model: str | None = None) -> int | None:
        """Return the length of the vectors of a space, None when there is none yet."""

    async def generations(self) -> list[Generation]:
        """Return all spaces that there are vectors of, or are to be, oldest first."""

    async def describe(self, model: str, *, embedder: str, dimensions: int) -> None:
        """Keep how the model of a space is reached."""

    def use(self, model: str) -> None:
        """Let this space be the one in use, until the store is closed."""

    async def activate(self, model: str, *, refuse: bool = False) -> None:
        """Make a space the active one, for good, and the one in use: in one transaction.

        The one before is kept; with `refuse` it stays out of use although the settings name it.
        Raises Conflict when the space was discarded.
        """

    async def resume(self, model: str) -> bool:
        """Let a refused space be built again; False when it is not refused."""

    async def discard(self, *, but: str) -> int:
        """Drop all spaces except the active one and this one; return how many vectors they had."""


@dataclass(frozen=True, slots=True)
class ForgettingRun:
    """A run of the forgetting job that changed something."""

    id: str
    tenant: str
    started_at: datetime
    cause: str
    """"schedule", or the id of the key that asked for it."""
    archived: int = 0
    trashed: int = 0
    purged: int = 0
    undone_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class ClockReading:
    """Where the clock was that grace periods are counted by, and where the machine's was then."""

    wall: datetime
    steady: datetime
    job_ran_at: datetime | None
    """By the steady clock."""


@dataclass(frozen=True, slots=True)
class BankStats:
    """What a tenant holds."""

    by_state: dict[MemoryState, int]
    by_type: dict[MemoryType, int]
    """Live ones."""
    average_importance: float | None
    """Of live ones, as the oldest and the newest."""
    oldest: datetime | None
    newest: datetime | None
    pinned: int


class ForgettingStore(Protocol):
    """What the forgetting job reads and writes. See MemoryStore for what it promises."""

    async def tenants_with_memories(self) -> list[str]:
        """Return the tenants that have any memory."""

    async def vitals(
        self, tenant: str, *, after: int, limit: int
    ) -> tuple[list[Vitals], int | None]:
        """Return vitals in order of creation, and what to pass as `after` for more of them."""

    async def take(
        self, run: ForgettingRun, steps: Sequence[tuple[Vitals, Step]]
    ) -> tuple[dict[Step, int], int]:
        """Take steps in one transaction; add them to the record of the run.

        Memories that were used, changed, moved, pinned or held since their vitals were read are
        passed over. Returns how many of each step were taken, and the `seq` of the last change.
        """

    async def forgetting_runs(self, tenant: str, *, limit: int) -> list[ForgettingRun]:
        """Return the newest runs, newest first."""

    async def undo(self, tenant: str, run_id: str, *, at: datetime) -> tuple[int, int] | None:
        """Put every memory back that the run archived or trashed and nobody has moved since.

        They count as used at this moment, else the next run would do the same again. Returns how
        many, and the `seq` of the last change; None when there is no such run, or it is undone.
        """

    async def read_clock(self) -> ClockReading | None:
        """Return the last reading that was kept."""

    async def keep_clock(self, reading: ClockReading) -> None:
        """Keep a reading."""

    async def bank_stats(self, tenant: str) -> BankStats:
        """Count what a tenant holds, all of one moment."""


@dataclass(frozen=True, slots=True)
class ConsolidationRun:
    """A run of a consolidation job on the memories of one tenant."""

    id: str
    tenant: str
    job: Job
    cause: str
    """"schedule", or the id of the key that asked for it."""
    started_at: datetime
    status: RunStatus = RunStatus.RUNNING
    examined: int = 0
    """Memories that it has read."""
    kept: int = 0
    """Memories that stand for others from then on."""
    archived: int = 0
    ended_at: datetime | None = None
    error: str | None = None
    """Why it failed; never contents."""
    undone_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class JobReport:
    """A job, when it runs, and how it went the last time."""

    job: Job
    scheduled: bool
    next_run: datetime | None
    """None when the schedule does not run it."""
    last: ConsolidationRun | None
    last_done: ConsolidationRun | None
    """The last one that ended well, if it is kept."""


@dataclass(frozen=True, slots=True)
class Folded:
    """A step of a run that is to be undone."""

    number: int
    """In its run."""
    kept: str | None
    """Id of the memory that said something else from then on; None where none did."""
    revision: int | None
    """The one that the step made."""


class ConsolidationStore(Protocol):
    """What the consolidation jobs read and write. See MemoryStore for what it promises."""

    async def scan(
        self, tenant: str, types: frozenset[MemoryType], *, after: int, limit: int
    ) -> tuple[list[Memory], int | None]:
        """Return live memories in order of creation, and what to pass as `after` for more of them.

        Those are left out that a run changed which was undone: nobody wants that done again.
        """

    async def keep_run(self, run: ConsolidationRun, *, at: datetime) -> None:
        """Store a run as it is now, and that it is alive at this moment."""

    async def fold(
        self, run: ConsolidationRun, fold: Fold, vector: Vector | None, *, at: datetime
    ) -> int | None:
        """Do a step in one transaction, with what undoes it; return the `seq` of the last change.

        None, with nothing changed, when one of the memories is another one than was read, or is
        pinned or held by now, or not live. A None vector keeps the one that there is. `at` is by
        the clock of grace periods.
        """

    async def consolidation_run(self, tenant: str, run_id: str) -> ConsolidationRun | None:
        """Return a run."""

    async def consolidation_runs(
        self, tenant: str, *, limit: int, job: Job | None = None
    ) -> list[ConsolidationRun]:
        """Return the newest runs, newest first."""

    async def interrupt(self, *, silent_since: datetime, at: datetime) -> int:
        """Mark the runs as interrupted that are not known to be alive later than at a moment.

        Of all tenants; returns how many.
        """

    async def last_scheduled(self, tenant: str) -> dict[Job, datetime]:
        """Return when the schedule has started each job last."""

    async def failing(self) -> dict[Job, tuple[int, str]]:
        """Return the jobs whose last run that ended has failed: of how many tenants, and one of the
        reasons.
        """

    async def folds(self, tenant: str, run_id: str, *, limit: int) -> list[Folded]:
        """Return steps of a run that are not undone yet, the last one first."""

    async def unfold(
        self,
        tenant: str,
        run_id: str,
        folded: Folded,
        *,
        says: Memory | None,
        vector: Vector | None,
        at: datetime,
    ) -> tuple[int, int, int] | None:
        """Undo a step in one transaction.

        What it archived and nobody has moved since is live again; links that it made are gone;
        `says` is what the memory that was kept says again. Returns how many memories are as they
        were, how many are left as somebody has changed them, and the `seq` of the last change.
        None, with nothing changed, when the memory that was kept was changed meanwhile.
        """


@dataclass(frozen=True, slots=True)
class Marks:
    """How far a store is; what is larger than before has changed."""

    seq: int
    """At least that of the newest change in the feed."""
    access: int
    """Counts changes of who may come in."""
    feed: str = ""
    """Names the feed that `seq` is a position of: with another one all of it is read anew."""


class SharedStore(Protocol):
    """A store that several processes may write."""

    async def marks(self) -> Marks:
        """Tell how far it is; cheap enough to be asked several times a second."""

    async def lead(self, holder: str, *, seconds: int) -> bool:
        """Give the lease to this process for so long from now, unless another has it.

        Says whether it was given: at most one process has it at a time.
        """

    async def resign(self, holder: str) -> None:
        """End the lease, if this process has it."""


class MemoryStore(LifeStore, Protocol):
    """Keeps memories and their vectors; with `access`, the only durable state of a bank.

    Every method that changes something returns after the change is durable: a crash right after
    loses nothing that was acknowledged. Every query takes the tenant; no row of another tenant is
    ever seen.
    """

    @property
    def access(self) -> AccessStore:
        """Who may come in, kept in the same place."""

    @property
    def forgetting(self) -> ForgettingStore:
        """What the forgetting job works on, in the same place."""

    @property
    def edges(self) -> EdgeStore:
        """Edges as a whole."""

    @property
    def consolidation(self) -> ConsolidationStore:
        """What the consolidation jobs work on, in the same place."""

    @property
    def transfer(self) -> TransferStore:
        """Everything at once."""

    @property
    def care(self) -> StoreCare:
        """Checks and sizes."""

    @property
    def embeddings(self) -> EmbeddingStore:
        """What lacks a vector."""

    @property
    def episodes(self) -> StepStore:
        """What was done in episodes, in the same place."""

    async def add(self, memory: Memory, vector: Vector) -> int:
        """Store a memory with its vector, or PENDING; return the `seq` of the change.

        Raises QuotaExceeded, and NotFound when the tenant was deleted meanwhile.
        """

    async def add_many(self, items: Sequence[tuple[Memory, Vector]]) -> int:
        """Store memories, all or none, in their order; return the `seq` of the last one."""

    async def get(self, tenant: str, memory_id: str) -> Memory | None:
        """Return the memory, or None when this tenant has none of that id."""

    async def replace(self, memory: Memory, vector: Vector | None) -> int | None:
        """Store a new state of an existing memory as a whole; a None vector keeps the old one.

        Nothing is kept of the state before; `revise` keeps it.

        Returns the `seq` of the change, None when the tenant has no memory of that id.
        """

    async def delete(self, tenant: str, memory_id: str) -> int | None:
        """Remove a memory for good, with its history and links; return the `seq` of the change.

        None when there was none, or when it is on legal hold.
        """

    async def list_memories(
        self,
        tenant: str,
        where: MemoryFilter,
        *,
        limit: int,
        cursor: str | None,
        details: Sequence[Condition] = (),
    ) -> MemoryPage:
        """Return one page in order of creation, newest first, with the honest total.

        Of memories that the filter means and whose details are all as said.
        Raises InvalidCursor when the cursor was not made by this method.
        """

    async def newest(
        self, tenant: str, where: MemoryFilter, *, limit: int, details: Sequence[Condition] = ()
    ) -> list[Memory]:
        """Return the beginning of that list, without counting how long it is."""

    async def get_many(self, tenant: str, ids: Sequence[str]) -> list[Memory]:
        """Return those of the ids that exist, in the order asked for."""

    async def changes(
        self, after: int, *, limit: int, model: str | None = None
    ) -> list[MemoryChange]:
        """Return the changes of all tenants with `seq` > after, ascending.

        A memory that changed several times is there once, in its newest state. The vectors are
        those of the embedding space of this name, by default of the one in use.
        """

    async def feed(self, after: int, *, limit: int, model: str | None = None) -> FeedPage:
        """Return the same as `changes` for who builds an index, in a third of the time.

        At most so many memories, and so many deletions.
        """

    async def stats(self) -> StoreStats:
        """Count what is there."""

    async def check(self) -> None:
        """Prove that the store can be written and read now; raises StoreUnavailable."""

    async def close(self) -> None:
        """Finish queued writes, then release the files."""


@dataclass(frozen=True, slots=True)
class IndexCheck:
    """What comparing an index with the store has shown."""

    compared: int
    """Memories that can be found, by the store."""
    differing: int
    """Of them and of what the index holds beside them: what the two do not say alike."""


@dataclass(frozen=True, slots=True)
class CacheStatus:
    """How much a cache holds, and how often it knew the answer since the service began."""

    entries: int
    capacity: int
    hits: int
    misses: int


class VectorCache(Protocol):
    """Remembers vectors of texts; all of it can be dropped at any time."""

    def status(self) -> CacheStatus:
        """Tell how full and how useful it is."""

    def check(self) -> int:
        """Drop what is not what was put in; return how many entries that were."""

    def clear(self) -> int:
        """Drop everything; return how many entries that were."""


@dataclass(frozen=True, slots=True)
class VectorCollection:
    """Vectors of one embedding space on a vector server."""

    id: str
    """Of another one of the same name it would be another."""
    position: int | None
    """What was noted of it last; None when nothing was."""


class VectorServer(Protocol):
    """Keeps vectors elsewhere and compares them. All of it can be lost, and be given again.

    Every method raises VectorsUnavailable when the server does not answer as it should, or has no
    such collection. A collection is meant by its id, unless a name is asked for.
    """

    async def collections(self, prefix: str) -> dict[str, VectorCollection]:
        """Return the collections whose names begin so, by name."""

    async def make(self, name: str) -> VectorCollection:
        """Return the collection of this name; an empty one is made when there is none."""

    async def drop(self, name: str) -> None:
        """Drop a collection; nothing happens when there is none of this name."""

    async def note(self, collection: str, position: int) -> None:
        """Keep a number with a collection."""

    async def count(self, collection: str) -> int:
        """Return how many vectors there are."""

    async def ids(self, collection: str) -> set[str]:
        """Return whose vectors there are."""

    async def put(self, collection: str, ids: Sequence[str], vectors: Sequence[Vector]) -> None:
        """Add vectors, or replace those of the same ids."""

    async def remove(self, collection: str, ids: Sequence[str]) -> None:
        """Remove vectors; those that are not there do not matter."""

    async def get(self, collection: str, memory_id: str) -> Vector | None:
        """Return a vector, None when it is not there."""

    async def nearest(
        self, collection: str, vector: Vector, *, count: int, among: Sequence[str] | None
    ) -> dict[str, float]:
        """Return the products of a vector with those it has the highest with, by id.

        `among` are the only ones that come into question; None means all. Those that are not there
        do not matter.
        """

    async def close(self) -> None:
        """Let go of connections."""


@dataclass(frozen=True, slots=True)
class VectorsStatus:
    """How far a vector server has what it should have."""

    position: int
    """The newest change that it knows."""
    missing: int
    """Vectors that it still has to get."""
    problem: str | None
    """Why it is not asked; None when it is."""


class SearchIndex(Protocol):
    """Derived data: finds candidates; can be dropped and rebuilt from the store at any time."""

    @property
    def seq(self) -> int:
        """The newest change that is searchable; with StoreStats.seq it tells how far behind."""

    @property
    def problem(self) -> str | None:
        """Why meanings are compared less exactly at the moment; None when they are not."""

    def vectors(self) -> VectorsStatus | None:
        """Tell how a vector server is; None when the vectors are part of the index."""

    async def search(
        self,
        tenant: str,
        query: str,
        *,
        vector: Vector | None,
        where: MemoryFilter,
        limit: int,
        refine: Refinement = ...,
    ) -> list[Hit]:
        """Return what is found, best first. Filters apply before ranking.

        A None vector means lexical only. Scores are comparable within one mode only. Raises
        OutdatedVector when the vector is of a space that is not in use any more.
        """

    async def vector(self, tenant: str, memory_id: str) -> Vector | None:
        """Return the vector of a memory, None when there is none."""

    async def facets(self, tenant: str, where: MemoryFilter, refine: Refinement = ...) -> Facets:
        """Count the memories that the filter means, by what tells them apart."""

    async def suggest(
        self, tenant: str, begun: str, *, where: MemoryFilter, limit: int
    ) -> list[Suggestion]:
        """Return titles, tags and words of memories that go on with what was typed."""

    async def catch_up(self, seq: int | None = None) -> None:
        """Return when every change up to `seq` (default: up to the newest) is searchable."""

    async def check(self) -> IndexCheck:
        """Compare everything with the store, while searches go on."""

    async def rebuild(
        self,
        space: tuple[str, int] | None = None,
        *,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> int:
        """Drop everything and read it anew; what is there answers until then.

        `space` are the name and dimensions of another embedding space to go over to, `before` is
        awaited right before that. Returns how many memories can be found.
        """
