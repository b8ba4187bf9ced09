"""/v1/edges: typed edges between memories, as a graph. For one memory's see routes_life."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from memorybank.http.body import JsonRoute
from memorybank.http.caller import Caller
from memorybank.schemas.edges import (
    CycleView,
    EdgeList,
    EdgeQuery,
    EdgeRemoval,
    NewEdge,
    NodeView,
    OrderQuery,
    OrderView,
    StepView,
    TraverseQuery,
    WalkView,
)
from memorybank.schemas.life import LinkView
from memorybank.services.edges import Edges

_NEW: dict[int | str, dict[str, Any]] = {201: {"model": LinkView, "description": "It is new."}}


class EdgeRoutes:
    """Parse, call the service, show."""

    def __init__(self, edges: Edges) -> None:
        self._edges = edges

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1/edges", route_class=JsonRoute, tags=["edges"])
        add = router.add_api_route
        add("", self.add, methods=["POST"], summary="Add an edge", responses=_NEW)
        add("", self.list_of, methods=["GET"], summary="List the edges of a memory")
        add("", self.remove, methods=["DELETE"], status_code=204, summary="Remove edges")
        add("/traverse", self.traverse, methods=["GET"], summary="Walk along edges")
        add("/cycle", self.cycle, methods=["GET"], summary="Would an edge close a cycle?")
        add("/order", self.order, methods=["GET"], summary="What comes first")
        return router

    async def add(self, caller: Caller, new: NewEdge, response: Response) -> LinkView:
        """Lead an edge from a memory to another. The same again changes nothing.

        One that would close a cycle of what depends on what, is part of what or follows what is
        refused, with the path.
        """
        link, is_new = await self._edges.add(caller, new.source, new.target, new.type)
        if is_new:
            response.status_code = 201
        return LinkView.of(link)

    async def list_of(self, caller: Caller, query: Annotated[EdgeQuery, Query()]) -> EdgeList:
        """List the edges from and to a memory."""
        links = await self._edges.of(
            caller, query.memory, types=query.type, direction=query.direction
        )
        return EdgeList(edges=[LinkView.of(link) for link in links])

    async def remove(self, caller: Caller, which: Annotated[EdgeRemoval, Query()]) -> None:
        """Remove the edges from a memory to another one, all or those of one type."""
        await self._edges.remove(caller, which.source, which.target, which.type)

    async def traverse(self, caller: Caller, query: Annotated[TraverseQuery, Query()]) -> WalkView:
        """Tell what edges lead to from a memory, each memory once, by a shortest path."""
        walk = await self._edges.traverse(
            caller,
            query.memory,
            types=query.type,
            direction=query.direction,
            depth=query.depth,
            limit=query.limit,
        )
        nodes = [StepView.at(step, memory) for step, memory in walk.steps]
        return WalkView(nodes=nodes, complete=walk.complete)

    async def cycle(self, caller: Caller, query: Annotated[NewEdge, Query()]) -> CycleView:
        """Tell whether an edge would close a cycle, and which."""
        path = await self._edges.cycle(caller, query.source, query.target, query.type)
        return CycleView(closes=bool(path), path=[NodeView.of(each) for each in path])

    async def order(self, caller: Caller, query: Annotated[OrderQuery, Query()]) -> OrderView:
        """Put what depends on what in an order in which it can be done."""
        order = await self._edges.order(caller, root=query.root, project=query.project)
        return OrderView(order=[NodeView.of(each) for each in order])
