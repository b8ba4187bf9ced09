"""Edges between memories: which types order, ways along them, orders that they give. Pure.

An order is a relation that can have no cycle: what depends on what, what is part of what, what
follows what. A type and its opposite are one relation: that A blocks B is that B depends on A.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from memorybank.domain.memory import Link, LinkType

MAX_DEPTH = 5
"""Edges from where a walk begins to where it ends, at most."""

Node = TypeVar("Node", bound=Hashable)


class Direction(StrEnum):
    """Which way edges are walked along."""

    OUT = "out"
    IN = "in"
    BOTH = "both"


@dataclass(frozen=True, slots=True)
class Order:
    """A relation without cycles. Its edges lead from what comes later to what must be there."""

    forward: LinkType
    backward: LinkType | None = None
    """The type whose edges say the same the other way round."""

    @property
    def types(self) -> frozenset[LinkType]:
        """Return the types whose edges belong to it."""
        return frozenset({self.forward} if self.backward is None else {self.forward, self.backward})

    def ends(self, link: Link) -> tuple[str, str]:
        """Return the ids that one of its edges leads from and to."""
        if link.type is self.backward:
            return link.target, link.source
        return link.source, link.target


DEPENDENCE = Order(LinkType.DEPENDS_ON, LinkType.BLOCKS)
ORDERS: Sequence[Order] = (
    DEPENDENCE,
    Order(LinkType.CHILD_OF, LinkType.PARENT_OF),
    Order(LinkType.FOLLOWS),
)
ORDER_OF: Mapping[LinkType, Order] = {kind: order for order in ORDERS for kind in order.types}


class Cycle(Exception):
    """An edge that would close a cycle, or one that is there."""

    def __init__(self, path: Sequence[str]) -> None:
        """`path` holds the ids along the cycle; the first is the last again."""
        super().__init__("cycle")
        self.path = list(path)


def way(edges: Iterable[tuple[Node, Node]], start: Node, goal: Node) -> list[Node] | None:
    """Return a shortest way from one node to another, both included; None where there is none."""
    following: dict[Node, list[Node]] = {}
    for one, other in edges:
        following.setdefault(one, []).append(other)
    came_from: dict[Node, Node] = {}
    waiting = deque([start])
    seen = {start}
    while waiting:
        node = waiting.popleft()
        if node == goal:
            path = [node]
            while path[-1] in came_from:
                path.append(came_from[path[-1]])
            return path[::-1]
        for each in following.get(node, ()):
            if each not in seen:
                seen.add(each)
                came_from[each] = node
                waiting.append(each)
    return None


def in_order(nodes: Iterable[str], edges: Iterable[tuple[str, str]]) -> list[str]:
    """Return the nodes so that none comes before what its edges lead to. Raises Cycle.

    Where edges leave it open, ids decide, that is the time of creation: the same graph has but one
    order. Edges of other nodes do not count.
    """
    needed: dict[str, set[str]] = {node: set() for node in nodes}
    needed_by: dict[str, list[str]] = {node: [] for node in needed}
    for later, earlier in edges:
        if later in needed and earlier in needed and earlier not in needed[later]:
            needed[later].add(earlier)
            needed_by[earlier].append(later)
    ready = [node for node, before in needed.items() if not before]
    heapq.heapify(ready)
    order: list[str] = []
    while ready:
        node = heapq.heappop(ready)
        order.append(node)
        for later in needed_by[node]:
            needed[later].discard(node)
            if not needed[later]:
                heapq.heappush(ready, later)
    if len(order) < len(needed):
        raise Cycle(_cycle({node: before for node, before in needed.items() if before}))
    return order


def _cycle(needed: Mapping[str, set[str]]) -> list[str]:
    """Return a cycle among nodes of which each needs another one of them."""
    node = min(needed)
    place: dict[str, int] = {}
    path: list[str] = []
    while node not in place:
        place[node] = len(path)
        path.append(node)
        node = min(needed[node])
    return [*path[place[node] :], node]


@dataclass(frozen=True, slots=True)
class Step:
    """A memory that a walk has come to."""

    memory_id: str
    depth: int
    path: tuple[str, ...]
    """Ids from where the walk began to this one, both included."""
    by: Link
    """The edge that it was come to by."""
