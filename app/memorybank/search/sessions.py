"""Sessions: which memories belong together, and in which order.

A memory's neighbours in its session, and its session as a whole, are evidence for it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from memorybank.domain import ranking
from memorybank.search.columns import Columns

Neighbours = tuple[tuple[ranking.Places, ranking.Places], tuple[ranking.Places, ranking.Places]]

_NOBODY = -1
_ALONE = 0
"""The group of all memories that are in no session."""

_COLUMNS: dict[str, npt.DTypeLike] = {
    "group": np.intp,
    "before": np.intp,
    "after": np.intp,
    "moment": np.int64,  # microseconds since 1970
    "length": np.float32,  # terms; 0 once the row is out of its session
}


class Sessions:
    """A linked list of rows per session, in order of time; rows are numbered by their adder."""

    def __init__(self) -> None:
        self._rows = Columns(_COLUMNS, vector=0)
        self._groups: dict[str, int] = {}
        self._last: dict[int, int] = {}  # group -> its last row, for groups that have any
        self._statistics: SessionStatistics | None = None
        self._neighbours: Neighbours | None = None

    def extend(
        self,
        sessions: Sequence[str | None],
        *,
        moments: Sequence[int],
        lengths: npt.NDArray[np.intp],
        ids: Sequence[str],
    ) -> None:
        """Add the next rows, of so many terms each; `ids` are those of all rows, these included.

        Within a session, rows are in order of time, those of the same time in order of their ids.
        """
        groups = [self._group(session) for session in sessions]
        first = self._rows.extend(
            len(groups),
            group=groups,
            before=_NOBODY,
            after=_NOBODY,
            moment=moments,
            length=lengths,
        )
        for place, group in enumerate(groups, start=first):
            if group != _ALONE:
                self._link(place, group, ids)
        self._statistics = self._neighbours = None

    def remove(self, place: int) -> None:
        """Take a row out of its session; its number stays taken."""
        before, after = self._rows["before"], self._rows["after"]
        group = int(self._rows["group"][place])
        earlier, later = int(before[place]), int(after[place])
        if earlier != _NOBODY:
            after[earlier] = later
        if later != _NOBODY:
            before[later] = earlier
        elif group != _ALONE:
            if earlier != _NOBODY:
                self._last[group] = earlier
            else:
                del self._last[group]
        before[place] = after[place] = _NOBODY
        self._rows["length"][place] = 0
        self._statistics = self._neighbours = None

    def spread(self, scores: ranking.Scores) -> ranking.Scores:
        """Return each row's score with parts of its neighbours' scores added."""
        if not self._last:
            return scores
        return ranking.with_neighbours(scores, *self._linked())

    def around(self, places: ranking.Places) -> ranking.Places | None:
        """Return the rows up to two before and after each of these, its own where there is none.

        One line per place, of four. None when there are no sessions at all.
        """
        if not self._last:
            return None
        sides = [links[places] for distance in self._linked() for links in distance]
        nobody = self._rows.count
        return np.stack([np.where(side == nobody, places, side) for side in sides], axis=1)

    def membership(self, session: str) -> npt.NDArray[np.bool_]:
        """Return which rows are of the session."""
        mask: npt.NDArray[np.bool_] = self._rows["group"] == self._groups.get(session, _NOBODY)
        return mask

    def sizes(self, mask: npt.NDArray[np.bool_]) -> Iterator[tuple[str, int]]:
        """Yield each session and how many of these rows it has."""
        counts = np.bincount(self._rows["group"][mask], minlength=len(self._groups) + 1)
        for session, group in self._groups.items():
            yield session, int(counts[group])

    def scorer(self) -> SessionScorer:
        """Return what scores whole sessions for one query."""
        if self._statistics is None:
            self._statistics = SessionStatistics.of(
                self._rows["group"], self._rows["length"], count=len(self._groups)
            )
        return SessionScorer(self._rows["group"], self._statistics)

    def renumber(self, new_places: npt.NDArray[np.intp]) -> None:
        """Move every row to its new place, where -1 means that it is dropped."""
        kept = new_places >= 0
        self._rows.keep(kept)
        lookup = np.append(new_places, _NOBODY)  # -1 reads the -1 at the end
        for link in ("before", "after"):
            self._rows[link][:] = lookup[self._rows[link]]
        self._last = {group: int(lookup[row]) for group, row in self._last.items()}
        self._renumber_groups()
        self._statistics = self._neighbours = None

    def _renumber_groups(self) -> None:
        """Forget the sessions of which no row is left."""
        sessions = [session for session, group in self._groups.items() if group in self._last]
        lookup = np.zeros(len(self._groups) + 1, dtype=np.intp)
        for new, session in enumerate(sessions, start=1):
            lookup[self._groups[session]] = new
        self._rows["group"][:] = lookup[self._rows["group"]]
        self._last = {int(lookup[group]): row for group, row in self._last.items()}
        self._groups = {session: new for new, session in enumerate(sessions, start=1)}

    def _linked(self) -> Neighbours:
        if self._neighbours is None:
            self._neighbours = _neighbours(self._rows["before"], self._rows["after"])
        return self._neighbours

    def _group(self, session: str | None) -> int:
        if session is None:
            return _ALONE
        return self._groups.setdefault(session, len(self._groups) + 1)

    def _link(self, place: int, group: int, ids: Sequence[str]) -> None:
        """Put the row behind the last row that is not later; nearly always that is the end."""
        before, after, moments = self._rows["before"], self._rows["after"], self._rows["moment"]
        moment = moments[place]
        later = _NOBODY
        earlier = self._last.get(group, _NOBODY)
        while earlier != _NOBODY and (
            moments[earlier] > moment or (moments[earlier] == moment and ids[earlier] > ids[place])
        ):
            later, earlier = earlier, int(before[earlier])
        before[place], after[place] = earlier, later
        if earlier != _NOBODY:
            after[earlier] = place
        if later != _NOBODY:
            before[later] = place
        else:
            self._last[group] = place


def _neighbours(before: ranking.Places, after: ranking.Places) -> Neighbours:
    """Return who is next and next but one to each row on both sides, as ranking wants it."""
    nobody = len(before)
    # The row of nobody is its own neighbour.
    links = [np.append(np.where(link < 0, nobody, link), nobody) for link in (before, after)]
    nearest = (links[0][:-1], links[1][:-1])
    return nearest, (links[0][nearest[0]], links[1][nearest[1]])


@dataclass(frozen=True, slots=True)
class SessionStatistics:
    """What BM25 needs to know of the sessions as documents; entry 0 of `norms` is nobody's."""

    documents: int
    norms: ranking.Scores

    @classmethod
    def of(
        cls, groups: ranking.Places, lengths: ranking.Scores, *, count: int
    ) -> SessionStatistics:
        """Add up the rows: `groups` and `lengths` have one entry per row."""
        totals = np.bincount(groups, weights=lengths, minlength=count + 1).astype(np.float32)
        totals[_ALONE] = 0
        used = totals > 0
        documents = int(used.sum())
        mean_length = float(totals[used].mean()) if documents else 0.0
        return cls(documents, ranking.length_norm(totals, mean_length))


