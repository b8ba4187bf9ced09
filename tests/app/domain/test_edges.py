"""Graphs: ways, orders and cycles, against what a plain search finds."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank.domain.edges import ORDER_OF, Cycle, in_order, way
from memorybank.domain.memory import LinkType

_NODES = st.sampled_from("abcdefg")
_GRAPHS = st.lists(st.tuples(_NODES, _NODES).filter(lambda pair: pair[0] != pair[1]), max_size=14)


def reached(edges: list[tuple[str, str]], start: str) -> set[str]:
    found = {start}
    while more := {other for one, other in edges if one in found} - found:
        found |= more
    return found


@given(_GRAPHS, _NODES, _NODES)
def test_a_way_leads_along_edges_where_there_is_one(
    edges: list[tuple[str, str]], start: str, goal: str
) -> None:
    path = way(edges, start, goal)
    if goal not in reached(edges, start):
        assert path is None
        return
    assert path is not None
    assert (path[0], path[-1]) == (start, goal)
    assert set(itertools.pairwise(path)) <= set(edges)
    assert len(path) == len(set(path))


@given(_GRAPHS)
def test_an_order_holds_or_names_a_cycle(edges: list[tuple[str, str]]) -> None:
    nodes = sorted({node for edge in edges for node in edge})
    is_cyclic = any(
        other in reached(edges, one) and one in reached(edges, other) for one, other in edges
    )
    if is_cyclic:
        with pytest.raises(Cycle) as caught:
            in_order(nodes, edges)
        path = caught.value.path
        assert path[0] == path[-1]
        assert set(itertools.pairwise(path)) <= set(edges)
        return
    order = in_order(nodes, edges)
    assert sorted(order) == nodes
    assert all(order.index(later) > order.index(earlier) for later, earlier in edges)
    assert in_order(reversed(nodes), edges[::-1]) == order


def test_edges_of_nodes_that_are_not_asked_for_do_not_count() -> None:
    assert in_order(["a", "b"], [("a", "c"), ("c", "a"), ("a", "b")]) == ["b", "a"]


def test_a_type_and_its_opposite_are_one_order() -> None:
    assert ORDER_OF[LinkType.BLOCKS] is ORDER_OF[LinkType.DEPENDS_ON]
    assert ORDER_OF[LinkType.PARENT_OF] is ORDER_OF[LinkType.CHILD_OF]
    assert LinkType.RELATED_TO not in ORDER_OF
