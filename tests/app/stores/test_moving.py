"""Moving a bank between two files: what holds for a move whichever databases its ends are.

PostgreSQL is in postgres/test_moving.py, real processes are in tests/app/server/test_move.py.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import apsw
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from memorybank.domain.audit import EventKind
from memorybank.domain.memory import Link, LinkType, MemoryFilter, MemoryState, Touch
from memorybank.domain.tenants import Quotas
from memorybank.encryption import KeyRing
from memorybank.errors import (
    ConfigurationError,
    Conflict,
    InvalidRequest,
    MemoryBankError,
    StoreUnavailable,
)
from memorybank.ports import Claim, Move
from memorybank.stores.sql.connection import EVERYONE, Connection
from memorybank.stores.sql.contents import LEFT_BEHIND, SEALED, TABLES, Table, Tally
from memorybank.stores.sql.embeddings import register
from memorybank.stores.sql.moving import Mover, Outcome
from memorybank.stores.sqlite import SqliteStore, moving
from memorybank.stores.sqlite.connection import open_reader
from memorybank.stores.sqlite.moving import SqliteEnd
from tests.support.full_bank import MODEL, contents, fill_both_spaces
from tests.support.memory_samples import NOON, a_key, a_memory, a_vector, later

Answer = TypeVar("Answer")
Hear = Callable[[str], None]
Change = Callable[[SqliteStore, int], Coroutine[Any, Any, None]]


class Killed(BaseException):
    """What ends a move as suddenly as a signal."""


class Told:
    """Hears of a move, and lets something happen then."""

    def __init__(self, hear: Hear = lambda _said: None) -> None:
        self.hear = hear
        self.said: list[str] = []

    def step(self, said: str) -> None:
        self.said.append(said)
        self.hear(said)

    def at(self, table: str, done: int, total: int) -> None:
        assert done <= total
        self.hear(table)


class Mortal:
    """An end that is dead after so many writes of both ends."""

    def __init__(self, end: SqliteEnd, lives: list[None]) -> None:
        self._end = end
        self._lives = lives

    def __getattr__(self, name: str) -> Any:
        return getattr(self._end, name)

    def write(self, work: Callable[[Connection], Answer]) -> Answer:
        if not self._lives:
            raise Killed
        self._lives.pop()
        return self._end.write(work)


def file_in(folder: Path) -> Path:
    return folder / "memory_bank.db"


async def opened(folder: Path) -> SqliteStore:
    return await SqliteStore.open(file_in(folder), model=MODEL, audited=EventKind)


@contextmanager
def ends(source: Path, target: Path) -> Iterator[tuple[SqliteEnd, SqliteEnd]]:
    with moving.source(file_in(source)) as one, moving.target(file_in(target)) as other:
        yield one, other


OF_POSTGRES = {"indexed", "lease", "rewinds", "words"}
"""Tables that a file has no need of."""


def moved(source: Path, target: Path, hear: Hear = lambda _said: None) -> Outcome:
    with ends(source, target) as (one, other):
        return Mover(one, other, Told(hear)).run()


def moved_until(source: Path, target: Path, writes: int) -> bool:
    """Move, and die after so many writes; say whether the move came to its end before."""
    lives = [None] * writes
    try:
        with ends(source, target) as (one, other):
            Mover(Mortal(one, lives), Mortal(other, lives), Told()).run()
    except Killed:
        return False
    return True


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a bank that has something in every table."""
    folder = tmp_path_factory.mktemp("full")
    asyncio.run(fill_both_spaces(folder))
    return folder


@pytest.fixture
def source(full: Path, tmp_path: Path) -> Path:
    """A bank of one's own, like `full`."""
    return shutil.copytree(full, tmp_path / "source")


def test_everything_that_a_bank_holds_is_moved_or_said_to_stay(full: Path) -> None:
    with moving.source(file_in(full)) as end, end.moment() as connection:
        found = {
            name: {column for _, column, *_ in connection.execute(f"PRAGMA table_info({name})")}
            for (name,) in connection.execute(
                "SELECT name FROM sqlite_schema WHERE type = 'table'"
            ).fetchall()
        }
        empty = [table.name for table in TABLES if not table.count(connection)]
    assert found.pop("feed") == {"id", "seq"}
    assert set(found) == {table.name for table in TABLES} | (LEFT_BEHIND - OF_POSTGRES) | SEALED
    for table in TABLES:
        assert set(table.columns) == found[table.name], table.name
        assert len(set(table.columns)) == len(table.columns)
    assert not empty, "the tests below would not notice if these were lost"


