"""What every MemoryStore promises. A new store joins by one more entry in STORES."""

from __future__ import annotations

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, rule, run_state_machine_as_test
from typing_extensions import override

from memorybank.domain.feed import MemoryColumns
from memorybank.domain.keys import Role
from memorybank.domain.memory import (
    DetailAtLeast,
    HasDetail,
    Memory,
    MemoryFilter,
    MemoryState,
    MemoryType,
)
from memorybank.domain.tenants import UNLIMITED, Quotas, Tenant
from memorybank.encryption import KeyRing
from memorybank.errors import (
    Conflict,
    InvalidCursor,
    InvalidRequest,
    NotFound,
    QuotaExceeded,
    StoreUnavailable,
)
from memorybank.ports import Claim, MemoryStore, StoreStats, Vector
from memorybank.stores.postgres import PostgresStore
from memorybank.stores.sql import feed, tenants
from memorybank.stores.sql.connection import Connection
from memorybank.stores.sqlite import SqliteStore
from tests.support import pgbouncer, postgres
from tests.support.memory_samples import NOON, a_key, a_memory, a_vector, later, means
from tests.support.memory_strategies import TENANTS, filters, memories

Answer = TypeVar("Answer")
Opener = Callable[[Path, str], Awaitable[MemoryStore]]


async def open_sqlite(folder: Path, model: str) -> MemoryStore:
    return await SqliteStore.open(folder / "memory_bank.db", model=model)


async def open_encrypted_sqlite(folder: Path, model: str) -> MemoryStore:
    return await SqliteStore.open(folder / "memory_bank.db", model=model, ring=RING)


def database_of(folder: Path) -> str:
    return hashlib.sha256(str(folder).encode()).hexdigest()[:16]


async def open_postgres(folder: Path, model: str) -> MemoryStore:
    url = postgres.migrated(database_of(folder))
    return await PostgresStore.open(postgres.reached(url), model=model)


async def open_pooled_postgres(folder: Path, model: str) -> MemoryStore:
    name = database_of(folder)
    postgres.migrated(name)
    return await PostgresStore.open(postgres.reached(pgbouncer.bouncer().url(name)), model=model)


RING = KeyRing("k1", {"k1": bytes(range(32))})
STORES: dict[str, Opener] = {
    "sqlite": open_sqlite,
    "sqlite, encrypted": open_encrypted_sqlite,
    "postgres": open_postgres,
    "postgres, behind PgBouncer": open_pooled_postgres,
}
ALL = MemoryFilter()


BY_NAME = [
    pytest.param(name, marks=pytest.mark.slow if "postgres" in name else ()) for name in STORES
]


@pytest.fixture(params=BY_NAME)
def opener(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Opener]:
    yield STORES[request.param]
    if "postgres" in request.param:
        postgres.server().drop(database_of(tmp_path))


@pytest.fixture
async def store(opener: Opener, tmp_path: Path) -> AsyncIterator[MemoryStore]:
    store = await opener(tmp_path, "model-1")
    yield store
    await store.close()


async def all_ids(
    store: MemoryStore, tenant: str, where: MemoryFilter = ALL, limit: int = 2
) -> list[str]:
    ids: list[str] = []
    cursor = None
    while True:
        page = await store.list_memories(tenant, where, limit=limit, cursor=cursor)
        ids += [memory.id for memory in page.memories]
        cursor = page.next_cursor
        if cursor is None:
            return ids


