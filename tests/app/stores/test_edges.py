"""What every store promises of edges: walks, orders, and that no edge closes a cycle."""

from __future__ import annotations

import asyncio
import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from memorybank.domain.edges import DEPENDENCE, Cycle, Direction
from memorybank.domain.memory import (
    AnyOf,
    DetailBetween,
    HasDetail,
    LeadsTo,
    Link,
    LinkType,
    MemoryFilter,
    MemoryState,
    MemoryType,
)
from memorybank.errors import InvalidCursor
from memorybank.ports import MemoryStore, Move
from memorybank.stores.postgres.store import PostgresStore
from tests.app.stores.test_contract import STORES, Opener, opener, store
from tests.support.memory_samples import a_memory, a_vector

__all__ = ["STORES", "opener", "store"]

NOW = datetime(2026, 3, 1, tzinfo=UTC)
DEPENDS, BLOCKS = LinkType.DEPENDS_ON, LinkType.BLOCKS


async def stored(store: MemoryStore, count: int, project: str | None = "p") -> list[str]:
    memories = [a_memory(str(place), project=project) for place in range(count)]
    await store.add_many([(each, a_vector()) for each in memories])
    return [each.id for each in memories]


async def linked(
    store: MemoryStore, source: str, target: str, kind: LinkType = DEPENDS
) -> bool | None:
    return await store.link("acme", Link(source, target, kind, NOW))


async def test_an_edge_that_would_close_a_cycle_is_refused_with_its_path(
    store: MemoryStore,
) -> None:
    a, b, c, d = await stored(store, 4)
    await linked(store, a, b)
    await linked(store, c, b, BLOCKS)
    for source, target, kind, path in (
        (c, a, DEPENDS, [c, a, b, c]),
        (a, c, BLOCKS, [c, a, b, c]),
        (b, a, DEPENDS, [b, a, b]),
    ):
        with pytest.raises(Cycle) as caught:
            await linked(store, source, target, kind)
        assert caught.value.path == path
        edge = Link(source, target, kind, NOW)
        assert await store.edges.closes("acme", edge) == path
    assert await linked(store, c, a, LinkType.RELATED_TO)
    assert await linked(store, c, a, LinkType.CHILD_OF)
    with pytest.raises(Cycle):
        await linked(store, c, a, LinkType.PARENT_OF)
    assert await linked(store, c, d)
    assert await linked(store, a, b) is False
    await store.unlink("acme", a, b, DEPENDS)
    assert await linked(store, c, a)


async def test_of_edges_that_only_together_close_a_cycle_one_is_refused(
    store: MemoryStore, opener: Opener, tmp_path: Path
) -> None:
    ring = await stored(store, 6)
    others = [await opener(tmp_path, "model-1")] if isinstance(store, PostgresStore) else []
    stores = [store, *others]  # as two pods have them
    for turn in range(4):
        ring = [*ring[turn:], *ring[:turn]]
        edges = list(zip(ring, [*ring[1:], ring[0]], strict=True))
        outcomes = await asyncio.gather(
            *(
                linked(stores[place % len(stores)], source, target)
                for place, (source, target) in enumerate(edges)
            ),
            return_exceptions=True,
        )
        assert sum(isinstance(each, Cycle) for each in outcomes) == 1
        for source, target in edges:
            await store.unlink("acme", source, target, DEPENDS)
    for each in stores[1:]:
        await each.close()


async def test_a_long_chain_is_searched_from_the_end_where_less_is(store: MemoryStore) -> None:
    ids = await stored(store, 700)
    for one, other in itertools.pairwise(ids):
        await linked(store, one, other)
    with pytest.raises(Cycle) as caught:
        await linked(store, ids[-1], ids[0])
    assert caught.value.path == [ids[-1], *ids]
    [fresh] = await stored(store, 1)
    assert await linked(store, fresh, ids[0])
    order = await store.edges.ordering("acme", DEPENDENCE, root=ids[-3], limit=100)
    assert order == [(ids[-3], ids[-2]), (ids[-2], ids[-1])]
    few = await store.edges.ordering("acme", DEPENDENCE, root=ids[0], limit=100)
    assert few is not None
    assert few[0] == (ids[0], ids[1])
    assert 100 <= len(few) <= 101