def test_the_bank_at_the_target_is_the_one_that_was_at_the_source(
    source: Path, tmp_path: Path
) -> None:
    outcome = moved(source, tmp_path / "target")
    assert contents(file_in(tmp_path / "target")) == contents(file_in(source))
    assert outcome.census is not None
    assert outcome.census.counts["acme", "memories"] == 5
    assert outcome.census.counts["full", "memories"] == 1
    assert not outcome.broken_logs


async def test_the_bank_is_served_where_it_is_and_nowhere_else(
    source: Path, tmp_path: Path
) -> None:
    outcome = moved(source, tmp_path / "target")
    with pytest.raises(ConfigurationError, match="was moved to another database"):
        await opened(source)
    store = await opened(tmp_path / "target")
    assert outcome.census is not None
    assert await store.add(a_memory(), a_vector()) == outcome.census.seq + 1
    await store.close()


@pytest.mark.slow
def test_a_move_that_dies_after_any_of_its_writes_goes_on(full: Path, tmp_path: Path) -> None:
    expected = contents(file_in(full))
    half = 0
    for writes in range(200):
        case = tmp_path / str(writes)
        source, target = shutil.copytree(full, case / "source"), case / "target"
        if moved_until(source, target, writes):
            break
        served = []
        for folder in (source, target):
            try:
                store = asyncio.run(opened(shutil.copytree(folder, case / f"{folder.name}-served")))
            except (ConfigurationError, StoreUnavailable):
                continue
            served.append(folder.name)
            asyncio.run(store.close())
        half += served in (["source"], [])
        assert served != ["target"], "the move has not ended"
        assert served in (["source"], []) or writes < 2, "an empty target may be served"
        outcome = moved(source, target)
        assert outcome.move
        assert contents(file_in(target)) == expected
        with pytest.raises(ConfigurationError):
            asyncio.run(opened(source))
        shutil.rmtree(case)
    assert half > len(TABLES), "it died at more than one place"


async def change_everything(store: SqliteStore, number: int) -> None:
    """Let one more of everything happen that a feed tells of, or tells nobody."""
    access = store.access
    page = await store.list_memories("acme", MemoryFilter(), limit=100, cursor=None)
    first, second, last = page.memories[0], page.memories[1], page.memories[-1]
    added = a_memory(f"later {number}")
    await store.add(added, a_vector())
    again = replace(first, content=f"other {number}", revision=first.revision + 1)
    await store.revise([(again, a_vector(1, number + 1))], by="k", action="update")
    if len(page.memories) > 3:
        await store.delete("acme", last.id)
    await store.touch([Touch("acme", second.id, 1, later(60 + number))])
    await store.link("acme", Link(first.id, added.id, LinkType.RELATED_TO, later(number)))
    await store.unlink("acme", second.id, first.id, None)
    await store.move("acme", [Move(second.id, MemoryState.ARCHIVED, later(number))])
    await access.add_key(a_key(f"later-{number}"))
    await access.replace_bootstrap_key(a_key(f"boot-{number}", bootstrap=True))
    await access.set_quotas("beta", Quotas(max_memories=1, burst=1 + number))
    for tenant in ("beta", "leaving"):  # which may have no memory more
        theirs = await store.list_memories(tenant, MemoryFilter(), limit=100, cursor=None)
        uses = [Touch(tenant, each.id, 1, later(60 + number)) for each in theirs.memories]
        await store.touch(uses)
    claim = Claim("acme", "k", f"once-{number}", b"d", "{}", NOON)
    await store.add_claimed([(a_memory(f"claimed {number}"), a_vector())], claim, since=NOON)
    await access.prune_audit(later(0))


async def change_models(store: SqliteStore, number: int) -> None:
    """Go over to another embedding space, whose number one that was dropped had."""
    name = f"model-{number}"

    def begin(connection: Connection) -> None:
        register(connection, name)

    await store._write(EVERYONE, begin)
    waiting = await store.embeddings.unembedded(0, limit=4, model=name)
    await store.embeddings.embedded(
        [(each, a_vector(1, number + 1)) for each in waiting], model=name
    )
    await store.embeddings.activate(name)
    await store.embeddings.discard(but=name)


async def finish_deletion(store: SqliteStore, _number: int) -> None:
    """Let go of a tenant that is being deleted."""
    await store.access.finish_deletions()


CHANGES: tuple[Change, ...] = (change_everything, change_models, finish_deletion)


