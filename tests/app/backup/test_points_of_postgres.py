"""Recovery points of banks in PostgreSQL: taken, proved, begun with, put back to. With a real
server, a folder and S3.
"""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg
import pytest

from memorybank.__main__ import main
from memorybank.errors import StoreUnavailable
from memorybank.server import replacing
from memorybank.server.postgres import server_of
from memorybank.stores.postgres import PostgresStore
from memorybank.stores.postgres import moving as ends
from memorybank.stores.sql.connection import Connection
from memorybank.stores.sql.contents import Row, Table
from tests.app.backup.banks import BANK, TINY, OnServer, contents, objects, run, store, stored
from tests.app.backup.conftest import MakePod
from tests.support import postgres

pytestmark = pytest.mark.slow

Said = pytest.CaptureFixture[str]
NewUrl = Callable[[], str]
_EARLY = ("The harbour opens at six", "Deliveries come by the north gate", "Lamps burn on oil")
_LATE = "The harbour was closed for ever"


@pytest.fixture(autouse=True)
def _unlogged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The log would go on to the standard error of a test, which ends with it."""
    monkeypatch.setattr("memorybank.logs.configure", lambda *_: None)


@pytest.fixture
def new_url() -> Iterator[NewUrl]:
    """Return addresses of databases in which nothing is."""
    made: list[str] = []

    def make() -> str:
        made.append(f"points-{uuid.uuid4().hex[:12]}")
        return postgres.server().database(made[-1])

    yield make
    for name in made:
        postgres.server().drop(name)


@pytest.fixture
def bank(tmp_path: Path, destination: dict[str, Any], new_url: NewUrl) -> OnServer:
    """A bank of three memories."""
    made = OnServer(tmp_path / "bank", destination, new_url())
    store(made, _EARLY)
    return made


@pytest.fixture
def on_volume(tmp_path: Path) -> dict[str, Any]:
    return {"volume": {"path": str(tmp_path / "backups")}}


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who serves is not waited for."""
    monkeypatch.setattr(replacing, "LEASE_SECONDS", 0)


def held(bank: OnServer) -> set[str]:
    return contents(bank, bank.data)


def url_of(bank: OnServer) -> str:
    return (bank.folder / "url").read_text()


