"""A bank that was promoted in the place of another one, which comes back, with real processes."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from typing_extensions import override

from memorybank.__main__ import main
from memorybank.backup.barrier import Barrier
from memorybank.backup.destination import Destination
from memorybank.backup.fence import GOOD_SECONDS, SETTLE_SECONDS, Fence, Fences
from memorybank.backup.guard import Guard
from memorybank.backup.objects import Folder
from memorybank.backup.watch import Freshness
from memorybank.errors import BackupUnavailable, Conflict, Fenced
from memorybank.server.destinations import backup_of, place_of
from tests.app.backup.conftest import MakePod
from tests.support.replication import UID, Pod
from tests.support.server_process import Server
from tests.support.standby import Standby, contents, eventually, followed, primary, store

SECOND, SECOND_UID = "elsewhere/second", "7f3b6c52-0000-4000-8000-000000000002"
FENCE = Fence(by=f"{SECOND}/{SECOND_UID}", at=datetime(2026, 3, 1, 12, tzinfo=UTC))


@pytest.fixture
def make_promoted(make_pod: MakePod, destination: dict[str, Any]) -> MakePod:
    """Make pods that are promoted in the place of another one's bank."""

    def make(bank: str = SECOND, uid: str = SECOND_UID) -> Pod:
        restore = {"bank": "agents/team-memory", "uid": UID, "fence": True}
        return make_pod(destination, bank=bank, uid=uid, restore=restore)

    return make


@pytest.mark.slow
def test_a_former_primary_takes_no_writes_and_says_why(
    make_pod: MakePod,
    make_promoted: MakePod,
    tmp_path: Path,
    destination: dict[str, Any],
) -> None:
    former = make_pod(destination)
    with primary(former) as bank, bank.client() as writing:
        store(writing, "The bridge is open")
        former.wait_until_synced()
        promoted = make_promoted()
        with primary(promoted) as second, second.client() as there:
            assert contents(there, "Is the bridge open?") == ["The bridge is open"]
            store(there, "The bridge is closed on Sundays")
            eventually(lambda: not_ready(bank), bool)
            refused = writing.post("/v1/memories", json={"content": "Nobody will see this"})
            assert_fenced(refused)
            assert contents(writing, "Is the bridge open?") == ["The bridge is open"]
            promoted.wait_until_synced()
    with primary(former) as bank, bank.client() as writing:  # it comes back with its volume
        assert SECOND in not_ready(bank)
        assert_fenced(writing.post("/v1/memories", json={"content": "Nor this"}))
        said = httpx.get(f"{bank.url}/ready", timeout=60).json()["backup"]
        assert said["fenced_by"] == f"{SECOND}/{SECOND_UID}"
        assert "memorybank_backup_fenced 1.0" in httpx.get(bank.metrics_url, timeout=30).text
        with Standby(tmp_path / "third", destination, bank=SECOND, uid=None).serving() as copy:
            with copy.client() as reading:
                eventually(
                    lambda: contents(reading, "When is the bridge closed?"),
                    lambda found: "The bridge is closed on Sundays" in found,
                )
            assert followed(copy)["epoch"] == promoted.prepared_epoch
    promoted.lose_volume()  # what the former one wrote meanwhile is nowhere in its way
    with primary(promoted) as second, second.client() as there:
        assert "The bridge is closed on Sundays" in contents(there, "When is the bridge closed?")
        store(there, "The bridge is painted")


@pytest.mark.slow
def test_a_fence_is_lifted_on_purpose(
    make_pod: MakePod, make_promoted: MakePod, destination: dict[str, Any], capsys: Any
) -> None:
    former = make_pod(destination)
    with primary(former) as bank, bank.client() as writing:
        store(writing, "The bridge is open")
        former.wait_until_synced()
    make_promoted().prepare()
    with primary(former) as bank, bank.client() as writing:
        assert_fenced(writing.post("/v1/memories", json={"content": "The bridge is closed"}))
        command = ["backup", "lift-fence", "--config", str(former.config)]
        assert main(command) == 0
        assert SECOND in capsys.readouterr().out
        eventually(lambda: not not_ready(bank), bool)
        store(writing, "The bridge is closed")
        assert main(command) == 0
        assert "there is no fence" in capsys.readouterr().out


@pytest.mark.slow
def test_what_is_acknowledged_where_it_is_replicated_is_in_what_is_promoted(
    make_pod: MakePod, make_promoted: MakePod, destination: dict[str, Any]
) -> None:
    former = make_pod(destination, durability="replicated")
    with primary(former) as bank, bank.client() as writing:
        store(writing, "The bridge is open")
        with writing_on(bank) as acknowledged:
            eventually(lambda: len(acknowledged), lambda count: count > 20)
            promoted = make_promoted()
            promoted.prepare()
        assert_fenced(writing.post("/v1/memories", json={"content": "Nobody will see this"}))
    with primary(promoted) as second, second.client() as there:
        lost = [each for each in acknowledged if not there.get(f"/v1/memories/{each}").is_success]
        assert len(acknowledged) > 20
        assert not lost