@pytest.mark.slow
@settings(max_examples=20)
@given(
    plan=st.dictionaries(
        st.integers(0, 90), st.sampled_from([*CHANGES, None]), min_size=3, max_size=12
    )
)
def test_what_is_written_meanwhile_is_moved_too(full: Path, plan: dict[int, Change | None]) -> None:
    """At moments of the plan something is changed, or the move is interrupted and begun again."""
    with tempfile.TemporaryDirectory() as base:
        source = shutil.copytree(full, Path(base) / "source")
        target = Path(base) / "target"
        asyncio.run(moved_under_changes(source, target, dict(plan)))
        assert contents(file_in(target)) == contents(file_in(source))


async def moved_under_changes(
    source: Path,
    target: Path,
    plan: dict[int, Change | None],
) -> None:
    store = await opened(source)
    loop = asyncio.get_running_loop()
    clock = itertools.count()

    def hear(_said: str) -> None:
        moment = next(clock)
        if moment not in plan:
            return
        change = plan.pop(moment)
        if change is None:
            raise Killed
        with suppress(StoreUnavailable):  # the gate is closed
            asyncio.run_coroutine_threadsafe(change(store, moment), loop).result()

    while True:
        try:
            await asyncio.to_thread(moved, source, target, hear)
        except Killed:
            continue
        break
    with pytest.raises(StoreUnavailable, match="was moved"):
        await store.add(a_memory(), a_vector())
    assert await store.list_memories("acme", MemoryFilter(), limit=1, cursor=None)
    await store.close()


async def test_a_closed_gate_keeps_writes_out_and_lets_reads_go_on(
    source: Path, tmp_path: Path
) -> None:
    store = await opened(source)
    loop = asyncio.get_running_loop()
    refused: list[MemoryBankError] = []

    async def ask() -> None:
        with pytest.raises(StoreUnavailable) as caught:
            await store.add(a_memory(), a_vector())
        refused.append(caught.value)
        assert await store.list_memories("acme", MemoryFilter(), limit=1, cursor=None)

    def hear(said: str) -> None:
        if "takes no writes" in said:
            asyncio.run_coroutine_threadsafe(ask(), loop).result()

    await asyncio.to_thread(moved, source, tmp_path / "target", hear)
    [error] = refused
    assert "is being moved" in error.message
    assert error.hint == "try again in a few seconds"
    await store.close()


async def test_a_gate_that_ran_out_opens_and_its_move_notices(source: Path, tmp_path: Path) -> None:
    store = await opened(source)
    loop = asyncio.get_running_loop()
    late = a_memory("written when nobody kept the gate closed")
    heard: list[str] = []

    def hear(said: str) -> None:
        heard.append(said)
        if (
            "takes no writes" in said
            and len([each for each in heard if "takes no writes" in each]) == 1
        ):
            with closing(apsw.Connection(str(file_in(source)))) as clock:
                clock.execute("UPDATE moves SET gated_until = 1 WHERE state = 'gated'")
            asyncio.run_coroutine_threadsafe(store.add(late, a_vector()), loop).result()

    outcome = await asyncio.to_thread(moved, source, tmp_path / "target", hear)
    assert [each for each in heard if "once more" in each]
    await store.close()
    there = await opened(tmp_path / "target")
    assert await there.get("acme", late.id) == late
    await there.close()
    assert outcome.census is not None


async def test_a_move_that_fails_behind_the_gate_opens_it(source: Path, tmp_path: Path) -> None:
    store = await opened(source)

    def hear(said: str) -> None:
        if "takes no writes" in said:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        await asyncio.to_thread(moved, source, tmp_path / "target", hear)
    await store.add(a_memory(), a_vector())
    await store.close()


def test_a_copy_that_differs_is_mended_by_the_run_that_goes_on(
    source: Path, tmp_path: Path
) -> None:
    """A row that is another without what tells of a change."""
    assert not moved_until(source, tmp_path / "target", 50)
    with closing(apsw.Connection(str(file_in(tmp_path / "target")))) as other:
        for statement in (
            "UPDATE memories SET content = 'another' WHERE tenant = 'beta'",
            "UPDATE vectors SET vector = x'00'",
            "UPDATE revisions SET title = 'another'",
        ):
            other.execute(statement)
            assert other.changes()
    moved(source, tmp_path / "target")
    assert contents(file_in(tmp_path / "target")) == contents(file_in(source))