async def test_a_list_is_narrowed_by_details_whatever_is_in_them(store: MemoryStore) -> None:
    odd = 'a "quote", \\u0041 and ünïcode'
    told: list[dict[str, Any]] = [
        {"who": "ann"},
        {"who": ["ann", "bob"]},
        {"who": [odd]},
        {"who": odd},
        {"who": []},
        {"who": "annabel", "other": "ann"},
        {},
        {"share": 0.5},
        {"share": 1},
    ]
    memories = [a_memory(str(place), details=each) for place, each in enumerate(told)]
    await store.add_many([(each, a_vector()) for each in memories])

    async def places(*wanted: HasDetail | DetailAtLeast) -> list[int]:
        page = await store.list_memories("acme", ALL, limit=10, cursor=None, details=wanted)
        assert page.total == len(page.memories)
        return sorted(int(each.content) for each in page.memories)

    assert await places(HasDetail("who", ("ann",))) == [0, 1]
    assert await places(HasDetail("who", (odd,))) == [2, 3]
    assert await places(HasDetail("who", ("bob",), or_absent=True)) == [1, 6, 7, 8]
    assert await places(HasDetail("who", ("annabel",)), HasDetail("other", ("ann",))) == [5]
    assert await places(HasDetail("other", ("nobody",))) == []
    assert await places(HasDetail("who", ("bob", odd))) == [1, 2, 3]
    assert await places(HasDetail("who", ("annabel", "bob"), or_absent=True)) == [1, 5, 6, 7, 8]
    assert await places(DetailAtLeast("share", 0.5)) == [7, 8]
    assert await places(DetailAtLeast("share", 0.75)) == [8]
    first = (HasDetail("who", ("ann",)),)
    page = await store.list_memories("acme", ALL, limit=1, cursor=None, details=first)
    assert page.next_cursor is not None
    with pytest.raises(InvalidCursor):
        await store.list_memories("acme", ALL, limit=1, cursor=page.next_cursor)
    rest = await store.list_memories("acme", ALL, limit=1, cursor=page.next_cursor, details=first)
    assert [each.content for each in rest.memories] == ["0"]


async def test_a_stored_memory_comes_back_whole(store: MemoryStore) -> None:
    memory = a_memory(
        "naïve café 記憶 \x00 🧠",
        title="T",
        type=MemoryType.DECISION,
        project="p",
        session="s",
        tags=("b", "a"),
        metadata={"nested": [1, {"x": None}], "π": 3.14},
        importance=0.9,
        occurred_at=later(-0.123456),
    )
    await store.add(memory, a_vector())
    assert await store.get("acme", memory.id) == memory


async def test_another_tenant_never_sees_a_memory(store: MemoryStore) -> None:
    memory = a_memory()
    await store.add(memory, a_vector())
    assert await store.get("beta", memory.id) is None
    assert await store.get_many("beta", [memory.id]) == []
    assert (await store.list_memories("beta", ALL, limit=10, cursor=None)).total == 0
    assert await store.replace(replace(memory, tenant="beta"), None) is None
    assert await store.delete("beta", memory.id) is None
    assert await store.get("acme", memory.id) == memory


async def test_an_id_is_taken_once_per_tenant(store: MemoryStore) -> None:
    memory = a_memory("first")
    await store.add(memory, a_vector())
    with pytest.raises(InvalidRequest) as caught:
        await store.add(replace(memory, content="second"), a_vector())
    assert caught.value.field == "id"
    await store.add(replace(memory, tenant="beta"), a_vector())
    assert await store.get("acme", memory.id) == memory


async def test_many_memories_come_in_the_order_asked_for(store: MemoryStore) -> None:
    one, two = a_memory("one"), a_memory("two")
    await store.add(one, a_vector())
    await store.add(two, a_vector())
    assert await store.get_many("acme", [two.id, "unknown", one.id]) == [two, one]


async def test_memories_of_many_tenants_are_found_by_both_names_at_once(
    store: MemoryStore,
) -> None:
    notes = [a_memory(tenant="acme"), a_memory(tenant="other"), a_memory(tenant="acme")]
    for note in notes:
        await store.add(note, a_vector())
    names = [(note.tenant, note.id) for note in notes]
    wrong = [("other", notes[0].id), ("nobody", notes[1].id)]
    found = await store.transfer.find_many([*names[:2], *wrong])
    assert {(each.tenant, each.id): each for each in found} == dict(
        zip(names, notes[:2], strict=False)
    )
    assert await store.transfer.find_many([]) == []


