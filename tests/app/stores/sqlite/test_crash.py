"""kill -9 in the middle of writing."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import apsw
import pytest

from memorybank.domain.memory import MemoryFilter
from memorybank.stores.sqlite import SqliteStore

ROUNDS = 10


@pytest.mark.slow
async def test_no_acknowledged_write_is_lost_by_kill_9(tmp_path: Path) -> None:
    database = tmp_path / "memory_bank.db"
    told: dict[str, set[str]] = {"add": set(), "deleting": set(), "delete": set()}
    dice = random.Random(7)  # noqa: S311 - varies the moment of death, keeps nothing secret
    for _ in range(ROUNDS):
        for line in writes_until_killed(database, after=dice.randint(1, 400)):
            what, memory_id = line.split()
            told[what].add(memory_id)
    kept = told["add"] - told["deleting"]
    deleted = told["delete"]

    store = await SqliteStore.open(database, model="test")
    found = {memory.id for memory in await store.get_many("acme", [*kept, *deleted])}
    page = await store.list_memories("acme", MemoryFilter(), limit=1, cursor=None)
    await store.close()
    assert found >= kept, "an acknowledged memory is gone"
    assert not found & deleted, "an acknowledged deletion came undone"
    assert page.total >= len(kept)
    assert apsw.Connection(str(database)).pragma("integrity_check") == "ok"


def writes_until_killed(database: Path, *, after: int) -> list[str]:
    """Run the writer, kill it when it has told of `after` writes; return all it told."""
    command = [sys.executable, "-m", "tests.support.memory_writer", str(database)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline() for _ in range(after)]
        writer.kill()
        lines += writer.stdout.readlines()
    assert writer.returncode == -9, "the writer ended by itself"
    return [line for line in lines if line.endswith("\n")]