def test_a_copy_that_cannot_be_mended_leaves_the_bank_where_it_is(
    source: Path, tmp_path: Path
) -> None:
    with ends(source, tmp_path / "target") as (one, other):
        other.write(
            lambda connection: connection.execute(
                "CREATE TRIGGER worse AFTER INSERT ON memories BEGIN UPDATE memories SET"
                " content = 'another' WHERE created_seq = NEW.created_seq; END"
            )
        )
        with pytest.raises(MemoryBankError, match="the copy is not what the bank is"):
            Mover(one, other, Told()).run()
    asyncio.run(opened_and_closed(source))
    with pytest.raises(ConfigurationError, match="a move into this database has not ended"):
        asyncio.run(opened_and_closed(tmp_path / "target"))


async def opened_and_closed(folder: Path) -> None:
    await (await opened(folder)).close()


async def test_whatever_changes_in_a_row_its_table_tells(source: Path) -> None:
    """What was compared before the gate is not read again behind it, unless this tells."""

    def found(*, whole: bool) -> dict[str, dict[Any, Any]]:
        with closing(open_reader(file_in(source))) as connection:
            return {
                table.name: table.between(connection, None, None, whole=whole) for table in TABLES
            }

    store = await opened(source)
    noticed = set()
    for number, change in enumerate([*CHANGES[:2], *CHANGES]):
        before, before_whole = found(whole=False), found(whole=True)
        await change(store, number)
        after, after_whole = found(whole=False), found(whole=True)
        anew = {
            key for key, told in after["memories"].items() if before["memories"].get(key) != told
        }
        for name, rows in after_whole.items():
            for key, row in rows.items():
                if key not in before_whole[name] or row == before_whole[name][key]:
                    continue
                # A memory that is stored anew takes its vectors along.
                is_told = before[name][key] != after[name][key]
                assert is_told or (name == "vectors" and key[:1] in anew), (name, key)
                noticed.add(name)
    await store.close()
    assert {"memories", "vectors", "keys", "tenants", "generations"} <= noticed


async def test_behind_the_gate_nothing_is_read_again_that_did_not_change(
    source: Path, tmp_path: Path
) -> None:
    store = await opened(source)
    loop = asyncio.get_running_loop()
    one_more = a_memory("one more")
    heard: list[str] = []
    read: list[tuple[str, bool]] = []

    def hear(said: str) -> None:
        heard.append(said)
        if "is checked" in said:
            asyncio.run_coroutine_threadsafe(store.add(one_more, a_vector()), loop).result()

    class Read(Mover):
        @override
        def _same(self, table: Table, *others: Any) -> Tally:
            read.append((table.name, any("takes no writes" in said for said in heard)))
            return super()._same(table, *others)

    def run() -> Outcome:
        with ends(source, tmp_path / "target") as (one, other):
            return Read(one, other, Told(hear)).run()

    outcome = await asyncio.to_thread(run)
    await store.close()
    names = {table.name for table in TABLES}
    assert {name for name, gated in read if not gated} == names
    assert {name for name, gated in read if gated} == {"tenants"}, "stored anew by each pass"
    assert [name for name, _ in read].count("memories") == 2, "as one more came between"
    assert outcome.census is not None
    there = await opened(tmp_path / "target")
    assert await there.get("acme", one_more.id) == one_more
    await there.close()


def test_an_audit_log_that_was_broken_is_moved_and_told(source: Path, tmp_path: Path) -> None:
    with closing(apsw.Connection(str(file_in(source)))) as other:
        other.execute("UPDATE audit SET actor = 'nobody' WHERE tenant = 'beta' AND seq = 2")
    outcome = moved(source, tmp_path / "target")
    assert list(outcome.broken_logs) == ["beta: record 2 was changed"]


def test_a_second_move_of_the_same_does_nothing(source: Path, tmp_path: Path) -> None:
    first = moved(source, tmp_path / "target")
    again = moved(source, tmp_path / "target")
    assert (again.move, again.census) == (first.move, None)


def test_a_bank_moves_on_and_comes_back(source: Path, tmp_path: Path) -> None:
    before = contents(file_in(source))
    moved(source, tmp_path / "one")
    moved(tmp_path / "one", tmp_path / "two")
    assert contents(file_in(tmp_path / "two")) == before


async def test_a_target_that_holds_a_bank_is_refused_and_left_as_it_is(
    source: Path, full: Path, tmp_path: Path
) -> None:
    other = shutil.copytree(full, tmp_path / "other")
    before = contents(file_in(other))
    with pytest.raises(Conflict, match="holds a bank already") as caught:
        moved(source, other)
    assert "--data" in (caught.value.hint or "")
    assert contents(file_in(other)) == before
    store = await opened(source)
    await store.add(a_memory(), a_vector())
    await store.close()