async def test_a_refused_write_does_not_disturb_the_writes_beside_it(store: MemoryStore) -> None:
    taken = a_memory()
    await store.add(taken, a_vector())
    others = [a_memory() for _ in range(20)]
    results = await asyncio.gather(
        *(store.add(memory, a_vector()) for memory in [*others[:10], taken, *others[10:]]),
        return_exceptions=True,
    )
    assert isinstance(results.pop(10), InvalidRequest)
    assert len(set(results)) == 20
    assert set(await all_ids(store, "acme")) == {memory.id for memory in [taken, *others]}


async def test_a_cursor_keeps_its_place_while_memories_come_and_go(store: MemoryStore) -> None:
    kept = [a_memory(str(number)) for number in range(4)]
    for memory in kept:
        await store.add(memory, a_vector())
    first = await store.list_memories("acme", ALL, limit=2, cursor=None)
    await store.add(a_memory("newer"), a_vector())
    await store.delete("acme", kept[2].id)
    second = await store.list_memories("acme", ALL, limit=2, cursor=first.next_cursor)
    assert [m.id for m in first.memories] == [kept[3].id, kept[2].id]
    assert [m.id for m in second.memories] == [kept[1].id, kept[0].id]
    assert second.next_cursor is None
    assert second.total == 4


async def test_bounds_of_time_are_not_part_of_the_range(store: MemoryStore) -> None:
    notes = [a_memory(created_at=later(minute)) for minute in range(3)]
    for note in notes:
        await store.add(note, a_vector())
    between = MemoryFilter(created_after=later(0), created_before=later(2))
    assert await all_ids(store, "acme", between) == [notes[1].id]


@pytest.mark.parametrize("cursor", ["", "x", "AAAA", "é", "A" * 22, "=" * 22, "A" * 100_000])
async def test_a_made_up_cursor_is_refused(store: MemoryStore, cursor: str) -> None:
    with pytest.raises(InvalidCursor) as caught:
        await store.list_memories("acme", ALL, limit=2, cursor=cursor)
    assert caught.value.field == "cursor"


async def test_a_cursor_of_another_list_is_refused(store: MemoryStore) -> None:
    for tenant in ("acme", "beta"):
        for _ in range(3):
            await store.add(a_memory(tenant=tenant), a_vector())
    cursor = (await store.list_memories("acme", ALL, limit=1, cursor=None)).next_cursor
    with pytest.raises(InvalidCursor):
        await store.list_memories("beta", ALL, limit=1, cursor=cursor)
    with pytest.raises(InvalidCursor):
        await store.list_memories("acme", MemoryFilter(project="p"), limit=1, cursor=cursor)


async def test_the_feed_tells_each_change_once_with_the_newest_state(store: MemoryStore) -> None:
    first, second, gone = a_memory("1"), a_memory("2"), a_memory("3", tenant="beta")
    await store.add(first, a_vector(1))
    await store.add(second, a_vector(0, 1))
    start = await store.add(gone, a_vector(0, 0, 1))
    edited = replace(first, content="1, edited")
    await store.replace(edited, None)
    await store.delete("beta", gone.id)
    feed = await store.changes(0, limit=10)
    assert [(c.tenant, c.memory_id, c.memory) for c in feed] == [
        ("acme", second.id, second),
        ("acme", first.id, edited),
        ("beta", gone.id, None),
    ]
    assert [c.seq for c in feed] == sorted({c.seq for c in feed})
    assert [c.seq for c in await store.changes(start, limit=1)] == [feed[1].seq]
    assert await store.changes(feed[-1].seq, limit=10) == []
    assert feed[1].vector is not None
    np.testing.assert_array_equal(feed[1].vector, a_vector(1))


