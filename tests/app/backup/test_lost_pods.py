"""Pods that are lost, and pods that are alive twice, while somebody writes."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from memorybank.backup.chain import Epoch, Origin
from memorybank.backup.litestream import program
from memorybank.backup.restoring import Restorer
from memorybank.server.destinations import place_of
from tests.app.backup.conftest import MakePod
from tests.support.replication import Pod, write

pytestmark = pytest.mark.slow

_TRIALS = 2


class Writer:
    """Writes as fast as a few hundred memories a second, and remembers when each was accepted."""

    def __init__(self, pod: Pod, first: int = 0) -> None:
        self._pod, self._first = pod, first
        self.accepted: dict[int, float] = {}
        self._stop = threading.Event()

    @contextmanager
    def running(self) -> Iterator[Writer]:
        thread = threading.Thread(target=self._run)
        thread.start()
        try:
            yield self
        finally:
            self._stop.set()
            thread.join()

    def _run(self) -> None:
        number = self._first
        with self._pod.writing() as connection:
            while not self._stop.wait(0.003):
                write(connection, number)
                self.accepted[number] = time.monotonic()
                number += 1

    def wait_for(self, rows: int) -> None:
        deadline = time.monotonic() + 60
        while len(self.accepted) < rows:
            assert time.monotonic() < deadline, "nothing is written"
            time.sleep(0.01)


def restored(pod: Pod, epoch: Epoch) -> None:
    """Restore an epoch into an empty pod, by its name."""
    backup = pod.settings.backup
    assert backup is not None
    restorer = Restorer(program(), place_of(backup), backup.run_dir, None, seconds=60)
    asyncio.run(restorer.restore(epoch, pod.database))


def test_at_most_the_last_moment_is_lost_with_a_node(
    make_pod: MakePod, destination: dict[str, Any]
) -> None:
    lost_seconds = []
    for trial in range(_TRIALS):
        pod = make_pod(destination, uid=f"trial-{trial}")
        pod.prepare()
        writer = Writer(pod)
        with writer.running():
            writer.wait_for(1)
            pod.replicate()
            writer.wait_for(len(writer.accepted) + 200 + 40 * trial)
            killed = time.monotonic()
            pod.kill()
        pod.lose_volume()
        assert pod.prepare().epoch.origin is Origin.BACKUP
        found = pod.rows()
        assert found == list(range(len(found))), "no holes"
        lost = [at for number, at in writer.accepted.items() if number >= len(found)]
        lost_seconds.append(killed - min(lost, default=killed))
    assert min(lost_seconds) < 1.2, lost_seconds
    assert max(lost_seconds) < 5, lost_seconds  # a machine that is busy


def test_a_stop_in_order_loses_nothing(make_pod: MakePod, destination: dict[str, Any]) -> None:
    pod = make_pod(destination)
    pod.prepare()
    writer = Writer(pod)
    with writer.running():
        writer.wait_for(1)
        pod.replicate()
        writer.wait_for(100)
    pod.stop()  # after who writes, as a native sidecar ends
    pod.lose_volume()
    pod.prepare()
    assert pod.rows() == list(writer.accepted)


def test_two_pods_that_are_alive_at_once_spoil_nothing(
    make_pod: MakePod, destination: dict[str, Any]
) -> None:
    for trial in range(_TRIALS):
        uid = f"trial-{trial}"
        cut_off = make_pod(destination, uid=uid)
        first = cut_off.prepare().epoch
        old = Writer(cut_off)
        with old.running():
            old.wait_for(1)
            cut_off.replicate()
            old.wait_for(100)
            cut_off.wait_until_synced()
            successor = make_pod(destination, uid=uid)
            second = successor.prepare().epoch
            assert second.parent == first.name
            begun = len(successor.rows())
            assert begun >= 100
            new = Writer(successor, first=1_000_000)
            with new.running():
                new.wait_for(1)
                successor.replicate()
                new.wait_for(200)
                old.wait_for(begun + 100)
        for each in (cut_off, successor):
            each.wait_until_synced()
            each.kill()
        heir = make_pod(destination, uid=uid)
        assert heir.prepare().epoch.parent == second.name
        assert heir.rows() == [*range(begun), *new.accepted]
        by_name = make_pod(destination, uid=uid)
        restored(by_name, first)
        assert by_name.rows() == list(old.accepted)


def test_two_that_replicate_one_volume_spoil_nothing(make_pod: MakePod, tmp_path: Path) -> None:
    """A pod that is deleted by force may end after its successor on the same node has begun."""
    destination = {"volume": {"path": str(tmp_path / "backups")}}
    leaving = make_pod(destination)
    first = leaving.prepare().epoch
    writer = Writer(leaving)
    with writer.running():
        writer.wait_for(1)
        leaving.replicate()
        writer.wait_for(100)
        coming = make_pod(destination)
        coming.share_volume_of(leaving)
        second = coming.prepare().epoch
        assert second.origin is Origin.VOLUME
        coming.replicate()
        writer.wait_for(400)
        leaving.wait_until_synced()
        known = len(writer.accepted)
        leaving.kill()
        writer.wait_for(known + 200)
        coming.wait_until_synced()
    coming.wait_until_synced()
    coming.kill()
    heir = make_pod(destination)
    assert heir.prepare().epoch.parent == second.name
    assert heir.rows() == list(writer.accepted)
    by_name = make_pod(destination)
    restored(by_name, first)
    found = by_name.rows()
    assert found == list(range(len(found)))
    assert len(found) >= 400
