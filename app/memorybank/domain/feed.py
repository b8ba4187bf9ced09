"""What indexes are built from: many memories at once, field by field.

An index is built anew at every start. Objects for each of 100,000 memories, with fields that no
index asks for, cost more than all that is done with them; lists of the fields do not.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

from memorybank.domain.memory import Memory, searchable_text
from memorybank.domain.times import maybe_microseconds, to_microseconds

if TYPE_CHECKING:  # the command line needs the words of the domain, not the arrays
    import numpy as np
    import numpy.typing as npt


class MemoryColumns(NamedTuple):
    """Memories as columns: entry by entry, each column is of the same memories.

    Times are microseconds since 1970. Types, states and origins are the values of their enums.
    """

    tenants: Sequence[str]
    ids: Sequence[str]
    titles: Sequence[str | None]
    texts: Sequence[str]
    """See `searchable_text`."""
    tags: Sequence[Sequence[str]]
    metadata: Sequence[dict[str, Any]]
    projects: Sequence[str | None]
    sessions: Sequence[str | None]
    types: Sequence[str]
    states: Sequence[str]
    origins: Sequence[str]
    importances: Sequence[float]
    trusts: Sequence[float]
    pinned: Sequence[bool]
    created: Sequence[int]
    moments: Sequence[int]
    """When it happened; where nobody said so, when it was stored."""
    valid_from: Sequence[int | None]
    valid_to: Sequence[int | None]
    vectors: Sequence[npt.NDArray[np.float32] | None]

    @classmethod
    def of(cls, items: Iterable[tuple[Memory, npt.NDArray[np.float32] | None]]) -> Self:
        """Return memories, of which there is at least one, and their vectors as columns."""
        rows = [
            (
                memory.tenant,
                memory.id,
                memory.title,
                searchable_text(memory),
                memory.tags,
                memory.metadata,
                memory.project,
                memory.session,
                memory.type,
                memory.state,
                memory.origin,
                memory.importance,
                memory.trust,
                memory.pinned,
                to_microseconds(memory.created_at),
                to_microseconds(memory.occurred_at or memory.created_at),
                maybe_microseconds(memory.valid_from),
                maybe_microseconds(memory.valid_to),
                vector,
            )
            for memory, vector in items
        ]
        return cls(*zip(*rows, strict=True))

    def of_tenants(self) -> Iterator[tuple[str, Self]]:
        """Yield each tenant and the memories of it."""
        tenants = dict.fromkeys(self.tenants)
        if len(tenants) == 1:
            yield self.tenants[0], self
            return
        places: dict[str, list[int]] = {tenant: [] for tenant in tenants}
        for place, tenant in enumerate(self.tenants):
            places[tenant].append(place)
        for tenant, chosen in places.items():
            yield tenant, type(self)._make([column[at] for at in chosen] for column in self)

    def parts(self, most: int, *, letters: int) -> Iterator[Self]:
        """Yield all of them in turn: at a time so many, of so many letters in all, or one."""
        start = size = 0
        for at, text in enumerate(self.texts):
            if at - start == most or (at > start and size + len(text) > letters):
                yield type(self)._make(column[start:at] for column in self)
                start, size = at, 0
            size += len(text)
        yield type(self)._make(column[start:] for column in self)


@dataclass(frozen=True, slots=True)
class FeedPage:
    """A stretch of the store's change feed: the newest state of each memory that changed in it."""

    seq: int
    """Up to which change it goes."""
    complete: bool
    """Whether there was no later change when it was read."""
    gone: Sequence[tuple[str, str]]
    """Tenants and ids of memories that were deleted, or are in the trash."""
    memories: MemoryColumns | None
    """The others, some made anew after they were deleted; None when there are none."""
