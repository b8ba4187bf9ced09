"""The chain in the database: whole after anything the service does, broken by anything else."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import apsw
import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank.__main__ import main
from memorybank.domain.audit import (
    AuditEvent,
    Chain,
    EventKind,
    NotedEvent,
    broken,
)
from memorybank.domain.tenants import Tenant
from memorybank.errors import QuotaExceeded
from memorybank.stores.sql.audit import append, following
from memorybank.stores.sqlite import SqliteStore
from memorybank.stores.sqlite.audit import stored_chains
from memorybank.stores.sqlite.connection import open_writer
from tests.support.memory_samples import NOON, a_memory, a_vector, later


def noted(number: int, tenant: str = "acme") -> NotedEvent:
    event = AuditEvent(EventKind.WRITE, "memory.create", tenant, f"m{number}", {"n": number})
    return NotedEvent(event, later(number), "acme/key", f"req-{number}")


@pytest.fixture
async def database(tmp_path: Path) -> Path:
    """A database with ten records in each of two logs."""
    path = tmp_path / "memory_bank.db"
    store = await SqliteStore.open(path, model="m")
    for tenant in ("acme", "beta"):
        await store.access.add_tenant(Tenant(tenant, NOON))
        await store.access.add_activity({}, [noted(number, tenant) for number in range(10)])
    await store.close()
    return path


def verify(path: Path) -> int:
    return main(["audit", "verify", "--data", str(path.parent)])


def test_an_untouched_log_is_intact(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert verify(database) == 0
    assert capsys.readouterr().out.count("intact") == 2


@pytest.mark.parametrize(
    ("tampering", "said"),
    [
        (
            "UPDATE audit SET actor = 'acme/other' WHERE tenant = 'acme' AND seq = 4",
            "4 was changed",
        ),
        ("UPDATE audit SET at = at + 1 WHERE tenant = 'acme' AND seq = 4", "4 was changed"),
        ("UPDATE audit SET target = NULL WHERE tenant = 'acme' AND seq = 4", "4 was changed"),
        ("DELETE FROM audit WHERE tenant = 'acme' AND seq = 4", "record 4 is missing"),
        ("DELETE FROM audit WHERE tenant = 'acme' AND seq > 8", "9 to 10 are missing at the end"),
        ("DELETE FROM audit WHERE tenant = 'acme' AND seq < 3", "record 1 is missing"),
        (
            "UPDATE audit SET seq = -seq WHERE tenant = 'acme' AND seq IN (4, 5);"
            "UPDATE audit SET seq = 9 + seq WHERE tenant = 'acme' AND seq < 0",
            "record 4",
        ),
        (
            "DELETE FROM audit WHERE tenant = 'acme' AND seq = 10;"
            "UPDATE audit_chains SET seq = 9 WHERE tenant = 'acme'",
            "record 9 is not the one that was last",
        ),
    ],
)
def test_tampering_shows(
    database: Path, tampering: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    connection = apsw.Connection(str(database))
    connection.execute(tampering)
    connection.close()
    assert verify(database) == 1
    out = capsys.readouterr().out
    assert said in out
    assert "intact beta" in out


def test_a_folder_without_a_bank_is_refused(tmp_path: Path) -> None:
    assert verify(tmp_path / "memory_bank.db") == 2


async def test_a_log_is_verified_while_the_service_runs(database: Path) -> None:
    store = await SqliteStore.open(database, model="m", audited=[EventKind.WRITE])
    await store.add(a_memory(), a_vector())
    assert verify(database) == 0
    await store.close()


async def test_a_write_and_its_record_happen_together_or_not_at_all(tmp_path: Path) -> None:
    store = await SqliteStore.open(tmp_path / "bank.db", model="m", audited=[EventKind.WRITE])
    await store.access.add_tenant(Tenant("acme", NOON))
    memory = a_memory()
    await store.add(memory, a_vector())
    with pytest.raises(Exception, match="exists already"):
        await store.add(memory, a_vector())
    tenant = await store.access.find_tenant("acme")
    assert tenant is not None
    await store.access.set_quotas("acme", replace(tenant.quotas, max_memories=1))
    with pytest.raises(QuotaExceeded):
        await store.add(a_memory(), a_vector())
    await store.delete("acme", memory.id)  # deletions are not among what is recorded here
    page = await store.access.audit_page("acme", action=None, actor=None, limit=10, cursor=None)
    assert [(record.action, record.target) for record in page.records] == [
        ("memory.create", memory.id)
    ]
    await store.close()


async def test_pruning_drops_the_oldest_and_keeps_the_chain(database: Path) -> None:
    store = await SqliteStore.open(database, model="m")
    await store.access.prune_audit(NOON + timedelta(minutes=4))
    chain = await store.access.audit_chain("acme")
    assert (chain.pruned_seq, chain.seq) == (4, 10)
    await store.access.add_activity({}, [noted(11)])
    await store.access.prune_audit(NOON + timedelta(days=1))
    chain = await store.access.audit_chain("acme")
    assert (chain.pruned_seq, chain.seq) == (10, 11)  # the newest stays
    await store.close()
    assert verify(database) == 0


texts = st.text(max_size=20)


@given(
    fields=st.lists(st.tuples(texts, texts, st.none() | texts), max_size=6),
    first=st.integers(0, 5),
    second=st.integers(0, 5),
)
def test_a_chain_of_anything_is_whole_and_no_two_records_can_change_places(
    tmp_path_factory: pytest.TempPathFactory,
    fields: list[tuple[str, str, str | None]],
    first: int,
    second: int,
) -> None:
    connection = open_writer(tmp_path_factory.mktemp("chain") / "bank.db")
    append(
        connection,
        [
            NotedEvent(AuditEvent(EventKind.WRITE, action, "acme", target), NOON, actor, "")
            for actor, action, target in fields
        ],
    )
    records = following(connection, "acme", 0)
    chain = next(
        (Chain(*row) for row in connection.execute("SELECT * FROM audit_chains")),
        Chain.new("acme"),
    )
    connection.close()
    assert broken(chain, records) is None
    if first < len(records) and second < len(records) and first != second:
        records[first], records[second] = records[second], records[first]
        assert broken(chain, records) is not None


def test_the_stored_logs_are_read_without_writing(database: Path) -> None:
    before = database.read_bytes()
    assert [chain.tenant for chain, _ in stored_chains(database)] == ["acme", "beta"]
    assert database.read_bytes() == before
