"""The index of one tenant's memories: exact filters, then a hybrid rank.

Every memory is a row; rows are only ever added or marked as dead, and dead ones are swept out when
they are many. A query goes over whole columns with numpy, so its cost is that of a few passes over
short arrays: about 1 ms for 10,000 memories. Only the vectors are too long for that: where there
are many candidates, their signs choose which ones are compared exactly.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from memorybank.domain import ranking
from memorybank.domain.feed import MemoryColumns
from memorybank.domain.memory import (
    Memory,
    MemoryFilter,
    MemoryState,
    MemoryType,
    Origin,
    searchable_text,
)
from memorybank.domain.search import (
    LENGTHS,
    MOST_VALUES,
    Count,
    Facets,
    Hit,
    Refinement,
    Suggestion,
    most_frequent,
    some_of_each,
)
from memorybank.domain.text import stem, terms
from memorybank.domain.times import to_microseconds
from memorybank.ports import Vector
from memorybank.search.columns import Columns
from memorybank.search.evidence import Evidence, FrequentTerms
from memorybank.search.postings import Postings, Rows
from memorybank.search.sessions import Sessions
from memorybank.search.tokens import Terms
from memorybank.search.vectors import Known, Table, Vectors, WholeVectors
from memorybank.search.words import Words

Mask = npt.NDArray[np.bool_]

_COLUMNS: dict[str, npt.DTypeLike] = {
    "alive": np.bool_,
    "length": np.float32,  # terms
    "importance": np.float32,
    "created": np.int64,  # microseconds since 1970
    "moment": np.int64,  # the same, of when it happened
    "project": np.int32,
    "type": np.uint8,
    "state": np.uint8,
    "origin": np.uint8,
    "trust": np.float32,
    "pinned": np.bool_,
    "valid_from": np.int64,
    "valid_to": np.int64,
}
_TYPE_CODES: dict[str, int] = {kind: code for code, kind in enumerate(MemoryType)}
_STATE_CODES: dict[str, int] = {state: code for code, state in enumerate(MemoryState)}
_ORIGIN_CODES: dict[str, int] = {origin: code for code, origin in enumerate(Origin)}
_NO_PROJECT = -1
_EVER = 2**62
"""Microseconds from 1970: later, and negated earlier, than any time that can be written down."""

_SWEEP_SHARE = 0.25
_SWEEP_LEAST = 256
"""Dead rows are swept when they are a quarter of all and at least 256: each row is moved a bounded
number of times, and small indexes are left in peace."""

_EXACT = 2_048
"""So many candidates are all compared exactly."""
_NEAR = 4_000
_FIT = 2_000
"""Of more, so many nearest by sign, and best by sign and words, get a better guess."""
_NEAREST = 400
_FITTEST = 200
"""Of these, so many are compared exactly. With 100,000 vectors of real texts that finds .994 of the
ten nearest, and with words .986 of the ten best of a comparison with all."""

_MANY = 256
"""From so many memories at once on, their words are found by numpy: half the time in all, but some
hundred microseconds even for one."""

_LIFTED = 64
"""So many of the best get what their neighbours' meaning adds. Looking at the neighbours of more
changes no figure, and costs."""

_ASKED = 300
"""So many of the nearest a vector server is asked for, or a few times the limit where that is more:
what is not among them has the lower cosines, for which estimates do."""
_ASKED_MOST = 2_000
_NAMED = 2_000
"""Up to so many memories that a filter means are named to the server, which then compares all."""
_ACCOMPANIED = 400
"""Up to so many, their neighbours in their sessions are named as well."""

_COMPLETIONS = 64
"""Words with the wanted beginning that are looked at."""
_NO_REFINEMENT = Refinement()
_SPREAD = 4
"""From so many times the limit those are chosen that differ from each other."""

_DECIMALS = 6
"""Scores are rounded: the order of equal memories must not hang on the last bit of a sum."""


@dataclass(frozen=True, slots=True)
class Question:
    """Which memories a vector server is asked for."""

    vector: Vector
    """Not of length 1: the server is to tell the products of this with the vectors it has."""
    count: int
    among: list[str] | None = None
    """None: among all."""


@dataclass(frozen=True, slots=True)
class Nearness:
    """What a vector server answered."""

    products: Mapping[str, float]
    """Of the question's vector with those of memories, by id."""
    most: float = math.inf
    """What the products are at most that are not told."""


