"""The tools of `profile=full` for edges between memories. One memory's are memory_link's business.

See more_tools for adding and listing the edges of one memory.
"""

from __future__ import annotations

from typing import Any

from memorybank.auth.principal import Principal
from memorybank.domain.keys import Scope
from memorybank.mcp.tools import ToolSpec
from memorybank.mcp.work_tools import tool
from memorybank.schemas.edges import (
    CycleView,
    EdgeRemoval,
    NewEdge,
    NodeView,
    OrderQuery,
    OrderView,
    StepView,
    TraverseQuery,
    WalkView,
)
from memorybank.schemas.fields import Response
from memorybank.services.memories import MemoryService


class Removed(Response):
    """That edges are gone."""

    removed: bool


def edge_tools(memories: MemoryService) -> list[ToolSpec[Any]]:
    """Return them, always in the same order."""

    async def remove(caller: Principal, which: EdgeRemoval) -> Removed:
        await memories.edges.remove(caller, which.source, which.target, which.type)
        return Removed(removed=True)

    async def traverse(caller: Principal, query: TraverseQuery) -> WalkView:
        walk = await memories.edges.traverse(
            caller,
            query.memory,
            types=query.type,
            direction=query.direction,
            depth=query.depth,
            limit=query.limit,
        )
        nodes = [StepView.at(step, memory) for step, memory in walk.steps]
        return WalkView(nodes=nodes, complete=walk.complete)

    async def cycle(caller: Principal, edge: NewEdge) -> CycleView:
        path = await memories.edges.cycle(caller, edge.source, edge.target, edge.type)
        return CycleView(closes=bool(path), path=[NodeView.of(each) for each in path])

    async def order(caller: Principal, query: OrderQuery) -> OrderView:
        order = await memories.edges.order(caller, root=query.root, project=query.project)
        return OrderView(order=[NodeView.of(each) for each in order])

    return [
        tool(
            "edge_remove",
            "Remove edges",
            "Remove the edges from a memory to another one, all or those of one type.",
            EdgeRemoval,
            remove,
            Removed,
        ),
        tool(
            "edge_traverse",
            "Walk along edges",
            "Tell which memories edges lead to from one, up to five edges away, and by which path.",
            TraverseQuery,
            traverse,
            WalkView,
            Scope.READ,
        ),
        tool(
            "edge_cycle",
            "Check for a cycle",
            "Tell whether an edge would close a cycle, and which.",
            NewEdge,
            cycle,
            CycleView,
            Scope.READ,
        ),
        tool(
            "edge_order",
            "What comes first",
            "Put what depends on what in an order, of a root or of a project.",
            OrderQuery,
            order,
            OrderView,
            Scope.READ,
        ),
    ]
