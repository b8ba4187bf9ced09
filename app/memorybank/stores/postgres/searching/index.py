"""SearchIndex inside PostgreSQL: a process holds no memories, and starts as fast with many."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TypeVar

from typing_extensions import override

from memorybank.domain import ranking
from memorybank.domain.memory import MemoryFilter
from memorybank.domain.search import Facets, Hit, Refinement, Suggestion
from memorybank.domain.text import stem, terms
from memorybank.errors import OutdatedVector
from memorybank.lanes import Lanes
from memorybank.ports import IndexCheck, SearchIndex, Vector, VectorsStatus
from memorybank.spaces import space_of
from memorybank.stores.postgres.connection import Server, Session
from memorybank.stores.postgres.errors import translated, translated_at_start
from memorybank.stores.postgres.searching import statements, tables
from memorybank.stores.postgres.searching.facets import facets, suggestions
from memorybank.stores.postgres.searching.known import Known, KnownTenant
from memorybank.stores.postgres.searching.lexemes import telling
from memorybank.stores.postgres.searching.ranks import SPREAD, Candidates, Question, ranked
from memorybank.stores.postgres.searching.statements import Meant, Row
from memorybank.stores.postgres.searching.tables import Space, Step
from memorybank.stores.postgres.sessions import Line, once
from memorybank.stores.sql import rows
from memorybank.stores.sql.connection import EVERYONE, Connection, Run
from memorybank.stores.sql.embeddings import GENERATION
from memorybank.stores.sql.sealing import PLAIN

Answer = TypeVar("Answer")

_ALL = 400
"""Up to so many memories that a filter means are all looked at."""
_NEAREST = 120
"""Of more, so many of the nearest, or a few times the limit where that is more,"""
_KEPT = 200
"""of so many that are kept in mind while they are looked for,"""
_TOLD = 400
"""and about so many that hold words of the query which tell something."""
_ACCOMPANIED = 40
"""So many of the best have their neighbours and their sessions looked up; twice as many where words
alone decide, as what is beside a word counts for more then."""
_WIDENED = 4
"""So many times as many are looked through for words where a filter means only some of them."""
_TALLIED = 4
"""Memories that a filter means are compared one by one where that is less work than to go through
the index until it has met enough of them: up to the root of so many times what a search wants,
times what there is. With 100,000 memories these are 7,000."""
_NO_REFINEMENT = Refinement()


class PostgresIndex(SearchIndex):
    """Words by tsvector, meanings by pgvector, ranked as every index ranks.

    The tables that are searched follow the change feed. Whichever process comes first brings them
    up to it for all.
    """

    def __init__(self, server: Server, read: Run, space: Space) -> None:
        """See `open`, which makes the tables."""
        self._server = server
        self._read = read
        self._space = space
        self._position = 0
        self._known = Known()
        self._whole: set[str] = set()
        """Tables whose index of vectors is known to be there."""
        self._following = asyncio.Lock()
        self._rebuilding = asyncio.Lock()
        self._line = Line(server, tables.filling(server))
        self._thread = Lanes("postgres-index", 1)

    @classmethod
    async def open(cls, server: Server, read: Run, *, model: str, dimensions: int) -> PostgresIndex:
        """Make what is missing in the database to search vectors of this space.

        `read` runs what a search reads. Raises ConfigurationError when the extension is missing and
        cannot be added.
        """

        prepared = partial(tables.prepare, model=model, dimensions=dimensions)

        def prepare() -> Space:
            with translated_at_start():
                return once(server, tables.building(), prepared)

        return cls(server, read, await asyncio.to_thread(prepare))

    @property
    @override
    def seq(self) -> int:
        """See SearchIndex."""
        return self._position

    @property
    @override
    def problem(self) -> str | None:
        """See SearchIndex: where the memories are, the index is."""
        return None

    @override
    def vectors(self) -> VectorsStatus | None:
        """See SearchIndex."""
        return None

    @override
    async def search(
        self,
        tenant: str,
        query: str,
        *,
        vector: Vector | None,
        where: MemoryFilter,
        limit: int,
        refine: Refinement = _NO_REFINEMENT,
    ) -> list[Hit]:
        """See SearchIndex."""
        space = self._space
        if vector is not None and space_of(vector) not in (None, space.model):
            raise OutdatedVector("the embedding model was switched", hint="ask again")
        words = Counter(map(stem, terms(query))) if refine.words else Counter[str]()
        meant = Meant.by(tenant, where, refine)

        def run(connection: Connection) -> list[Hit]:
            known = self._known.of(connection, tenant, at=self._position)
            return _Search(connection, known, space, meant, refine, limit).hits(vector, words)

        return await self._read(tenant, run)

    @override
    async def vector(self, tenant: str, memory_id: str) -> Vector | None:
        """See SearchIndex."""
        model = self._space.model

        def run(connection: Connection) -> Vector | None:
            stored = connection.execute(
                "SELECT vector FROM memories JOIN vectors USING (created_seq)"
                f" WHERE tenant = ? AND id = ? AND generation = {GENERATION}",
                (tenant, memory_id, model),
            ).get
            return None if stored is None else rows.vector_from(stored, tenant, memory_id, PLAIN)

        return await self._read(tenant, run)

    @override
    async def facets(
        self, tenant: str, where: MemoryFilter, refine: Refinement = _NO_REFINEMENT
    ) -> Facets:
        """See SearchIndex."""
        meant = Meant.by(tenant, where, refine)
        return await self._read(tenant, lambda connection: facets(connection, meant))

    @override
    async def suggest(
        self, tenant: str, begun: str, *, where: MemoryFilter, limit: int
    ) -> list[Suggestion]:
        """See SearchIndex."""
        meant = Meant.by(tenant, where, _NO_REFINEMENT)
        return await self._read(
            tenant, lambda connection: suggestions(connection, meant, begun, limit)
        )

    @override
    async def catch_up(self, seq: int | None = None) -> None:
        """See SearchIndex. Raises StoreUnavailable when the database does not answer."""
        if seq is not None and seq <= self._position:
            return
        async with self._following:
            if seq is not None and seq <= self._position:
                return
            self._position = await self._advanced(self._space, words=True)

    @override
    async def check(self) -> IndexCheck:
        """See SearchIndex. Writes wait for a page at a time."""
        await self.catch_up()
        space, after, compared, differing = self._space, 0, 0, 0
        while True:
            step, wrong = await self._filled(partial(tables.differing, space=space, after=after))
            after, compared, differing = step.position, compared + step.memories, differing + wrong
            if step.complete:
                break
        return IndexCheck(
            compared, differing + await self._filled(partial(tables.strange, space=space))
        )

    @override
    async def rebuild(
        self,
        space: tuple[str, int] | None = None,
        *,
        before: Callable[[], Awaitable[None]] | None = None,
    ) -> int:
        """See SearchIndex. Another space gets a table of its own beside the one in use."""
        async with self._rebuilding:
            if space is None:
                return await self._renewed()
            fresh = await self._built(partial(tables.prepare, model=space[0], dimensions=space[1]))
            await self._advanced(fresh, words=False)
            async with self._following:  # nothing is added to the old one that the new one lacks
                await self._advanced(self._space, words=True)
                position = await self._advanced(fresh, words=False)
                if before is not None:
                    await before()
                self._space, self._position = fresh, position
                self._known.forget()
            return await self._count()

    async def close(self) -> None:
        """Finish what runs and let go of the connection."""
        await asyncio.to_thread(self._thread.close)
        self._line.close()

    async def _advanced(self, space: Space, *, words: bool) -> int:
        """Bring the tables up to the newest change; return which that is."""
        while True:
            step = await self._filled(partial(tables.advance, space=space, words=words))
            if step.complete:
                break
        if space.table not in self._whole:
            await self._built(partial(tables.build_nearness, space=space))
            self._whole.add(space.table)
        return step.position

    async def _renewed(self) -> int:
        """Write everything once more, and remove what is too much."""
        space, after = self._space, 0
        while True:
            step: Step = await self._filled(partial(tables.renew, space=space, after=after))
            after = step.position
            if step.complete:
                break
        await self._filled(partial(tables.sweep, space=space))
        self._known.forget()
        await self.catch_up()
        return await self._count()

    async def _count(self) -> int:
        return int(
            await self._read(
                EVERYONE, lambda connection: connection.execute("SELECT count(*) FROM words").get
            )
        )

    async def _filled(self, work: Callable[[Session], Answer]) -> Answer:
        """Do something to the tables as the only one."""

        def run() -> Answer:
            with translated(), self._line.transaction(EVERYONE) as session:
                return work(session)

        return await self._thread.run(run)

    async def _built(self, work: Callable[[Session], Answer]) -> Answer:
        """Change tables or build an index, which may take its time."""

        def run() -> Answer:
            with translated():
                return once(self._server, tables.building(), work)

        return await asyncio.to_thread(run)


class _Search:
    """One search, within one transaction."""

    def __init__(
        self,
        connection: Connection,
        known: KnownTenant,
        space: Space,
        meant: Meant,
        refine: Refinement,
        limit: int,
    ) -> None:
        self._connection = connection
        self._known = known
        self._space = space
        self._meant = meant
        self._refine = refine
        self._limit = limit
        self._wanted = limit if not refine.diversity else SPREAD * limit

    def hits(self, vector: Vector | None, words: Mapping[str, int]) -> list[Hit]:
        """Return what is found, best first."""
        totals, held = self._known.totals(), self._known.held(list(words))
        raised = 0.0
        if vector is not None and self._refine.words:
            vector, raised = ranking.centred(vector, self._known.mean(self._space))
        statements.begin(self._connection, kept=max(_KEPT, self._near))
        total = totals.memories
        few = max(_ALL, math.isqrt(_TALLIED * self._near * total))
        count = total
        if self._meant.narrow or total <= few:
            count = statements.counted(self._connection, self._meant, most=few + 1)
        newest = None
        if count <= few or not self._meant.narrow:
            newest = statements.newest(self._connection, self._meant, few=count <= few)
            if newest is None:
                return []
        candidates = Candidates(
            Question(self._meant.tenant, words, held, totals, vector, raised, newest, self._refine)
        )
        self._gather(candidates, count=count, few=few)
        beside, lengths = self._accompanied(candidates)
        return ranked(candidates, beside, lengths, limit=self._limit, vectors_of=self._vectors_of)

    @property
    def _near(self) -> int:
        return max(_NEAREST, 2 * self._wanted)

    def _gather(self, candidates: Candidates, *, count: int, few: int) -> None:
        """Add what comes into question."""
        question, told = candidates.question, self._described(candidates.question)
        total, all_of_them = question.totals.memories, count <= _ALL
        if all_of_them:
            listed = statements.listed(self._connection, self._meant)
            candidates.add(told(*statements.numbered(listed)))
        if question.words and (not all_of_them or (count < total and question.totals.sessions)):
            chosen = telling(
                {root: held.memories for root, held in question.held.items()},
                among=total,
                budget=_TOLD if all_of_them else _TOLD * max(1, min(_WIDENED, total // count)),
            )
            narrow = self._meant.narrow and not all_of_them
            if chosen:
                candidates.add(told(*statements.holders(self._meant, chosen, narrow=narrow)))
        if question.vector is not None and not all_of_them:
            nearest = partial(
                statements.nearest,
                self._connection,
                self._meant,
                self._space.table,
                question.vector,
                count=self._near,
            )
            near = nearest(few=count <= few)
            if len(near) < self._near and count > few:  # the scan met too few that are meant
                near = nearest(few=True)
            candidates.add(told(*statements.numbered(near)))

    def _accompanied(
        self, candidates: Candidates
    ) -> tuple[list[statements.Neighbour], dict[str, int]]:
        """Add the neighbours of the best; return who is beside whom, and how long sessions are."""
        question = candidates.question
        some = _ACCOMPANIED if question.vector is not None else 2 * _ACCOMPANIED
        best = candidates.promising(max(some, self._wanted))
        sessions = {row.session for row in best if row.session is not None}
        if not question.words or not sessions:
            return [], {}
        beside = statements.neighbours(
            self._connection, question.tenant, [row.seq for row in best if row.session is not None]
        )
        new = {each.beside for each in beside} - candidates.places.keys()
        candidates.add(self._described(question)(*statements.numbered(sorted(new))))
        lengths = statements.session_lengths(self._connection, question.tenant, sorted(sessions))
        return beside, lengths

    def _described(self, question: Question) -> Callable[[str, object], list[Row]]:
        return partial(
            statements.described,
            self._connection,
            self._meant,
            self._space.table,
            question.vector,
        )

    def _vectors_of(self, seqs: Sequence[int]) -> dict[int, Vector]:
        return statements.vectors_of(self._connection, self._meant.tenant, self._space.table, seqs)