@pytest.mark.slow
async def test_a_reader_of_the_feed_misses_nothing_that_is_written_meanwhile(
    store: MemoryStore,
) -> None:
    written: set[str] = set()
    seen: list[str] = []
    position = 0

    async def write() -> None:
        for _ in range(25):
            memory = a_memory()
            await store.add(memory, a_vector())
            written.add(memory.id)

    writers = [asyncio.create_task(write()) for _ in range(4)]
    while len(seen) < 100:
        done = all(writer.done() for writer in writers)
        feed = await store.changes(position, limit=7)
        seen += [change.memory_id for change in feed]
        position = feed[-1].seq if feed else position
        assert feed or not done, "the feed ended before every acknowledged write was in it"
    await asyncio.gather(*writers)
    assert len(seen) == 100
    assert set(seen) == written


async def test_a_page_of_the_feed_ends_where_texts_become_many(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "_MOST_TEXT", 1_000)
    texts = ["a", "b" * 990, "c" * 5_000, "d", "e"]
    memories = [a_memory(text) for text in texts]
    await store.add_many([(memory, a_vector()) for memory in memories])
    await store.delete("acme", memories[-1].id)
    after, pages = 0, []
    while True:
        page = await store.feed(after, limit=10)
        after = page.seq
        pages.append(list(page.memories.texts) if page.memories else [])
        if page.complete:
            break
    assert [text for found in pages for text in found] == texts[:4]
    assert 1 < len(pages) < 4  # encrypted texts are longer
    assert page.gone == [("acme", memories[-1].id)]


async def test_a_vector_of_another_model_is_not_handed_out(opener: Opener, tmp_path: Path) -> None:
    store = await opener(tmp_path, "model-1")
    old, renewed = a_memory("old"), a_memory("renewed")
    await store.add(old, a_vector())
    await store.add(renewed, a_vector())
    await store.close()
    store = await opener(tmp_path, "model-2")
    await store.replace(renewed, a_vector(0, 1))
    feed = {change.memory_id: change.vector for change in await store.changes(0, limit=10)}
    await store.close()
    assert feed[old.id] is None
    np.testing.assert_array_equal(feed[renewed.id], a_vector(0, 1))


async def test_everything_is_there_after_a_restart_and_seq_goes_on(
    opener: Opener, tmp_path: Path
) -> None:
    store = await opener(tmp_path, "model-1")
    kept, gone = a_memory("kept"), a_memory("gone")
    await store.add(kept, a_vector())
    await store.add(gone, a_vector())
    await store.access.add_key(a_key())
    deleted = await store.delete("acme", gone.id)
    await store.close()
    store = await opener(tmp_path, "model-1")
    assert await all_ids(store, "acme") == [kept.id]
    assert await store.access.find_key(a_key().digest) == a_key()
    assert deleted is not None
    assert await store.add(a_memory(), a_vector()) > deleted
    await store.close()


async def test_close_finishes_what_was_accepted_and_refuses_the_rest(
    opener: Opener, tmp_path: Path
) -> None:
    store = await opener(tmp_path, "model-1")
    memories = [a_memory() for _ in range(50)]
    writes = [asyncio.create_task(store.add(memory, a_vector())) for memory in memories]
    await asyncio.sleep(0)  # lets every task hand its write over
    await store.close()
    await asyncio.gather(*writes)
    with pytest.raises(StoreUnavailable):
        await store.add(a_memory(), a_vector())
    with pytest.raises(StoreUnavailable):
        await store.get("acme", memories[0].id)
    await store.close()
    store = await opener(tmp_path, "model-1")
    assert len(await all_ids(store, "acme")) == 50
    await store.close()


async def test_stats_count_all_tenants_and_name_the_newest_change(store: MemoryStore) -> None:
    assert await store.stats() == StoreStats(memories=0, seq=0)
    mine, theirs = a_memory(), a_memory(tenant="beta")
    await store.add(mine, a_vector())
    added = await store.add(theirs, a_vector())
    assert await store.stats() == StoreStats(memories=2, seq=added)
    deleted = await store.delete("acme", mine.id)
    assert deleted is not None
    await store.check()  # no change to follow
    assert await store.stats() == StoreStats(memories=1, seq=deleted)