class TenantIndex:
    """Finds memories of one tenant. Not safe for threads: one thread owns it."""

    def __init__(self, dimensions: int, vectors: Callable[[int], Vectors] = WholeVectors) -> None:
        """`vectors` makes what keeps the vectors, which have so many dimensions."""
        self._rows = Columns(_COLUMNS, vector=0)
        self._vectors = vectors(dimensions)
        self._nothing = np.zeros(dimensions, dtype=np.float32)
        self._ids: list[str] = []
        self._places: dict[str, int] = {}
        self._words = Words()
        self._tags = Postings()
        self._metadata = Postings()
        self._titles: dict[int, str] = {}
        self._projects: dict[str, int] = {}
        self._sessions = Sessions()
        self._norms: ranking.Scores | None = None
        """BM25's handicaps of all rows, until a row changes."""
        self._frequent = FrequentTerms()

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, memory_id: str) -> bool:
        return memory_id in self._places

    def ids(self) -> Iterable[str]:
        """Return the ids of all memories."""
        return self._places.keys()

    def put(self, memories: MemoryColumns) -> None:
        """Add memories, all different, or replace those of the same ids; none is in the trash."""
        for memory_id in memories.ids:
            self.remove(memory_id)
        words, values = self._columns(memories)
        first = self._rows.extend(len(memories.ids), **values)
        self._ids += memories.ids
        self._places.update(zip(memories.ids, range(first, len(self._ids)), strict=True))
        self._words.extend(first, words)
        entries = [_entries(each) if each else [] for each in memories.metadata]
        many = len(entries) >= _MANY
        self._tags.extend(first, Terms.of(memories.tags) if many else memories.tags)
        self._metadata.extend(first, Terms.of(entries) if many else entries)
        self._titles.update(
            (place, title)
            for place, title in enumerate(memories.titles, start=first)
            if title is not None
        )
        self._sessions.extend(
            memories.sessions, moments=memories.moments, lengths=values["length"], ids=self._ids
        )
        self._vectors.extend(self._table(memories.vectors))
        self._changed()

    def remove(self, memory_id: str) -> None:
        """Forget a memory; nothing happens when it is not there."""
        place = self._places.pop(memory_id, None)
        if place is None:
            return
        self._rows["alive"][place] = False
        self._vectors.forget(place, of=len(self._places) + 1)
        self._titles.pop(place, None)
        self._sessions.remove(place)
        self._changed()
        dead = self._rows.count - len(self._places)
        if dead >= max(_SWEEP_LEAST, _SWEEP_SHARE * self._rows.count):
            self._sweep()

    def settle(self) -> None:
        """Do now what the next search would have to do first, after many memories came."""
        self._words.settle()
        if self._rows.count > _EXACT:
            self._words.learn()
            self._vectors.signs()

    def agrees(self, memory: Memory, vector: Vector | None) -> bool:
        """Tell whether what `put` would keep of a memory is what is here."""
        place = self._places.get(memory.id)
        if place is None or place >= self._rows.count or self._ids[place] != memory.id:
            return False
        _, values = self._columns(MemoryColumns.of([(memory, vector)]))
        words = terms("\n".join([searchable_text(memory), *memory.tags]))
        return (
            all(np.array_equal(self._rows[name][place], value[0]) for name, value in values.items())
            and self._vectors.agrees(place, vector)
            and self._titles.get(place) == memory.title
            and self._words.agrees(place, words)
            and self._tags.agrees(place, memory.tags)
            and self._metadata.agrees(place, _entries(memory.metadata))
        )

    def _columns(self, memories: MemoryColumns) -> tuple[Rows, dict[str, Any]]:
        """Return the memories' words, and the values of their rows by column."""
        texts = [
            "\n".join([text, *tags]) if tags else text
            for text, tags in zip(memories.texts, memories.tags, strict=True)
        ]
        words: Rows
        if len(texts) < _MANY:
            words = [terms(text) for text in texts]
            lengths = np.fromiter(map(len, words), np.intp, len(words))
        else:
            words = Terms.of_texts(texts)
            lengths = words.per_row
        columns = {
            "alive": np.ones(len(texts), dtype=np.bool_),
            "length": lengths,
            "importance": memories.importances,
            "created": memories.created,
            "moment": memories.moments,
            "project": [self._project_code(project) for project in memories.projects],
            "type": [_TYPE_CODES[kind] for kind in memories.types],
            "state": [_STATE_CODES[state] for state in memories.states],
            "origin": [_ORIGIN_CODES[origin] for origin in memories.origins],
            "trust": memories.trusts,
            "pinned": memories.pinned,
            "valid_from": [-_EVER if at is None else at for at in memories.valid_from],
            "valid_to": [_EVER if at is None else at for at in memories.valid_to],
        }
        values = {name: np.asarray(column, _COLUMNS[name]) for name, column in columns.items()}
        return words, values

    def _table(self, vectors: Sequence[Vector | None]) -> Table:
        """Return vectors as rows, zeros where there is none."""
        rows = [self._nothing if each is None else each for each in vectors]
        return np.concatenate(rows).reshape(len(rows), -1)

    def vector(self, memory_id: str) -> Vector | None:
        """Return the vector of a memory, None when it has none or is not there."""
        place = self._places.get(memory_id)
        if place is None:
            return None
        return self._vectors.one(place)

    def embedded(self) -> list[str]:
        """Return the ids of the memories that have a vector."""
        held = np.flatnonzero(self._rows["alive"] & self._vectors.held())
        return [self._ids[place] for place in held]

    def with_vector(self) -> int:
        """Return how many memories have a vector."""
        return int(np.count_nonzero(self._rows["alive"] & self._vectors.held()))

    def question(
        self,
        vector: Vector,
        *,
        where: MemoryFilter,
        limit: int,
        refine: Refinement = _NO_REFINEMENT,
    ) -> Question | None:
        """Return what to ask a vector server, so that its answer helps `search` with the same.

        None when the filter means nothing that has a vector.
        """
        places = np.flatnonzero(self._meant(where, refine) & self._vectors.held())
        if not places.size:
            return None
        count = max(_ASKED, _SPREAD * limit)
        some = places.size < len(self)
        if some and places.size <= _NAMED:
            around = self._sessions.around(places) if places.size <= _ACCOMPANIED else None
            if around is not None and refine.words:
                places = np.union1d(places, around)
                places = places[self._vectors.held()[places]]
            among = [self._ids[place] for place in places]
            return Question(self._aimed(vector, refine)[0], len(among), among)
        if some:  # of the nearest of all, only some will be meant
            count = min(_ASKED_MOST, count * len(self) // places.size)
        return Question(self._aimed(vector, refine)[0], min(count, len(self)))

    def _aimed(self, vector: Vector, refine: Refinement) -> tuple[Vector, float]:
        """Return the vector to compare with, and what to add to its products."""
        if not refine.words:
            return vector, 0.0
        return ranking.centred(vector, self._vectors.mean(len(self)))

    def search(
        self,
        query: str,
        vector: Vector | None,
        *,
        where: MemoryFilter,
        limit: int,
        refine: Refinement = _NO_REFINEMENT,
        near: Nearness | None = None,
    ) -> list[Hit]:
        """Return the memories that the filter means, best first.

        With a vector, every such memory is a candidate; without, those that share a word with the
        query, or whose session does. `near` is what a vector server answered to `question`.
        """
        places = np.flatnonzero(self._meant(where, refine))
        if not places.size:
            return []
        if refine.words:
            lexical, session = self._lexical_parts(query, places)
        else:
            lexical = session = np.zeros(places.size, dtype=np.float32)
        vectors, raised, known = None, 0.0, None
        newest = int(self._at(places, self._rows["moment"]).max())
        wanted = limit if not refine.diversity else _SPREAD * limit
        if vector is None and places.size > wanted:
            hopeful = _hopeful(ranking.fused(lexical, session, None), wanted)
            places, lexical, session = places[hopeful], lexical[hopeful], session[hopeful]
        elif vector is not None:
            vector, raised = self._aimed(vector, refine)
            known = self._by_place(near)
            if places.size > max(_EXACT, 4 * limit):
                words = (lexical, session) if refine.words else None
                chosen = self._chosen(
                    vector, raised, places, words, known, newest=newest, limit=limit
                )
                places, lexical, session = places[chosen], lexical[chosen], session[chosen]
            cosines = self._vectors.products(vector, places, known)
            vectors = ranking.vector_share(cosines + raised)
        prior = self._prior(places, newest)
        if refine.words:
            whole = ranking.fused(lexical, session, vectors)
            if vector is not None and vectors is not None:
                top = np.flatnonzero(_highest(whole * prior, _LIFTED))
                vectors[top] = self._lifted(vectors[top], places[top], vector, raised, known)
                whole[top] = ranking.fused(lexical[top], session[top], vectors[top])
        else:
            whole = np.zeros_like(lexical) if vectors is None else vectors
        scores = (whole * prior).round(_DECIMALS)
        best = self._best(places, scores, wanted)
        best = [at for at in best if scores[at] >= refine.min_score]
        if refine.diversity:
            vectors_of = self._vectors.several(places[best])
            order = ranking.spread_out(scores[best], vectors_of, refine.diversity, limit)
            best = [best[at] for at in order]
        return [
            Hit(
                self._ids[places[at]],
                float(scores[at]),
                ranking.parts(at, lexical, session, vectors, prior),
            )
            for at in best
        ]

    def facets(self, where: MemoryFilter, refine: Refinement = _NO_REFINEMENT) -> Facets:
        """Count the memories that the filter means, by what tells them apart."""
        mask = self._meant(where, refine)
        names = {code: str(kind) for kind, code in _TYPE_CODES.items()}
        projects = {code: project for project, code in self._projects.items()}
        created = self._rows["created"][mask]
        months = Counter((created.astype("datetime64[us]").astype("datetime64[M]")).tolist())
        lengths = np.searchsorted([most for _, most in LENGTHS], self._rows["length"][mask])
        sizes = np.bincount(lengths, minlength=len(LENGTHS)).tolist()
        return Facets(
            total=int(mask.sum()),
            types=_counted(names, self._rows["type"][mask]),
            tags=most_frequent(
                (tag, int(mask[self._tags.holding(tag)[0]].sum())) for tag in self._tags.terms()
            ),
            projects=_counted(projects, self._rows["project"][mask]),
            sessions=most_frequent(self._sessions.sizes(mask)),
            lengths=[(name, size) for (name, _), size in zip(LENGTHS, sizes, strict=True) if size],
            months=[
                (f"{month:%Y-%m}", count)
                for month, count in sorted(months.items(), reverse=True)[:MOST_VALUES]
            ],
        )

    def suggest(self, begun: str, where: MemoryFilter, limit: int) -> list[Suggestion]:
        """Return titles, tags and words that go on with what was typed, the most common first.

        The last word counts as not finished; those before it must be in the memory, too.
        """
        typed = terms(begun)
        if not typed:
            return []
        mask = self._meant(where)
        for term in typed[:-1]:
            mask &= self._held(self._words, (term,))
        completions = self._words.beginning(typed[-1], limit=_COMPLETIONS)
        counts = {term: int(mask[self._words.holding(term)[0]].sum()) for term in completions}
        rows = self._held(self._words, completions) & mask
        found = [
            Suggestion(title, "title", 1)
            for place, title in self._titles.items()
            if rows[place] and any(word.startswith(typed[-1]) for word in terms(title))
        ]
        folded = begun.strip().casefold()
        for tag in self._tags.terms():
            if tag.casefold().startswith(folded):
                memories = int((mask & self._held(self._tags, (tag,))).sum())
                found.append(Suggestion(tag, "tag", memories))
        before = begun[: len(begun) - len(begun.split()[-1])] if len(typed) > 1 else ""
        found += [Suggestion(before + term, "word", count) for term, count in counts.items()]
        return some_of_each(found, limit)

    def _held(self, postings: Postings, wanted: Iterable[str]) -> Mask:
        """Return which rows hold at least one of these terms."""
        mask = np.zeros(self._rows.count, dtype=np.bool_)
        for term in wanted:
            mask[postings.holding(term)[0]] = True
        return mask

    def _lexical_parts(
        self, query: str, places: ranking.Places
    ) -> tuple[ranking.Scores, ranking.Scores]:
        """Return the lexical and the session part for the places, each within 0..1."""
        alive = self._rows["alive"]
        if self._norms is None:
            lengths = self._rows["length"]
            self._norms = ranking.length_norm(lengths, float(lengths[alive].mean()))
        norms = self._norms
        scores = np.zeros(self._rows.count, dtype=np.float32)
        weight = 0.0
        sessions = self._sessions.scorer()

        def gather(root: str) -> Evidence:
            at, counts = self._words.alike(root)
            if len(self) < self._rows.count:
                living = alive[at]
                at, counts = at[living], counts[living]
            shares = ranking.saturation(counts, norms[at])
            return Evidence(len(at), at, shares, *sessions.gather(at, counts))

        for root, times in Counter(map(stem, terms(query))).items():
            found = self._frequent.of(root, self._rows.count, gather)
            idf = times * ranking.inverse_frequency(len(self), found.rows)
            weight += idf
            scores[found.places] += idf * found.shares
            sessions.add(found.sessions, found.session_shares, times=times)
        spread = self._sessions.spread(scores)
        lexical = ranking.lexical_share(self._at(places, spread), weight)
        return lexical, sessions.shares(places, otherwise=lexical)

    def _chosen(
        self,
        vector: Vector,
        raised: float,
        places: ranking.Places,
        words: tuple[ranking.Scores, ranking.Scores] | None,
        known: Known | None,
        *,
        newest: int,
        limit: int,
    ) -> ranking.Places:
        """Return which of the places are worth an exact look, ascending.

        `words` are the lexical and the session parts of the places, where these count.
        """
        signs = self._vectors.signs()
        cosines = np.float32(np.linalg.norm(vector)) * self._at(places, signs.cosines(vector))
        some = _highest(cosines, max(_NEAR, 4 * limit))
        if words is not None:
            fit = ranking.fused(*words, ranking.vector_share(cosines + raised))
            some |= _highest(fit, max(_FIT, 4 * limit))
        if known is not None:
            some |= ~np.isnan(known.products[places])
        rows = np.flatnonzero(some)
        at = places[rows]
        guesses = signs.estimates(vector, at)
        if known is not None:
            guesses = known.better(guesses, at)
        chosen = _highest(guesses, max(_NEAREST, 2 * limit))
        if words is not None:
            lexical, session = words[0][rows], words[1][rows]
            fit = ranking.fused(lexical, session, ranking.vector_share(guesses + raised))
            fit *= self._prior(at, newest)
            chosen |= _highest(fit, max(_FITTEST, 2 * limit))
        return rows[chosen]

    def _prior(self, places: ranking.Places, newest: int) -> ranking.Scores:
        return ranking.prior(self._rows["importance"][places], self._rows["moment"][places], newest)

    def _at(self, places: ranking.Places, column: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the entries of these rows, of different ones in order; not to be written to."""
        return column if places.size == len(column) else column.take(places)

    def _by_place(self, near: Nearness | None) -> Known | None:
        """Return what is known of memories by their rows."""
        if near is None:
            return None
        products = np.full(self._rows.count, np.nan, dtype=np.float32)
        for memory_id, product in near.products.items():
            place = self._places.get(memory_id)
            if place is not None:
                products[place] = product
        return Known(products, near.most)

    def _lifted(
        self,
        shares: ranking.Scores,
        places: ranking.Places,
        vector: Vector,
        raised: float,
        known: Known | None,
    ) -> ranking.Scores:
        """Return vector shares of these places, lifted by their neighbours in their sessions."""
        around = self._sessions.around(places)
        if around is None:
            return shares
        accompanied = np.flatnonzero((around != places[:, np.newaxis]).any(axis=1))
        neighbours = around[accompanied]
        cosines = self._vectors.products(vector, neighbours.ravel(), known) + raised
        nearest = ranking.vector_share(cosines).reshape(neighbours.shape).max(axis=1, initial=0)
        shares[accompanied] = ranking.lifted(shares[accompanied], nearest)
        return shares

    def _meant(self, where: MemoryFilter, refine: Refinement = _NO_REFINEMENT) -> Mask:
        """Return which rows are alive and meant by the filter."""
        mask: Mask = self._rows["alive"].copy()
        if where.project is not None:
            mask &= self._rows["project"] == self._projects.get(where.project, _NO_PROJECT - 1)
        if where.session is not None:
            mask &= self._sessions.membership(where.session)
        if where.types:
            mask &= self._among("type", [_TYPE_CODES[kind] for kind in where.types])
        mask &= self._of_life(where)
        for tag in where.tags_all:
            mask &= self._held(self._tags, (tag,))
        if refine.tags_any:
            mask &= self._held(self._tags, refine.tags_any)
        for entry in _entries(refine.metadata):
            mask &= self._held(self._metadata, (entry,))
        if where.created_after is not None:
            mask &= self._rows["created"] > to_microseconds(where.created_after)
        if where.created_before is not None:
            mask &= self._rows["created"] < to_microseconds(where.created_before)
        return mask

    def _among(self, column: str, codes: list[int]) -> Mask:
        """Return which rows hold one of these codes in a column of uint8."""
        held = self._rows[column]
        mask = np.zeros(self._rows.count, dtype=np.bool_)
        for code in codes:  # few: a pass for each is faster than looking each row up
            mask |= held == code
        return mask

    def _of_life(self, where: MemoryFilter) -> Mask:
        """Return which rows are in a state, of an origin and of a time that the filter means."""
        mask = np.ones(self._rows.count, dtype=np.bool_)
        if where.states:
            mask &= self._among("state", [_STATE_CODES[state] for state in where.states])
        if where.origins:
            mask &= self._among("origin", [_ORIGIN_CODES[origin] for origin in where.origins])
        if where.trust_min > 0:
            mask &= self._rows["trust"] >= np.float32(where.trust_min)
        if where.pinned is not None:
            mask &= self._rows["pinned"] == where.pinned
        if where.valid_at is not None:
            at = to_microseconds(where.valid_at)
            mask &= (self._rows["valid_from"] <= at) & (at < self._rows["valid_to"])
        return mask

    def _best(self, places: ranking.Places, scores: ranking.Scores, limit: int) -> list[int]:
        """Return where the best are within `places`, those of equal score newest first."""
        chosen = np.flatnonzero(scores > 0)
        if chosen.size > limit:
            least = np.partition(scores[chosen], -limit)[-limit]
            chosen = chosen[scores[chosen] >= least]
        created = self._rows["created"][places[chosen]]
        ranked = sorted(
            (-float(scores[at]), -int(moment), self._ids[places[at]], int(at))
            for at, moment in zip(chosen, created, strict=True)
        )
        return [at for *_, at in ranked[:limit]]

    def _project_code(self, project: str | None) -> int:
        if project is None:
            return _NO_PROJECT
        return self._projects.setdefault(project, len(self._projects))

    def _sweep(self) -> None:
        """Drop the dead rows for good."""
        alive = self._rows["alive"].copy()
        new_places = np.where(alive, np.cumsum(alive) - 1, -1)
        self._rows.keep(alive)
        self._ids = [memory_id for memory_id, kept in zip(self._ids, alive, strict=True) if kept]
        self._places = {memory_id: place for place, memory_id in enumerate(self._ids)}
        self._words.renumber(new_places)
        self._tags.renumber(new_places)
        self._metadata.renumber(new_places)
        self._titles = {int(new_places[place]): title for place, title in self._titles.items()}
        self._sessions.renumber(new_places)
        self._vectors.keep(alive)
        self._changed()

    def _changed(self) -> None:
        """Forget what was computed from the rows as they were."""
        self._norms = None
        self._frequent.forget()


def _highest(values: ranking.Scores, count: int) -> Mask:
    """Return which are at least as high as the one of this rank; all when there are no more."""
    if values.size <= count:
        return np.ones(values.size, dtype=np.bool_)
    return np.asarray(values >= np.partition(values, -count)[-count])


def _hopeful(scores: ranking.Scores, count: int) -> ranking.Places:
    """Return which may be among the best so many once they are weighed by their priors."""
    least = float(np.partition(scores, -count)[-count]) * ranking.PRIOR_RATIO - 10.0**-_DECIMALS
    return np.flatnonzero((scores >= least) & (scores > 0))


def _entries(metadata: Mapping[str, Any]) -> list[str]:
    """Return the top-level entries of metadata that can be asked for, each as one term."""
    return [
        f"{key}\0{json.dumps(value)}"
        for key, value in metadata.items()
        if value is None or isinstance(value, str | int | float)
    ]


def _counted(names: Mapping[int, str], codes: npt.NDArray[Any]) -> list[Count]:
    values, counts = np.unique(codes, return_counts=True)
    pairs = zip(values.tolist(), counts.tolist(), strict=True)
    return most_frequent((names[code], count) for code, count in pairs if code in names)