async def test_edges_are_told_by_direction_and_type_without_those_to_the_trash(
    store: MemoryStore,
) -> None:
    a, b, c, gone = await stored(store, 4)
    await linked(store, a, b)
    await linked(store, c, a, LinkType.SUPPORTS)
    await linked(store, a, gone)
    await linked(store, gone, b)
    await store.move("acme", [Move(gone, MemoryState.TRASH, NOW)])

    async def ends(direction: Direction, *types: LinkType) -> list[tuple[str, str]]:
        found = await store.edges.around("acme", [a], types=types, direction=direction, limit=10)
        return [(each.source, each.target) for each in found]

    assert await ends(Direction.OUT) == [(a, b)]
    assert await ends(Direction.IN) == [(c, a)]
    assert await ends(Direction.BOTH) == [(a, b), (c, a)]
    assert await ends(Direction.BOTH, LinkType.SUPPORTS, LinkType.FOLLOWS) == [(c, a)]
    strangers = await store.edges.around("other", [a], types=(), direction=Direction.BOTH, limit=10)
    assert strangers == []
    of_project = await store.edges.ordering_of("acme", DEPENDENCE, project="p", limit=10)
    assert of_project == [(a, b)]
    assert await store.edges.ordering_of("acme", DEPENDENCE, project="q", limit=10) == []
    assert await store.edges.ordering("other", DEPENDENCE, root=a, limit=10) is None
    with pytest.raises(Cycle):  # what is in the trash may come back
        await linked(store, b, gone)


async def test_a_list_is_narrowed_by_times_and_by_what_edges_lead_to(store: MemoryStore) -> None:
    due = ["2026-03-01T00:00:00Z", "2026-03-01T00:00:00.500000Z", "2026-03-01T00:00:01Z"]
    tasks = [
        a_memory(str(place), type=MemoryType.TASK, details=details)
        for place, details in enumerate(
            [{"due_at": due[0]}, {"due_at": due[1], "status": "done"}, {"due_at": due[2]}, {}]
        )
    ]
    await store.add_many([(each, a_vector()) for each in tasks])
    await linked(store, tasks[0].id, tasks[1].id)
    await linked(store, tasks[3].id, tasks[2].id, BLOCKS)

    async def places(*wanted: DetailBetween | LeadsTo | AnyOf) -> list[int]:
        page = await store.list_memories(
            "acme", MemoryFilter(), limit=10, cursor=None, details=wanted
        )
        assert page.total == len(page.memories)
        return sorted(int(each.content) for each in page.memories)

    second = timedelta(seconds=1)
    assert await places(DetailBetween("due_at", after=NOW)) == [1, 2]
    assert await places(DetailBetween("due_at", before=NOW + second)) == [0, 1]
    assert await places(DetailBetween("due_at", NOW, NOW + second)) == [1]
    is_open = HasDetail("status", ("todo",), or_absent=True)
    blocked = LeadsTo(BLOCKS, MemoryType.TASK, is_open, backward=True)
    done = HasDetail("status", ("done",))
    assert await places(blocked) == [2]
    assert await places(LeadsTo(DEPENDS, MemoryType.TASK, is_open)) == []
    assert await places(LeadsTo(DEPENDS, MemoryType.TASK, done)) == [0]
    assert await places(LeadsTo(DEPENDS, MemoryType.NOTE, done)) == []
    assert await places(AnyOf((blocked, done))) == [1, 2]
    assert await places(AnyOf((blocked, done), negated=True)) == [0, 3]


async def test_a_list_about_the_present_goes_on_while_time_passes(store: MemoryStore) -> None:
    details = {"due_at": "2026-01-01T00:00:00Z"}
    memories = [a_memory(str(place), details=details) for place in range(3)]
    await store.add_many([(each, a_vector()) for each in memories])

    async def page(now: datetime, cursor: str | None, *, moving: bool) -> str | None:
        late = (DetailBetween("due_at", before=now, moving=moving),)
        found = await store.list_memories(
            "acme", MemoryFilter(), limit=1, cursor=cursor, details=late
        )
        return found.next_cursor

    first = await page(NOW, None, moving=True)
    assert await page(NOW + timedelta(seconds=1), first, moving=True) is not None
    fixed = await page(NOW, None, moving=False)
    with pytest.raises(InvalidCursor):
        await page(NOW + timedelta(seconds=1), fixed, moving=False)