def test_a_point_is_a_copy_that_is_checked_and_served(
    bank: OnServer, make_pod: MakePod, destination: dict[str, Any], capsys: Said, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    code, report = run(bank, capsys, "take", "before-upgrade", "--scratch", str(scratch))
    assert code == 0
    assert (report["operation"], report["name"], report["bank"]) == (
        "take", "before-upgrade", BANK,
    )  # fmt: skip
    assert (report["memories"], report["tenants"], report["epoch"], report["txid"]) == (
        3, 1, None, None,
    )  # fmt: skip
    assert {each["name"]: each["ok"] for each in report["checks"]} == dict.fromkeys(
        ("integrity", "counts", "keys", "recall"), True
    )
    assert report["checks"][-1]["detail"] == "3 memories found"
    assert report["source"]["memories"] == 3, "of the same moment of the database"
    assert report["data_loss_seconds"] == 0
    assert report["ready_seconds"] >= report["restore_seconds"] > 0
    assert not list(scratch.iterdir())
    found = objects(bank)
    record = json.loads(found.pop("points/before-upgrade.json"))
    assert list(found) == [record["object"]]
    assert record["sha256"] == report["sha256"]

    # The same who asks again gets the same point, and it is a bank in SQLite as well.
    assert run(bank, capsys, "take", "other", "--id", "job-1")[0] == 0
    code, again = run(bank, capsys, "take", "other", "--id", "job-1")
    assert (code, again["already"]) == (0, True)
    pod = make_pod(
        destination,
        settings=TINY,
        uid="another",
        restore={"uid": BANK.rpartition("/")[2], "point": "before-upgrade"},
    )
    assert pod.prepare().epoch.source == f"{BANK} at the recovery point before-upgrade"
    assert contents(pod, pod.data) == set(_EARLY)


def test_a_verification_tells_what_would_be_lost_now(bank: OnServer, capsys: Said) -> None:
    code, report = run(bank, capsys, "verify")
    assert (code, report["error"]["code"]) == (3, "not_found")
    run(bank, capsys, "take", "first")
    code, report = run(bank, capsys, "verify")
    assert (code, report["data_loss_seconds"]) == (0, 0)
    store(bank, [_LATE])
    code, report = run(bank, capsys, "verify")
    assert (code, report["memories"], report["source"]["memories"]) == (0, 3, 4)
    assert report["data_loss_seconds"] > 0
    for option in (["--at", "2026-11-22T15:00:00Z"], ["--epoch", "0000000000000001"]):
        code, report = run(bank, capsys, "verify", *option)
        assert (code, report["error"]["code"]) == (3, "not_found")
        assert "recovery points" in report["error"]["hint"]


def test_a_point_is_verified_while_the_database_is_lost(
    bank: OnServer, capsys: Said, new_url: NewUrl
) -> None:
    run(bank, capsys, "take", "first")
    for lost in (new_url(), url_of(bank).replace("points-", "gone-")):
        (bank.folder / "url").write_text(lost)
        code, report = run(bank, capsys, "verify")
        assert (code, report["source"], report["memories"]) == (0, None, 3)
        assert run(bank, capsys, "take", "second")[0] in (2, 5)
    assert not any("second" in each for each in objects(bank))


def test_a_copy_that_is_damaged_is_no_point(
    tmp_path: Path, on_volume: dict[str, Any], new_url: NewUrl, capsys: Said
) -> None:
    bank = OnServer(tmp_path / "bank", on_volume, new_url())
    store(bank, _EARLY)
    with psycopg.connect(url_of(bank)) as connection:
        connection.execute("SET memorybank.tenant = '*'")
        connection.execute("UPDATE tenants SET memories = memories + 1")
    code, report = run(bank, capsys, "take", "first")
    assert (code, report["error"]["code"]) == (6, "backup_damaged")
    assert objects(bank) == {}


@pytest.mark.usefixtures("impatient")
def test_a_bank_is_put_back_to_a_point_and_forward_again(bank: OnServer, capsys: Said) -> None:
    run(bank, capsys, "take", "good")
    store(bank, [_LATE])
    code, report = run(bank, capsys, "rewind", "one", "--point", "good")
    assert (code, report["memories"], report["already"]) == (0, 3, False)
    assert held(bank) == set(_EARLY)
    store(bank, ["After the rewind"])

    # By the same id nothing is done any more.
    code, again = run(bank, capsys, "rewind", "one", "--point", "good")
    assert (code, again["already"], again["memories"]) == (0, True, 3)
    assert held(bank) == {*_EARLY, "After the rewind"}

    code, report = run(bank, capsys, "undo", "one")
    assert (code, report["name"], report["memories"]) == (0, "one", 4)
    assert held(bank) == {*_EARLY, _LATE}
    assert run(bank, capsys, "undo", "one")[1]["already"]
    code, report = run(bank, capsys, "rewind", "one", "--point", "good")
    assert (code, report["error"]["code"]) == (2, "invalid_request")
    assert run(bank, capsys, "undo", "two")[0] == 3

    # What was there before it was undone is kept as well.
    assert run(bank, capsys, "rewind", "two", "--point", "after-one")[0] == 0
    assert held(bank) == {*_EARLY, "After the rewind"}
    assert run(bank, capsys, "rewind", "three", "--point", "good")[0] == 0
    code, report = run(bank, capsys, "undo", "two")
    assert (code, report["error"]["code"]) == (2, "invalid_request")
    assert main(["backup", "discard", "three", "--config", str(bank.config)]) == 0
    assert run(bank, capsys, "undo", "three")[0] == 3
    assert main(["backup", "discard", "four", "--config", str(bank.config)]) == 3


@pytest.mark.usefixtures("impatient")
def test_a_bank_goes_on_after_it_was_put_back(
    tmp_path: Path, on_volume: dict[str, Any], capsys: Said
) -> None:
    """Also one that is searched in the database: what is derived from it is made anew."""
    name = f"searched-{uuid.uuid4().hex[:12]}"
    bank = OnServer(tmp_path / "bank", on_volume, postgres.searchable(name))
    content = json.loads(bank.config.read_text()) | {"vector": {"provider": "pgvector"}}
    bank.config.write_text(json.dumps(content))
    try:
        store(bank, _EARLY)
        run(bank, capsys, "take", "good")
        store(bank, [_LATE])
        assert found(bank, "harbour") == {_EARLY[0], _LATE}
        assert run(bank, capsys, "rewind", "one", "--point", "good")[0] == 0
        assert found(bank, "harbour") == {_EARLY[0]}
        store(bank, ["A harbour pilot is on call"])
        assert found(bank, "harbour") == {_EARLY[0], "A harbour pilot is on call"}
        with ends.source(server_of(bank.settings)) as end:
            assert end.problems() == []
    finally:
        postgres.server().drop(name)


def found(bank: OnServer, query: str) -> set[str]:
    """Return what a search finds that has the word."""
    from memorybank.cli.local import local_bank

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MEMORY_BANK_CONFIG", str(bank.config))
        with local_bank(bank.data) as opened:
            answer = opened.request("POST", "/v1/search", body={"query": query, "limit": 10})
            results = answer.value(opened.name)["results"]
    return {
        each["memory"]["content"] for each in results if query in each["memory"]["content"].lower()
    }


@pytest.mark.usefixtures("impatient")
def test_nothing_is_replaced_in_part(
    tmp_path: Path,
    on_volume: dict[str, Any],
    new_url: NewUrl,
    capsys: Said,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bank = OnServer(tmp_path / "bank", on_volume, new_url())
    store(bank, _EARLY)
    run(bank, capsys, "take", "good")
    store(bank, [_LATE])
    insert = ends.PostgresEnd.insert

    def fail(end: ends.PostgresEnd, connection: Connection, table: Table, rows: list[Row]) -> None:
        insert(end, connection, table, rows)
        if table.name == "tenants":  # the last one
            raise StoreUnavailable("the server is gone")

    with monkeypatch.context() as patch:
        patch.setattr(ends.PostgresEnd, "insert", fail)
        assert run(bank, capsys, "rewind", "one", "--point", "good")[0] == 5
    assert held(bank) == {*_EARLY, _LATE}
    store(bank, ["Written since"])
    assert run(bank, capsys, "rewind", "one", "--point", "good")[0] == 0
    assert run(bank, capsys, "undo", "one")[0] == 0
    assert held(bank) == {*_EARLY, _LATE, "Written since"}, "kept by the attempt that did it"


@pytest.mark.usefixtures("impatient")
def test_a_bank_that_is_served_is_not_put_back(
    tmp_path: Path, on_volume: dict[str, Any], new_url: NewUrl, capsys: Said
) -> None:
    bank = OnServer(tmp_path / "bank", on_volume, new_url())
    store(bank, _EARLY)
    run(bank, capsys, "take", "good")

    async def serve(*, lead: bool) -> None:
        opened = await PostgresStore.open(server_of(bank.settings), model="any")
        await (opened.lead("holder", seconds=600) if lead else opened.resign("holder"))
        await opened.close()

    asyncio.run(serve(lead=True))
    for command in (["rewind", "one", "--point", "good"], ["undo", "one"]):
        code, report = run(bank, capsys, *command)
        assert (code, report["error"]["code"]) == (2, "configuration_error")
        assert "in use" in report["error"]["message"]
    asyncio.run(serve(lead=False))
    assert run(bank, capsys, "rewind", "one", "--point", "good")[0] == 0


@pytest.mark.usefixtures("impatient")
def test_which_state_is_meant_is_said_and_must_be_whole(
    tmp_path: Path, on_volume: dict[str, Any], new_url: NewUrl, capsys: Said
) -> None:
    bank = OnServer(tmp_path / "bank", on_volume, new_url())
    store(bank, _EARLY)
    for option in ([], ["--at", "2026-11-22T15:00:00Z"]):
        code, report = run(bank, capsys, "rewind", "one", *option)
        assert (code, report["error"]["code"]) == (2, "invalid_request")
    assert run(bank, capsys, "rewind", "one", "--point", "none")[0] == 3
    assert run(bank, capsys, "undo", "one")[0] == 3
    run(bank, capsys, "take", "good")
    [copy] = (tmp_path / "backups" / BANK / "points").glob("good/*/memory_bank.db")
    copy.write_bytes(copy.read_bytes()[:-1] + b"!")
    assert run(bank, capsys, "rewind", "one", "--point", "good")[0] == 6
    assert held(bank) == set(_EARLY)
    assert not any("before-one" in each for each in objects(bank))


@pytest.mark.usefixtures("impatient")
def test_a_database_that_was_lost_is_filled_again(
    tmp_path: Path, on_volume: dict[str, Any], new_url: NewUrl, capsys: Said
) -> None:
    bank = OnServer(tmp_path / "bank", on_volume, new_url())
    store(bank, _EARLY)
    run(bank, capsys, "take", "good")
    (bank.folder / "url").write_text(new_url())
    assert run(bank, capsys, "rewind", "one", "--point", "good")[0] == 0
    assert held(bank) == set(_EARLY)
    assert run(bank, capsys, "undo", "one")[0] == 3


def test_a_new_bank_begins_with_a_point(
    bank: OnServer, destination: dict[str, Any], new_url: NewUrl, capsys: Said, tmp_path: Path
) -> None:
    run(bank, capsys, "take", "good")
    store(bank, [_LATE])
    uid = BANK.rpartition("/")[2]
    begins = {"uid": "another", "restore": {"uid": uid, "point": "good"}}
    new = OnServer(tmp_path / "new", destination, new_url(), **begins)
    # Pods that start at the same time are of one mind.
    with ThreadPoolExecutor(2) as pods:
        assert list(pods.map(lambda _: new.begin(), range(2))) == [0, 0]
    assert held(new) == set(_EARLY)
    store(new, ["Of the new bank"])
    assert new.begin() == 0
    assert held(new) == {*_EARLY, "Of the new bank"}

    # Where there is a bank already, nothing is put.
    (new.folder / "url").write_text(url_of(bank))
    capsys.readouterr()
    assert new.begin() == 2
    said = capsys.readouterr().err
    assert "backup.restore" in said
    assert "name an empty database" in said
    assert held(bank) == {*_EARLY, _LATE}

    nothing = OnServer(
        tmp_path / "nothing", destination, new_url(), uid="a", restore={"uid": uid, "point": "no"}
    )
    assert nothing.begin() == 3
    # Whose it is and which one need not be said.
    for own, restore in (("b", {"uid": uid}), ("c", {"point": "good"}), ("d", {})):
        like = OnServer(tmp_path / own, destination, new_url(), uid=own, restore=restore)
        assert like.begin() == 0
        assert held(like) == set(_EARLY)
    without = OnServer(tmp_path / "without", destination, new_url())
    assert without.begin() == 0


def test_a_bank_in_postgres_begins_with_one_in_sqlite(
    make_pod: MakePod, destination: dict[str, Any], new_url: NewUrl, capsys: Said, tmp_path: Path
) -> None:
    """With a point of it, and with its newest state."""
    pod = make_pod(destination, settings=TINY)
    stored(pod, *_EARLY)
    run(pod, capsys, "take", "good")
    stored(pod, _LATE)
    uid = BANK.rpartition("/")[2]
    for number, (restore, wanted) in enumerate(
        (({"point": "good"}, set(_EARLY)), ({}, {*_EARLY, _LATE}))
    ):
        new = OnServer(
            tmp_path / f"new-{number}", destination, new_url(), uid=f"new-{number}",
            restore={"uid": uid, **restore},
        )  # fmt: skip
        assert new.begin() == 0
        assert held(new) == wanted


def test_an_encrypted_bank_does_not_come_into_postgres(
    make_pod: MakePod, on_volume: dict[str, Any], new_url: NewUrl, capsys: Said, tmp_path: Path
) -> None:
    ring = tmp_path / "ring"
    ring.write_text(json.dumps({"active": "k1", "keys": {"k1": "A" * 43 + "="}}))
    encrypted = {"encryption": {"enabled": True, "key_ring_file": str(ring)}}
    pod = make_pod(on_volume, settings=TINY | encrypted)
    stored(pod, *_EARLY)
    run(pod, capsys, "take", "sealed")
    url = new_url()
    begins = {"uid": "a", "restore": {"uid": BANK.rpartition("/")[2], "point": "sealed"}}
    new = OnServer(tmp_path / "new", on_volume, url, **begins)
    capsys.readouterr()
    assert new.begin() == 2
    assert "a bank in PostgreSQL cannot be" in capsys.readouterr().err

    # Nor does one in PostgreSQL become one that is.
    bank = OnServer(tmp_path / "bank", on_volume, new_url(), uid="plain")
    store(bank, _EARLY)
    assert main(["backup", "take", "plain", "--config", str(bank.config)]) == 0
    sealed = make_pod(
        on_volume, settings=TINY | encrypted, uid="s", restore={"uid": "plain", "point": "plain"}
    )
    assert main(["backup", "prepare", "--config", str(sealed.config)]) == 2


def test_settings_that_only_a_replica_has_are_refused(
    tmp_path: Path, on_volume: dict[str, Any], capsys: Said
) -> None:
    bank = OnServer(tmp_path / "bank", on_volume, "postgresql://nobody", durability="replicated")
    assert bank.begin() == 2
    assert "backup.durability" in capsys.readouterr().err