async def test_check_passes_on_a_healthy_store_and_changes_nothing(store: MemoryStore) -> None:
    await store.add(a_memory(), a_vector())
    before = await store.changes(0, limit=10)
    await store.check()
    assert [c.seq for c in await store.changes(0, limit=10)] == [c.seq for c in before]


async def test_a_key_is_found_by_its_digest_until_revoked_and_after(store: MemoryStore) -> None:
    key = a_key()
    await store.access.add_key(key)
    assert await store.access.find_key(key.digest) == key
    assert await store.access.find_key("f" * 64) is None
    assert await store.access.revoke_key("acme", key.id, later(1))
    assert await store.access.find_key(key.digest) == replace(key, revoked_at=later(1))
    assert await store.access.revoke_key("acme", key.id, later(2))
    assert await store.access.find_key(key.digest) == replace(key, revoked_at=later(1))


async def test_keys_are_listed_and_revoked_within_their_tenant(store: MemoryStore) -> None:
    mine = [a_key("one"), a_key("two", role=Role.READONLY)]
    other = a_key("other", tenant="beta")
    for key in [mine[0], other, mine[1]]:
        await store.access.add_key(key)
    assert await store.access.list_keys("acme") == mine
    assert not await store.access.revoke_key("acme", other.id, later(1))
    assert await store.access.find_key(other.digest) == other


async def test_the_bootstrap_key_replaces_the_one_before(store: MemoryStore) -> None:
    plain = a_key("plain")
    await store.access.add_key(plain)
    first = a_key("first", bootstrap=True, role=Role.ADMIN)
    second = a_key("second", bootstrap=True, role=Role.ADMIN, created_at=later(5))
    assert await store.access.replace_bootstrap_key(first)
    assert not await store.access.replace_bootstrap_key(replace(first, id="key-same-digest"))
    assert await store.access.replace_bootstrap_key(second)
    assert await store.access.find_key(first.digest) == replace(first, revoked_at=later(5))
    assert await store.access.find_key(second.digest) == second
    assert await store.access.find_key(plain.digest) == plain


async def test_a_bootstrap_key_can_be_replaced_with_an_overlap(store: MemoryStore) -> None:
    first = a_key("first", bootstrap=True, role=Role.ADMIN)
    second = a_key("second", bootstrap=True, role=Role.ADMIN, created_at=later(5))
    await store.access.replace_bootstrap_key(first)
    assert await store.access.replace_bootstrap_key(second, old_until=later(60))
    left = replace(first, bootstrap=False, expires_at=later(60))
    assert await store.access.find_key(first.digest) == left
    assert await store.access.replace_bootstrap_key(first, old_until=later(90)), "it comes back"
    assert await store.access.find_key(first.digest) == first


async def test_an_earlier_bootstrap_key_can_come_back(store: MemoryStore) -> None:
    first, second = a_key("first", bootstrap=True), a_key("second", bootstrap=True)
    await store.access.replace_bootstrap_key(first)
    await store.access.replace_bootstrap_key(second)
    again = replace(first, id="key-again", created_at=later(9))
    assert await store.access.replace_bootstrap_key(again)
    assert await store.access.find_key(first.digest) == again
    found = await store.access.find_key(second.digest)
    assert found is not None
    assert found.revoked_at == later(9)


async def test_a_rotation_happens_whole_or_not_at_all(store: MemoryStore) -> None:
    old = a_key("old", expires_at=later(60))
    await store.access.add_key(old)
    new = a_key("new", rotated_from=old.id)
    assert await store.access.rotate_key(new, old_until=later(90))
    assert await store.access.list_keys("acme") == [old, new]  # it would have ended earlier anyway
    assert await store.access.rotate_key(a_key("newer", rotated_from=new.id), old_until=later(30))
    assert await store.access.get_key(new.id) == replace(new, expires_at=later(30))
    await store.access.revoke_key("acme", old.id, later(1))
    late = a_key("late", rotated_from=old.id)
    assert not await store.access.rotate_key(late, old_until=later(90))
    assert await store.access.get_key(late.id) is None


