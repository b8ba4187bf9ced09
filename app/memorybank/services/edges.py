"""Edges between memories as a graph: what is around a memory, what leads where, what comes first.

One edge is stored and removed by Life.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime

from memorybank.auth.principal import Principal
from memorybank.domain.edges import DEPENDENCE, Cycle, Direction, Step, in_order
from memorybank.domain.keys import Scope
from memorybank.domain.memory import Link, LinkType, Memory, MemoryState
from memorybank.errors import Conflict, InvalidRequest
from memorybank.ports import MemoryStore
from memorybank.services.cycles import CycleRefused, holds_cycle
from memorybank.services.life import Life, unknown
from memorybank.services.timing import Counted, Timed

_MOST_EDGES = 20_000
"""Edges that one answer looks at: of a walk in one step, of an order in all."""


@dataclass(frozen=True, slots=True)
class Walk:
    """What is reached from a memory."""

    steps: list[tuple[Step, Memory]]
    """The nearest first; without the memory where it begins."""
    complete: bool
    """False when there was more than was asked for."""


class Edges:
    """The edges of a tenant."""

    def __init__(
        self,
        store: MemoryStore,
        life: Life,
        *,
        clock: Callable[[], datetime],
        timed: Timed,
        counted: Counted,
    ) -> None:
        self._store = store
        self._life = life
        self._clock = clock
        self._timed = timed
        self._counted = counted

    async def add(
        self, caller: Principal, source: str, target: str, kind: LinkType
    ) -> tuple[Link, bool]:
        """Store an edge; return it, and whether it is new. See Life.link."""
        try:
            with self._timed("edge_add"):
                link, is_new = await self._life.link(caller, source, target, kind)
        except CycleRefused:
            self._counted("edge", "refused")
            raise
        if is_new:
            self._counted("edge", "added")
        return link, is_new

    async def remove(
        self, caller: Principal, source: str, target: str, kind: LinkType | None
    ) -> None:
        """Remove edges from one memory to another, all or those of a type. Raises NotFound."""
        await self._life.unlink(caller, source, target, kind)
        self._counted("edge", "removed")

    async def of(
        self,
        caller: Principal,
        memory_id: str,
        *,
        types: Collection[LinkType] = (),
        direction: Direction = Direction.BOTH,
    ) -> list[Link]:
        """Return the edges of a memory, oldest first within each direction. Raises NotFound."""
        await self._present(caller, memory_id)
        return await self.around(caller.tenant, memory_id, types=types, direction=direction)

    async def around(
        self,
        tenant: str,
        memory_id: str,
        *,
        types: Collection[LinkType],
        direction: Direction,
    ) -> list[Link]:
        """Return the edges of a memory of a tenant: for rules."""
        return await self._store.edges.around(
            tenant, [memory_id], types=types, direction=direction, limit=_MOST_EDGES
        )

    async def traverse(
        self,
        caller: Principal,
        memory_id: str,
        *,
        types: Collection[LinkType] = (),
        direction: Direction = Direction.BOTH,
        depth: int,
        limit: int,
    ) -> Walk:
        """Return the memories that edges lead to, each once, by a shortest path. Raises NotFound.

        Each step is of one moment; the walk as a whole is not.
        """
        await self._present(caller, memory_id)
        paths: dict[str, tuple[str, ...]] = {memory_id: (memory_id,)}
        steps: list[Step] = []
        edge, complete = [memory_id], True
        with self._timed("edge_traverse"):
            for distance in range(1, depth + 1):
                found = await self._store.edges.around(
                    caller.tenant, edge, types=types, direction=direction, limit=_MOST_EDGES
                )
                complete = complete and len(found) < _MOST_EDGES
                fresh: list[Step] = []
                here = set(edge)
                for link in found:
                    for one, other in ((link.source, link.target), (link.target, link.source)):
                        if one in here and other not in paths and _leads(link, one, direction):
                            paths[other] = (*paths[one], other)
                            fresh.append(Step(other, distance, paths[other], link))
                steps += fresh
                edge = [step.memory_id for step in fresh]
                if not edge or len(steps) > limit:
                    break
            complete = complete and len(steps) <= limit
            steps = steps[:limit]
            memories = await self._memories(caller, [step.memory_id for step in steps])
        there = [(step, memories[step.memory_id]) for step in steps if step.memory_id in memories]
        return Walk(there, complete)

    async def cycle(
        self, caller: Principal, source: str, target: str, kind: LinkType
    ) -> list[Memory | str]:
        """Return the memories along the cycle that an edge would close, none for none.

        Those in the trash by their ids. Raises NotFound.
        """
        await self._present(caller, source, field="source")
        await self._present(caller, target, field="target")
        if source == target:
            path = [source, source]
        else:
            edge = Link(source, target, kind, self._clock())
            with self._timed("edge_cycle"):
                path = await self._store.edges.closes(caller.tenant, edge) or []
        memories = await self._memories(caller, path)
        return [memories.get(each, each) for each in path]

    async def order(
        self, caller: Principal, *, root: str | None, project: str | None
    ) -> list[Memory]:
        """Return what a memory depends on, or what depends on what in a project, in an order.

        Nothing comes before what it depends on. Raises NotFound, Conflict for a cycle and for what
        is too much, and InvalidRequest unless one of the two is named.
        """
        caller.require(Scope.READ)
        if (root is None) == (project is None):
            raise InvalidRequest(
                "one of root and project is required", field="root", hint="send one of the two"
            )
        with self._timed("edge_order"):
            if root is not None:
                await self._present(caller, root, field="root")
                pairs = await self._store.edges.ordering(
                    caller.tenant, DEPENDENCE, root=root, limit=_MOST_EDGES
                )
            else:
                pairs = await self._store.edges.ordering_of(
                    caller.tenant, DEPENDENCE, project=project or "", limit=_MOST_EDGES
                )
            if pairs is None:
                raise unknown("root")
            if len(pairs) >= _MOST_EDGES:
                raise Conflict(
                    f"there are more than {_MOST_EDGES} edges to put in order",
                    field="project" if root is None else "root",
                    hint="ask for a root that less leads on from",
                )
            nodes = dict.fromkeys(each for pair in pairs for each in pair)
            if root is not None:
                nodes[root] = None
            memories = await self._memories(caller, list(nodes))
            try:
                return [memories[each] for each in in_order(memories, pairs)]
            except Cycle as cycle:
                raise await holds_cycle(self._store, caller.tenant, cycle) from None

    async def _memories(self, caller: Principal, ids: list[str]) -> dict[str, Memory]:
        """Return memories that are not in the trash, by their ids."""
        found = await self._store.get_many(caller.tenant, list(dict.fromkeys(ids)))
        return {each.id: each for each in found if each.state is not MemoryState.TRASH}

    async def _present(self, caller: Principal, memory_id: str, *, field: str = "id") -> None:
        caller.require(Scope.READ)
        if not await self._memories(caller, [memory_id]):
            raise unknown(field)


def _leads(link: Link, one: str, direction: Direction) -> bool:
    """Say whether an edge may be walked along from one of its ends."""
    if direction is Direction.BOTH:
        return True
    return (link.source == one) is (direction is Direction.OUT)
