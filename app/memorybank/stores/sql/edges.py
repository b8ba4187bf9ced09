"""The statements about edges as a whole: what closes a cycle, what leads where, what orders what.

Whether an edge closes a cycle is asked in the transaction that stores it. All writes of a bank come
one after the other, on SQLite by its one writer and on PostgreSQL by the row that numbers them. So
of two edges that only together close a cycle the second one is refused, whichever process it comes
from.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from memorybank.domain.edges import ORDER_OF, Cycle, Direction, Order, way
from memorybank.domain.memory import Link, LinkType, MemoryState
from memorybank.domain.times import from_microseconds
from memorybank.stores.sql import life, rows
from memorybank.stores.sql.connection import Connection, Dialect, Run

_FIRST_LOOK = 256
"""Edges that a search for a way looks at from either end, at first."""
_GROWTH = 8
"""How many times as many it looks at, each time that neither end is through."""
_AT_ONCE = 500
"""Rows that one statement names."""

_EDGE = "source.id, target.id, links.type, links.created_at"
_ENDS = (
    "JOIN memories AS source ON source.created_seq = links.source"
    " JOIN memories AS target ON target.created_seq = links.target"
)
_THERE = f"source.state <> '{MemoryState.TRASH}' AND target.state <> '{MemoryState.TRASH}'"


def ordered_link(connection: Connection, tenant: str, edge: Link) -> bool | None:
    """Store an edge; False when it was there, None when an end is not. Raises Cycle."""
    ends = _rows(connection, tenant, edge)
    if ends is None:
        return None
    known = connection.execute(
        "SELECT 1 FROM links WHERE source = ? AND target = ? AND type = ?",
        (*ends, edge.type.value),
    ).fetchone()
    if known is None and (path := _cycle(connection, edge.type, *ends)) is not None:
        raise Cycle(path)
    return life.link(connection, tenant, edge)


def _rows(connection: Connection, tenant: str, edge: Link) -> tuple[int, int] | None:
    source = life.created_seq(connection, tenant, edge.source)
    target = life.created_seq(connection, tenant, edge.target)
    return None if source is None or target is None else (source, target)


def _cycle(connection: Connection, kind: LinkType, source: int, target: int) -> list[str] | None:
    """Return the ids along the cycle that an edge between these rows would close.

    The way back is looked for from both ends, further and further, until one of them is through.
    So it costs what the smaller side costs: an end that nothing leads on from is through at once.
    """
    order = ORDER_OF.get(kind)
    if order is None:
        return None
    later, earlier = (source, target) if kind is order.forward else (target, source)
    limit = _FIRST_LOOK
    while True:
        ahead = _reach(connection, order, earlier, limit, forward=True)
        behind = _reach(connection, order, later, limit, forward=False)
        path = way([*ahead, *behind], earlier, later)
        if path is not None:
            return _ids(connection, [later, *path])
        if len(ahead) < limit or len(behind) < limit:
            return None
        limit *= _GROWTH


def _reach(
    connection: Connection, order: Order, start: int, limit: int, *, forward: bool
) -> list[tuple[int, int]]:
    """Return edges that lead on from a row, or to it, the nearest first: each once, as they lead.

    The limit on the outside ends the recursion as soon as there are enough.
    """
    along, against = ("source", "target") if forward else ("target", "source")
    on, leads_to = f"links.{along} = reached.there AND links.type = ?", f"links.{against}"
    values: list[Any] = [start, order.forward.value]
    if order.backward is not None:
        on = f"({on}) OR (links.{against} = reached.there AND links.type = ?)"
        leads_to = f"CASE links.type WHEN ? THEN {leads_to} ELSE links.{along} END"
        values += [order.forward.value, order.backward.value]
    found: Sequence[rows.Row] = connection.execute(
        "WITH RECURSIVE reached (here, there) AS ("
        "SELECT CAST(NULL AS bigint), CAST(? AS bigint)"
        f" UNION SELECT reached.there, {leads_to} FROM reached JOIN links ON {on})"
        " SELECT here, there FROM reached LIMIT ?",
        [*values, limit + 1],
    ).fetchall()
    edges = [(one, other) for one, other in found if one is not None]
    return edges if forward else [(other, one) for one, other in edges]


def _ids(connection: Connection, places: Sequence[int]) -> list[str]:
    """Return the ids of rows, in their order."""
    ids: dict[int, str] = {}
    wanted = sorted(set(places))
    for start in range(0, len(wanted), _AT_ONCE):
        some = wanted[start : start + _AT_ONCE]
        found = connection.execute(
            "SELECT created_seq, id FROM memories"
            f" WHERE created_seq IN ({', '.join('?' * len(some))})",
            some,
        )
        ids |= dict(found.fetchall())
    return [ids[place] for place in places]


class EdgeTables:
    """See EdgeStore."""

    def __init__(self, dialect: Dialect, *, read: Run) -> None:
        self._dialect = dialect
        self._read = read

    async def around(
        self,
        tenant: str,
        ids: Sequence[str],
        *,
        types: Collection[LinkType],
        direction: Direction,
        limit: int,
    ) -> list[Link]:
        """See EdgeStore."""
        wanted = self._dialect.bound_list(ids)
        kinds = sorted(types)
        any_of = f" AND links.type IN ({', '.join('?' * len(kinds))})" if kinds else ""
        sides = {Direction.OUT: ("source",), Direction.IN: ("target",)}

        def read(connection: Connection) -> list[Link]:
            found: dict[rows.Row, None] = {}
            with connection:  # both ways are of the same moment
                for side in sides.get(direction, ("source", "target")):
                    edges = connection.execute(
                        f"SELECT {_EDGE} FROM {self._dialect.listed} CROSS JOIN memories AS here"
                        f" JOIN links ON links.{side} = here.created_seq {_ENDS}"
                        f" WHERE here.tenant = ? AND here.id = wanted AND {_THERE}{any_of}"
                        " ORDER BY place, links.created_at, source.id, target.id, links.type"
                        " LIMIT ?",
                        [wanted, tenant, *kinds, limit],
                    )
                    found |= dict.fromkeys(map(tuple, edges))
            return [
                Link(source, target, LinkType(kind), from_microseconds(at))
                for source, target, kind, at in found
            ][:limit]

        return await self._read(tenant, read)

    async def ordering(
        self, tenant: str, order: Order, *, root: str, limit: int
    ) -> list[tuple[str, str]] | None:
        """See EdgeStore."""

        def read(connection: Connection) -> list[tuple[str, str]] | None:
            with connection:  # the edges and their names are of the same moment
                row = life.created_seq(connection, tenant, root)
                if row is None:
                    return None
                return _named(connection, _reach(connection, order, row, limit, forward=True))

        return await self._read(tenant, read)

    async def ordering_of(
        self, tenant: str, order: Order, *, project: str, limit: int
    ) -> list[tuple[str, str]]:
        """See EdgeStore."""
        kinds = sorted(order.types)

        def read(connection: Connection) -> list[tuple[str, str]]:
            found: dict[tuple[str, str], None] = {}
            with connection:  # both ways are of the same moment
                for side in ("source", "target"):
                    edges = connection.execute(
                        "SELECT source.id, target.id, links.type FROM memories AS here"
                        f" JOIN links ON links.{side} = here.created_seq {_ENDS}"
                        " WHERE here.tenant = ? AND here.project = ?"
                        f" AND links.type IN ({', '.join('?' * len(kinds))}) AND {_THERE}"
                        " LIMIT ?",
                        [tenant, project, *kinds, limit],
                    )
                    for source, target, kind in edges:
                        is_forward = kind == order.forward.value
                        found[(source, target) if is_forward else (target, source)] = None
            return list(found)[:limit]

        return await self._read(tenant, read)

    async def closes(self, tenant: str, edge: Link) -> list[str] | None:
        """See EdgeStore."""

        def read(connection: Connection) -> list[str] | None:
            with connection:
                ends = _rows(connection, tenant, edge)
                return None if ends is None else _cycle(connection, edge.type, *ends)

        return await self._read(tenant, read)


def _named(connection: Connection, pairs: Sequence[tuple[int, int]]) -> list[tuple[str, str]]:
    """Return pairs of ids for pairs of rows."""
    places = sorted({place for pair in pairs for place in pair})
    names = dict(zip(places, _ids(connection, places), strict=True))
    return [(names[one], names[other]) for one, other in pairs]