@pytest.mark.slow
def test_who_is_promoted_is_so_alone_and_again_after_a_crash(
    make_pod: MakePod,
    make_promoted: MakePod,
    tmp_path: Path,
    destination: dict[str, Any],
) -> None:
    former = make_pod(destination)
    with primary(former) as bank, bank.client() as writing:
        store(writing, "The bridge is open")
        former.wait_until_synced()
    place = place_of(backup_of(former.settings))
    asyncio.run(Fences(place).put(FENCE))  # as by a promotion that went no further
    promoted = make_promoted()
    assert promoted.prepare().epoch.source == f"agents/team-memory/{UID}/{former.prepared_epoch}"
    assert Fences(place).find() == FENCE
    with pytest.raises(Conflict, match=SECOND):
        make_promoted("elsewhere/third", "7f3b6c52-0000-4000-8000-000000000003").prepare()
    begun = asyncio.run(Destination(place).begun())
    assert set(begun) == {former.prepared_epoch}
    with (
        pytest.raises(RuntimeError, match=f"{SECOND}.* was promoted"),
        Standby(tmp_path / "late", destination).serving(),
    ):
        pass


class Away(Fences):
    """A fence that cannot be looked for."""

    @override
    def find(self) -> Fence | None:
        raise BackupUnavailable("the destination does not answer")


def test_nothing_counts_that_may_have_come_after_a_fence(tmp_path: Path) -> None:
    fences, now = Fences(Folder(tmp_path)), [100.0]
    guard = Guard(fences, None, Barrier(lambda _: None, refuses=True), clock=lambda: now[0])
    guard.admit()
    guard.confirm()
    asyncio.run(fences.put(FENCE))
    now[0] += GOOD_SECONDS
    guard.admit()
    guard.confirm()  # it has arrived before anybody restores
    assert GOOD_SECONDS * 1.3 < SETTLE_SECONDS
    now[0] += 0.01
    guard.admit()  # not known yet
    with pytest.raises(Fenced, match="may be missing"):
        guard.confirm()
    with pytest.raises(Fenced, match="nothing is written"):
        guard.admit()
    asyncio.run(fences.lift())
    guard.confirm()
    guard.admit()


def test_where_a_fence_cannot_be_looked_for_writes_wait_or_not_as_was_chosen(
    tmp_path: Path,
) -> None:
    away = Away(Folder(tmp_path))
    with pytest.raises(BackupUnavailable, match="not whether it counts"):
        Guard(away, None, Barrier(lambda _: None, refuses=True)).confirm()
    Guard(away, None, Barrier(lambda _: None, refuses=False)).confirm()
    Guard(away, None, None).confirm()
    unreachable = Barrier(lambda _: None, refuses=False)
    unreachable.looked(Freshness(problem="the destination does not answer"))
    Guard(away, None, unreachable).confirm()


def test_a_fence_that_cannot_be_read_counts(tmp_path: Path) -> None:
    (tmp_path / "fence.json").write_text("half of")
    found = Fences(Folder(tmp_path)).find()
    assert found is not None
    with pytest.raises(Fenced, match="cannot be told"):
        Guard(Fences(Folder(tmp_path)), found, None).admit()


@contextmanager
def writing_on(server: Server) -> Iterator[list[str]]:
    """Store one memory after the other until the first that is refused; yield what was taken."""
    acknowledged: list[str] = []
    refused = threading.Event()

    def write(name: str) -> None:
        with server.client() as client:
            number = 0
            while not refused.is_set():
                number += 1
                answer = client.post(
                    "/v1/memories", json={"content": f"Note {number} of the log of {name}"}
                )
                if answer.status_code == 201:
                    acknowledged.append(answer.json()["id"])
                else:
                    refused.set()

    names = ("north", "south", "west")
    threads = [threading.Thread(target=write, args=[each]) for each in names]
    for each in threads:
        each.start()
    try:
        yield acknowledged
    finally:
        refused.wait(60)
        refused.set()
        for each in threads:
            each.join()


def not_ready(server: Server) -> str:
    """Return what keeps a server from being ready, if that is a fence."""
    checks = httpx.get(f"{server.url}/ready", timeout=60).json()["checks"]
    return next((each["message"] for each in checks if each["name"] == "fence"), "")


def assert_fenced(answer: httpx.Response) -> None:
    assert answer.status_code == 503, answer.text
    error = answer.json()["error"]
    assert error["code"] == "fenced"
    assert SECOND in error["message"]
    assert "lift the fence" in error["hint"]