async def test_of_managed_keys_those_listed_are_valid(store: MemoryStore) -> None:
    plain = a_key("plain")
    await store.access.add_key(plain)
    one, two = a_key("one", managed=True), a_key("two", managed=True)
    done = await store.access.replace_managed_keys([one, two], later(1))
    assert (done.keys, done.changed, done.revoked) == ((one, two), (one, two), ())
    again = replace(one, id="another", role=Role.READONLY)
    done = await store.access.replace_managed_keys([again, replace(plain, managed=True)], later(2))
    changed = replace(one, role=Role.READONLY)
    assert (done.keys, done.changed, done.revoked) == ((changed, None), (changed,), (two,))
    assert await store.access.find_key(plain.digest) == plain
    assert await store.access.find_key(two.digest) == replace(two, revoked_at=later(2))
    done = await store.access.replace_managed_keys([changed, two], later(3))
    assert (done.keys, done.changed, done.revoked) == ((changed, two), (two,), ())
    assert await store.access.list_keys("acme") == [plain, changed, two]
    done = await store.access.replace_managed_keys([changed, two], later(4))
    assert (done.changed, done.revoked) == ((), ())


async def test_the_last_use_of_a_key_never_goes_back(store: MemoryStore) -> None:
    key = a_key()
    await store.access.add_key(key)
    await store.access.note_use({key.id: later(5), "nobody": later(5)})
    await store.access.note_use({key.id: later(3)})
    assert await store.access.get_key(key.id) == replace(key, last_used_at=later(5))


async def test_answers_for_repeated_requests_are_dropped_once_they_are_too_old(
    store: MemoryStore,
) -> None:
    async def keep(tenant: str, name: str, minute: int, since: int) -> None:
        claim = Claim(tenant, "key-1", name, b"digest", "{}", later(minute))
        await store.add_claimed([], claim, since=later(since))

    async def kept() -> set[tuple[str, str]]:
        asked = [(tenant, name) for tenant in ("acme", "beta") for name in ("old", "new")]
        found = [await store.find_claim(tenant, "key-1", name) for tenant, name in asked]
        return {(each.tenant, each.name) for each in found if each is not None}

    await keep("acme", "old", 0, since=-60)
    await keep("beta", "old", 0, since=-60)
    await keep("acme", "new", 10, since=5)
    assert await kept() == {("acme", "new"), ("beta", "old")}
    await keep("beta", "new", 10, since=-60)
    await store.access.prune_claims(later(5))
    assert await kept() == {("acme", "new"), ("beta", "new")}


