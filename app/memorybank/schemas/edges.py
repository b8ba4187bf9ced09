"""Edges as callers send and get them."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from memorybank.domain.edges import MAX_DEPTH, Direction, Step
from memorybank.domain.memory import LinkType, Memory, MemoryType
from memorybank.schemas.fields import MemoryId, Name, Request, Response
from memorybank.schemas.life import LinkName, LinkView

MAX_NODES = 1_000

# Not strict: JSON and query strings have no enumerations and no numbers, only texts.
_Direction = Annotated[Direction, Field(strict=False)]
_LinkNames = Annotated[list[LinkName], Field(max_length=len(LinkType))]


class NewEdge(Request):
    """An edge from one memory to another."""

    source: MemoryId = Field(description="Id of the memory that it leads from.")
    target: MemoryId = Field(description="Id of the memory that it leads to.")
    type: LinkName = Field(LinkType.RELATED_TO, description="How the source relates to the target.")


class EdgeRemoval(Request):
    """Which edges to remove."""

    source: MemoryId
    target: MemoryId
    type: LinkName | None = Field(None, description="Only of this type; else all.")


class EdgeQuery(Request):
    """Which edges to list."""

    memory: MemoryId = Field(description="Those of this memory, by its id.")
    type: _LinkNames = Field([], description="Only of this type; may be repeated: any of them.")
    direction: _Direction = Field(
        Direction.BOTH, description="Only those that lead out of the memory, or into it."
    )


class TraverseQuery(EdgeQuery):
    """How far to walk along edges, and along which."""

    memory: MemoryId = Field(description="Where to begin, by its id.")
    direction: _Direction = Field(Direction.BOTH, description="Which way to walk along edges.")
    depth: Annotated[int, Field(ge=1, le=MAX_DEPTH, strict=False)] = Field(
        2, description="How many edges to walk along at most."
    )
    limit: Annotated[int, Field(ge=1, le=MAX_NODES, strict=False)] = Field(
        100, description="How many memories to return at most, the nearest ones."
    )


class OrderQuery(Request):
    """What to put in order. Send one of the two."""

    root: MemoryId | None = Field(
        None, description="This memory, what it depends on, what that depends on, and so on."
    )
    project: Name | None = Field(None, description="What depends on what in this project.")


class NodeView(Response):
    """A memory as a place in a graph."""

    id: str
    type: MemoryType | None = Field(description="Null for one that is in the trash.")
    title: str | None
    project: str | None

    @classmethod
    def of(cls, memory: Memory | str) -> NodeView:
        """Show a memory, or the id of one that is in the trash."""
        if isinstance(memory, str):
            return cls(id=memory, type=None, title=None, project=None)
        return cls(id=memory.id, type=memory.type, title=memory.title, project=memory.project)


class EdgeList(Response):
    """Edges of a memory: those that lead out of it first, the oldest first."""

    edges: list[LinkView]


class StepView(NodeView):
    """A memory that edges lead to."""

    depth: int = Field(description="How many edges away it is.")
    path: list[str] = Field(description="Ids from where the walk began to it, both included.")
    by: LinkView = Field(description="The last edge on the path.")

    @classmethod
    def at(cls, step: Step, memory: Memory) -> StepView:
        """Show where a walk has come to."""
        return cls(
            **NodeView.of(memory).model_dump(),
            depth=step.depth,
            path=list(step.path),
            by=LinkView.of(step.by),
        )


class WalkView(Response):
    """What edges lead to, the nearest first."""

    nodes: list[StepView]
    complete: bool = Field(description="False when there is more than was asked for.")


class CycleView(Response):
    """Whether an edge would close a cycle."""

    closes: bool
    path: list[NodeView] = Field(description="Along the cycle, the first again as the last.")


class OrderView(Response):
    """Memories so that none comes before what it depends on."""

    order: list[NodeView]
