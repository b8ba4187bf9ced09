"""Sessions: which memories belong together, and in which order.

A memory's neighbours in its session, and its session as a whole, are evidence for it.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from memorybank.domain import ranking
from memorybank.search.columns import Columns

Order = tuple[int, str]
"""Time in microseconds, then id."""

_NOBODY = -1
_COLUMNS: dict[str, npt.DTypeLike] = {"group": np.int32, "before": np.int32, "after": np.int32}


class Sessions:
    """A linked list of rows per session, in order of time; rows are numbered by their adder."""

    def __init__(self) -> None:
        self._rows = Columns(_COLUMNS, vector=0)
        self._orders: list[Order] = []
        self._groups: dict[str, int] = {}
        self._last: dict[int, int] = {}  # group of a named session -> its last row

    def add(self, place: int, session: str | None, *, order: Order) -> None:
        """Add the next row; `place` is the number of rows so far."""
        group = _NOBODY
        if session is not None:
            group = self._groups.setdefault(session, len(self._groups))
        self._rows.append(group=group, before=_NOBODY, after=_NOBODY)
        self._orders.append(order)
        if session is not None:
            self._link(place, group)

    def remove(self, place: int) -> None:
        """Take a row out of its session; its number stays taken."""
        before, after = self._rows["before"], self._rows["after"]
        group = int(self._rows["group"][place])
        earlier, later = int(before[place]), int(after[place])
        if earlier != _NOBODY:
            after[earlier] = later
        if later != _NOBODY:
            before[later] = earlier
        elif self._last.get(group) == place:
            if earlier == _NOBODY:
                del self._last[group]
            else:
                self._last[group] = earlier
        before[place] = after[place] = _NOBODY

    def spread(self, scores: ranking.Scores) -> ranking.Scores:
        """Return each row's score with parts of its neighbours' scores added."""
        if not self._last:
            return scores
        return ranking.with_neighbours(scores, self._rows["before"], self._rows["after"])

    def membership(self, session: str) -> npt.NDArray[np.bool_]:
        """Return which rows are of the session."""
        group = self._groups.get(session)
        if group is None:
            return np.zeros(self._rows.count, dtype=np.bool_)
        mask: npt.NDArray[np.bool_] = self._rows["group"] == group
        return mask

    def scorer(self, lengths: ranking.Scores, alive: npt.NDArray[np.bool_]) -> SessionScorer:
        """Return what scores whole sessions for one query."""
        return SessionScorer(self._rows["group"], np.where(alive, lengths, 0), len(self._groups))

    def renumber(self, new_places: npt.NDArray[np.int64]) -> None:
        """Move every row to its new place, where -1 means that it is dropped."""
        kept = new_places >= 0
        self._rows.keep(kept)
        self._orders = [order for order, stays in zip(self._orders, kept, strict=True) if stays]
        lookup = np.append(new_places, _NOBODY)  # -1 reads the -1 at the end
        for link in ("before", "after"):
            self._rows[link][:] = lookup[self._rows[link]]
        self._renumber_groups()
        self._last = {group: int(lookup[row]) for group, row in self._last.items()}

    def _renumber_groups(self) -> None:
        """Forget the sessions of which no row is left."""
        new_groups: dict[int, int] = {}
        for session, group in list(self._groups.items()):
            if group in self._last:
                new_groups[group] = self._groups[session] = len(new_groups)
            else:
                del self._groups[session]
        lookup = np.full(
            max(new_groups, default=_NOBODY) + 2, _NOBODY
        )  # -1 reads the -1 at the end
        lookup[list(new_groups)] = list(new_groups.values())
        self._rows["group"][:] = lookup[self._rows["group"]]
        self._last = {new_groups[group]: row for group, row in self._last.items()}

    def _link(self, place: int, group: int) -> None:
        """Put the row behind the last row that is not later; nearly always that is the end."""
        before, after = self._rows["before"], self._rows["after"]
        later = _NOBODY
        earlier = self._last.get(group, _NOBODY)
        while earlier != _NOBODY and self._orders[earlier] > self._orders[place]:
            later, earlier = earlier, int(before[earlier])
        before[place], after[place] = earlier, later
        if earlier != _NOBODY:
            after[earlier] = place
        if later != _NOBODY:
            before[later] = place
        else:
            self._last[group] = place


class SessionScorer:
    """BM25 of whole sessions for one query: a session is one document of all its words."""

    def __init__(self, groups: ranking.Places, lengths: ranking.Scores, count: int) -> None:
        """Both arrays have one entry per row: its group or -1; its length, 0 for dead rows."""
        self._groups = groups
        inside = groups >= 0
        per_group = np.bincount(groups[inside], weights=lengths[inside], minlength=count)
        used = per_group > 0
        self._documents = int(used.sum())
        mean_length = float(per_group[used].mean()) if self._documents else 0.0
        self._norms = ranking.length_norm(per_group.astype(np.float32), mean_length)
        self._scores = np.zeros(count, dtype=np.float32)
        self._weight = 0.0

    def add(self, places: npt.NDArray[np.uint32], counts: ranking.Scores, *, times: int) -> None:
        """Count a term that the query holds `times` times and these rows `counts` times."""
        if not self._documents:
            return
        groups = self._groups[places]
        inside = groups >= 0
        per_group = np.bincount(
            groups[inside], weights=counts[inside], minlength=len(self._scores)
        ).astype(np.float32)
        held = per_group > 0
        idf = times * ranking.inverse_frequency(self._documents, int(held.sum()))
        self._weight += idf
        self._scores[held] += idf * ranking.saturation(per_group[held], self._norms[held])

    def shares(self, places: npt.NDArray[np.int64], *, otherwise: ranking.Scores) -> ranking.Scores:
        """Return the scores of these rows' sessions, brought to 0..1.

        A memory without session is a session of one: it gets its own share, `otherwise`.
        """
        if not self._documents:
            return otherwise
        groups = self._groups[places]
        shares = ranking.lexical_share(self._scores[groups], self._weight)
        return np.where(groups >= 0, shares, otherwise)