async def test_who_is_late_to_finish_a_deletion_erases_nothing_of_a_tenant_made_anew(
    store: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two requests, or processes, finish each other's deletions."""
    beta = Tenant("beta", NOON, UNLIMITED)
    await store.access.add_tenant(beta)
    await store.add(a_memory("before", tenant="beta"), a_vector())
    await store.access.begin_deletion("beta")
    asked, go_on = asyncio.Event(), asyncio.Event()
    read = tenants.being_deleted
    loop = asyncio.get_running_loop()
    waits = True

    def slow(connection: Connection) -> list[str]:
        nonlocal waits
        found = read(connection)
        if waits:
            waits = False
            loop.call_soon_threadsafe(asked.set)
            asyncio.run_coroutine_threadsafe(go_on.wait(), loop).result(60)
        return found

    monkeypatch.setattr(tenants, "being_deleted", slow)
    late = asyncio.create_task(store.access.finish_deletions())
    await asked.wait()
    await store.access.finish_deletions()
    assert await store.access.add_tenant(beta)
    kept = a_memory("anew", tenant="beta")
    await store.add(kept, a_vector())
    go_on.set()
    await late
    assert await store.get("beta", kept.id) == kept


async def test_a_tenant_holds_no_more_than_its_quota(store: MemoryStore) -> None:
    assert await store.access.add_tenant(Tenant("acme", later(0), Quotas(max_memories=1)))
    assert not await store.access.add_tenant(Tenant("acme", later(1)))
    first = a_memory()
    await store.add(first, a_vector())
    with pytest.raises(QuotaExceeded):
        await store.add(a_memory(), a_vector())
    await store.add(a_memory(tenant="beta"), a_vector())
    await store.delete("acme", first.id)
    await store.add(a_memory(), a_vector())
    tenant = await store.access.find_tenant("acme")
    assert tenant is not None
    assert tenant.memories == 1


async def test_a_deleted_tenant_takes_no_late_write_and_the_feed_tells_of_all(
    store: MemoryStore,
) -> None:
    await store.access.add_tenant(Tenant("acme", later(0)))
    for number in range(3):
        await store.add(a_memory(str(number)), a_vector())
    kept = a_memory(tenant="beta")
    seq = await store.add(kept, a_vector())
    assert await store.access.begin_deletion("acme")
    assert not await store.access.begin_deletion("acme")
    with pytest.raises(NotFound):
        await store.add(a_memory(), a_vector())
    with pytest.raises(Conflict):
        await store.access.add_tenant(Tenant("acme", later(1)))
    await store.access.finish_deletions()
    changes = await store.changes(seq, limit=10)
    assert [(change.tenant, change.memory) for change in changes] == [("acme", None)] * 3
    assert await all_ids(store, "acme") == []
    assert await all_ids(store, "beta") == [kept.id]
    with pytest.raises(NotFound):
        await store.add(a_memory(), a_vector())
    assert await store.access.add_tenant(Tenant("acme", later(1)))
    await store.add(a_memory(), a_vector())


class StoreModel(RuleBasedStateMachine):
    """Runs any sequence of calls against a store and against a dictionary, side by side."""

    store_name: ClassVar[str]

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.runner = asyncio.Runner()
        self.store = self.open()
        self.expected: dict[tuple[str, str], Memory] = {}  # in order of creation
        self.vectors: dict[tuple[str, str], Vector] = {}
        self.changed: dict[tuple[str, str], int] = {}
        self.newest = 0

    known = Bundle("known")
    vectors_drawn = st.integers(0, 3).map(lambda hot: a_vector(*[0] * hot, 1))

    def open(self) -> MemoryStore:
        return self.call(STORES[self.store_name](Path(self.folder.name), "model"))

    def call(self, awaitable: Awaitable[Answer]) -> Answer:
        async def run() -> Answer:
            return await awaitable

        return self.runner.run(run())

    @override
    def teardown(self) -> None:
        self.call(self.store.close())
        self.runner.close()
        if "postgres" in self.store_name:
            postgres.server().drop(database_of(Path(self.folder.name)))
        self.folder.cleanup()

    def note_change(self, key: tuple[str, str], seq: int | None) -> None:
        assert seq is not None
        assert seq > self.newest, "seq must grow with every change"
        self.newest = self.changed[key] = seq

    @rule(target=known, memory=memories(), vector=vectors_drawn)
    def add(self, memory: Memory, vector: Vector) -> tuple[str, str]:
        key = (memory.tenant, memory.id)
        self.note_change(key, self.call(self.store.add(memory, vector)))
        self.expected[key] = memory
        self.vectors[key] = vector
        return key

    @rule(key=known, memory=memories(), vector=st.none() | vectors_drawn)
    def replace(self, key: tuple[str, str], memory: Memory, vector: Vector | None) -> None:
        changed = replace(memory, tenant=key[0], id=key[1])
        seq = self.call(self.store.replace(changed, vector))
        if key not in self.expected:
            assert seq is None
            return
        self.note_change(key, seq)
        self.expected[key] = changed
        if vector is not None:
            self.vectors[key] = vector

    @rule(key=known)
    def delete(self, key: tuple[str, str]) -> None:
        seq = self.call(self.store.delete(*key))
        if self.expected.pop(key, None) is None:
            assert seq is None
        else:
            self.note_change(key, seq)

    @rule(key=known)
    def get(self, key: tuple[str, str]) -> None:
        assert self.call(self.store.get(*key)) == self.expected.get(key)

    @rule(tenant=TENANTS, where=filters(), limit=st.integers(1, 4))
    def list_all(self, tenant: str, where: MemoryFilter, limit: int) -> None:
        wanted = [m for (t, _), m in self.expected.items() if t == tenant and means(where, m)]
        wanted.reverse()
        page = self.call(self.store.list_memories(tenant, where, limit=limit, cursor=None))
        assert page.total == len(wanted)
        assert page.memories == wanted[:limit]
        ids = self.call(all_ids(self.store, tenant, where, limit))
        assert ids == [memory.id for memory in wanted]

    @rule(after_share=st.floats(0, 1), limit=st.integers(1, 5))
    def follow(self, after_share: float, limit: int) -> None:
        after = int(self.newest * after_share)
        feed = self.call(self.store.changes(after, limit=limit))
        wanted = sorted((seq, key) for key, seq in self.changed.items() if seq > after)[:limit]
        assert [(c.seq, (c.tenant, c.memory_id)) for c in feed] == wanted
        for change in feed:
            key = (change.tenant, change.memory_id)
            assert change.memory == self.expected.get(key)
            if change.memory is not None:
                np.testing.assert_array_equal(np.asarray(change.vector), self.vectors[key])

    @rule(after_share=st.floats(0, 1), limit=st.integers(1, 5))
    def follow_by_columns(self, after_share: float, limit: int) -> None:
        after = int(self.newest * after_share)
        gone: dict[tuple[str, str], int] = {}
        found: dict[tuple[str, str], int] = {}
        while True:
            page = self.call(self.store.feed(after, limit=limit))
            assert len(page.gone) <= 2 * limit
            gone.update((key, page.seq) for key in page.gone)
            if page.memories is not None:
                found.update((key, page.seq) for key in zip(*page.memories[:2], strict=True))
                self.compare_columns(page.memories)
            later = [seq for seq in self.changed.values() if seq > page.seq]
            assert page.complete or page.seq > after
            if page.complete:
                assert not later
                break
            after = page.seq
        after = int(self.newest * after_share)
        wanted = {key for key, seq in self.changed.items() if seq > after}
        assert gone.keys() | found.keys() == wanted
        findable = {
            key
            for key in wanted & self.expected.keys()
            if self.expected[key].state is not MemoryState.TRASH
        }
        assert found.keys() == findable
        assert all(gone.get(key, 0) <= seq for key, seq in found.items())

    def compare_columns(self, memories: MemoryColumns) -> None:
        keys = list(zip(memories.tenants, memories.ids, strict=True))
        expected = MemoryColumns.of((self.expected[key], self.vectors[key]) for key in keys)
        for name, column in memories._asdict().items():
            if name == "vectors":
                for vector, wanted in zip(column, expected.vectors, strict=True):
                    np.testing.assert_array_equal(vector, wanted)
            else:
                assert [*map(_plain, column)] == [*map(_plain, getattr(expected, name))], name

    @rule()
    def restart(self) -> None:
        self.call(self.store.close())
        self.store = self.open()
        # A feed may begin anew with a start, and so forget what is gone: all of it or nothing.
        told = self.call(self.store.changes(0, limit=1_000))
        if not any(change.memory is None for change in told):
            self.changed = {key: seq for key, seq in self.changed.items() if key in self.expected}


@pytest.mark.slow
@pytest.mark.parametrize("name", BY_NAME)
def test_any_sequence_of_calls_does_what_a_dictionary_would(name: str) -> None:
    class Model(StoreModel):
        store_name = name

    run_state_machine_as_test(
        Model,
        settings=settings(
            max_examples=10 if "postgres" in name else 25,  # each has a database of its own
            stateful_step_count=25,
            deadline=None,
        ),
    )


def _plain(value: object) -> object:
    """Return the same without telling lists from tuples, which JSON does not either."""
    return list(value) if isinstance(value, tuple) else value