class SessionScorer:
    """BM25 of whole sessions for one query: a session is one document of all its words."""

    def __init__(self, groups: ranking.Places, statistics: SessionStatistics) -> None:
        self._groups = groups
        self._statistics = statistics
        self._scores = np.zeros_like(statistics.norms)
        self._weight = 0.0

    def gather(self, places: ranking.Places, counts: ranking.Scores) -> tuple[int, ranking.Scores]:
        """Return how many sessions hold a term that these rows hold so often, and their shares."""
        if not self._statistics.documents:
            return 0, self._scores
        held = np.bincount(
            self._groups[places], weights=counts, minlength=len(self._scores)
        ).astype(np.float32)
        held[_ALONE] = 0
        return int(np.count_nonzero(held)), ranking.saturation(held, self._statistics.norms)

    def add(self, sessions: int, shares: ranking.Scores, *, times: int) -> None:
        """Count a term that the query holds `times` times, by what `gather` returned."""
        if not self._statistics.documents:
            return
        idf = times * ranking.inverse_frequency(self._statistics.documents, sessions)
        self._weight += idf
        self._scores += idf * shares

    def shares(self, places: ranking.Places, *, otherwise: ranking.Scores) -> ranking.Scores:
        """Return the scores of these rows' sessions, brought to 0..1.

        A memory without session is a session of one: it gets its own share, `otherwise`.
        """
        if not self._statistics.documents:
            return otherwise
        groups = self._groups
        if places.size < len(groups):
            groups = groups[places]
        shares = ranking.lexical_share(self._scores.take(groups), self._weight)
        return np.where(groups == _ALONE, otherwise, shares)
