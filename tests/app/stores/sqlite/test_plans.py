"""The newest memories of a kind are found by an index, in order, however many others there are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from memorybank.domain.memory import MemoryFilter, MemoryType
from memorybank.settings import DATABASE_NAME
from memorybank.stores.sql import rows
from memorybank.stores.sqlite.connection import open_reader
from tests.support.service import service

_TASKS = frozenset({MemoryType.TASK})
_PLANS = [
    (MemoryFilter(), "memories_by_tenant"),
    (MemoryFilter(types=_TASKS), "memories_by_type"),
    (MemoryFilter(types=_TASKS, project="p"), "memories_by_type_of_project"),
    (MemoryFilter(types=_TASKS, session="s"), "memories_by_type_of_session"),
    (MemoryFilter(types=_TASKS, project="p", session="s"), "memories_by_type_of_session"),
    (MemoryFilter(project="p"), "memories_by_project"),
    (MemoryFilter(session="s"), "memories_by_session"),
    (MemoryFilter(pinned=True), "memories_pinned"),
    (MemoryFilter(pinned=True, project="p"), "memories_pinned_of_project"),
]


@pytest.fixture
async def reader(tmp_path: Path) -> AsyncIterator[apsw.Connection]:
    async with service(tmp_path):
        with closing(open_reader(tmp_path / DATABASE_NAME)) as connection:
            yield connection


@pytest.mark.parametrize(("where", "index"), _PLANS)
async def test_the_newest_are_read_by_an_index_in_order(
    reader: apsw.Connection, where: MemoryFilter, index: str
) -> None:
    clause, values = rows.condition("acme", where)
    statement = f"SELECT id FROM memories WHERE {clause} ORDER BY created_seq DESC LIMIT 10"  # noqa: S608  # ours
    (plan,) = reader.execute(f"EXPLAIN QUERY PLAN {statement}", values)
    assert f"SEARCH memories USING INDEX {index} (" in plan[-1]