def half_moved(source: Path, target: Path) -> None:
    assert not moved_until(source, target, 10)


def test_a_target_of_another_move_is_refused(source: Path, full: Path, tmp_path: Path) -> None:
    half_moved(shutil.copytree(full, tmp_path / "other"), tmp_path / "target")
    with pytest.raises(Conflict, match="holds a part of another bank"):
        moved(source, tmp_path / "target")
    half_moved(source, tmp_path / "mine")
    with pytest.raises(Conflict, match="holds a part of another bank"):
        moved(source, tmp_path / "target")


def test_a_part_of_a_bank_is_not_moved_on(source: Path, tmp_path: Path) -> None:
    half_moved(source, tmp_path / "target")
    with pytest.raises(Conflict, match="holds but a part of a bank"):
        moved(tmp_path / "target", tmp_path / "further")


def test_who_gave_up_may_move_to_another_target(source: Path, tmp_path: Path) -> None:
    half_moved(source, tmp_path / "target")
    moved(source, tmp_path / "other")
    with pytest.raises(Conflict, match="holds a part of another bank"):
        moved(source, tmp_path / "target")
    with pytest.raises(Conflict, match="moved already, to another target"):
        moved(source, tmp_path / "third")


def test_a_source_that_is_older_than_its_move_does_not_come_again(
    source: Path, full: Path, tmp_path: Path
) -> None:
    """Its backup says that the move had begun, when the bank has long been served at the target."""
    half_moved(source, tmp_path / "target")
    backup = shutil.copytree(source, tmp_path / "backup")
    moved(source, tmp_path / "target")
    with pytest.raises(Conflict, match="holds a bank already"):
        moved(backup, tmp_path / "target")


def test_two_moves_of_one_bank_do_not_go_on_at_once(source: Path, tmp_path: Path) -> None:
    taken = pytest.raises(ConfigurationError, match="is being moved already, by process")
    with moving.source(file_in(source)), taken:
        moved(source, tmp_path / "target")


def test_a_run_that_was_frozen_while_another_took_over_changes_nothing(
    source: Path, tmp_path: Path
) -> None:
    """As on a network disk, which may let go of the lock of a process that is frozen."""
    frozen = tmp_path / "database"

    def hear(said: str) -> None:
        if "takes no writes" not in said:
            return
        lock = file_in(source).with_name("memory_bank.db.move.lock")
        lock.rename(frozen)
        with moving.source(file_in(source)) as one:
            Mover(one, ends_at.pop(), Told()).run()

    ends_at: list[Any] = []
    with ends(source, tmp_path / "target") as (one, other):
        ends_at.append(other)
        with pytest.raises(Conflict, match="another run of the command has taken over"):
            Mover(one, other, Told(hear)).run()
    assert contents(file_in(tmp_path / "target")) == contents(file_in(source))


def test_a_source_that_is_updated_meanwhile_stays(source: Path, tmp_path: Path) -> None:
    def hear(said: str) -> None:
        if "takes no writes" in said:
            with closing(apsw.Connection(str(file_in(source)))) as other:
                other.execute("INSERT INTO schema_migrations VALUES (99, 'later', 0)")

    with pytest.raises(Conflict, match="was brought to another schema meanwhile"):
        moved(source, tmp_path / "target", hear)


async def test_a_target_that_is_served_is_refused(source: Path, tmp_path: Path) -> None:
    store = await opened(tmp_path / "target")
    with pytest.raises(ConfigurationError, match="is in use by process"):
        moved(source, tmp_path / "target")
    await store.close()


def test_what_is_no_bank_or_an_older_one_is_refused(source: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="there is no database at"):
        moved(tmp_path / "nowhere", tmp_path / "target")
    with closing(apsw.Connection(str(file_in(source)))) as other:
        other.execute("DELETE FROM schema_migrations WHERE version = 11")
    with pytest.raises(InvalidRequest, match="has the schema 10, this version moves the schema 11"):
        moved(source, tmp_path / "target")


async def test_an_encrypted_bank_is_refused(tmp_path: Path) -> None:
    ring = KeyRing("k1", {"k1": bytes(range(32))})
    store = await SqliteStore.open(file_in(tmp_path / "sealed"), model=MODEL, ring=ring)
    await store.close()
    with pytest.raises(Conflict, match="is encrypted, and a bank on PostgreSQL cannot be") as said:
        moved(tmp_path / "sealed", tmp_path / "target")
    assert "pipe an export" in (said.value.hint or "")
