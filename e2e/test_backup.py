"""Backups of a bank on the real cluster: on a volume, and in a bucket of a real server of S3."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import pytest
import yaml

from e2e.bank import Bank, timed
from e2e.cluster.paths import ROOT
from e2e.conftest import restricted_namespace
from e2e.object_store import ObjectStore, object_store
from e2e.processes import frozen
from e2e.stack import Stack

TOLD_SECONDS = 90
"""The goal is 60, of a machine that has nothing else to do."""
FACT = "The spare keys of the archive are in the red cabinet."
QUESTION = "spare keys of the archive"
BUCKET, KEYS = "agents", "backup-keys"


def example(name: str) -> dict[str, Any]:
    """The MemoryBank of one of examples/."""
    documents = yaml.safe_load_all((ROOT / "examples" / name).read_text())
    [found] = [dict(each) for each in documents if each["kind"] == "MemoryBank"]
    return found


@pytest.fixture(scope="module")
def on_volume(stack: Stack) -> Iterator[Bank]:
    """The bank of the example whose backups are on a volume."""
    with restricted_namespace(stack, "backups") as namespace:
        manifest = example("backup-volume.yaml")
        stack.kubectl("-n", namespace, "apply", "-f", str(ROOT / "examples/backup-volume.yaml"))
        bank = Bank(stack, namespace, manifest["metadata"]["name"], manifest["spec"])
        bank.wait_ready()
        yield bank


@pytest.fixture(scope="module")
def store(stack: Stack) -> Iterator[ObjectStore]:
    """A server of S3 with a bucket."""
    with object_store(stack) as made:
        made.make_bucket(BUCKET)
        yield made


@pytest.fixture(scope="module")
def in_bucket(stack: Stack, store: ObjectStore) -> Iterator[Bank]:
    """The bank of the example whose backups are in a bucket, on the cluster's server."""
    manifest = example("backup-s3.yaml")
    manifest["spec"]["backup"]["destination"]["s3"] |= {
        "bucket": BUCKET, "endpoint": store.endpoint, "region": store.region,
        "secretRef": {"name": KEYS},
    }  # fmt: skip
    with restricted_namespace(stack, "backups") as namespace:
        store.credentials(KEYS, namespace)
        bank = Bank(stack, namespace, manifest["metadata"]["name"], manifest["spec"])
        bank.apply()
        bank.wait_ready()
        yield bank


def wait_backed_up(bank: Bank, status: str = "True", seconds: float = TOLD_SECONDS) -> float:
    """Wait until the bank says that its backups arrive (or do not); return how long it took."""
    with timed() as took:
        bank.stack.wait(
            f"BackupHealthy={status}",
            lambda: bank.condition("BackupHealthy").get("status") == status,
            seconds=seconds, describe=lambda: bank.condition("BackupHealthy"),
        )  # fmt: skip
    return took[0]


def epoch(bank: Bank) -> str:
    """The epoch that the bank replicates to, as its status says."""
    return str(((bank.get() or {})["status"].get("backup") or {}).get("epoch", ""))


def ready_report(bank: Bank) -> dict[str, Any]:
    """What the bank's pod says of its backup."""
    with bank.http() as client:
        return dict(client.get("/ready").json()["backup"])


def claim_uid(bank: Bank) -> str:
    return str((bank.child("pvc", "-data") or {}).get("metadata", {}).get("uid", ""))


def lose_volume(bank: Bank, *, forced: bool = True) -> None:
    """Lose the bank's pod and its volume; return when it serves from another one."""
    [pod] = bank.pods()
    before, former = claim_uid(bank), epoch(bank)
    namespace = bank.namespace
    bank.stack.kubectl("-n", namespace, "delete", "pvc", f"{bank.name}-data", "--wait=false")
    hurry = ("--grace-period=0", "--force") if forced else ()
    bank.stack.kubectl("-n", namespace, "delete", "pod", pod["metadata"]["name"], *hurry)
    bank.stack.wait(
        "another volume",
        lambda: claim_uid(bank) not in ("", before),
        describe=lambda: bank.stack.kubectl("-n", namespace, "get", "pvc,pod", check=False),
    )
    bank.stack.wait(
        "another epoch", lambda: epoch(bank) not in ("", former), seconds=300,
        describe=lambda: bank.stack.kubectl(
            "-n", namespace, "get", "mb,pod", "-o", "wide", check=False
        ),
    )  # fmt: skip
    bank.wait_ready()


@contextmanager
def writing(bank: Bank) -> Iterator[list[str]]:
    """Store one memory after the other while the block runs; yield what was acknowledged."""
    acknowledged: list[str] = []
    ends = threading.Event()

    def write() -> None:
        with bank.http() as client:
            for number in itertools.count():
                content = f"Note {number} of the harbour log."
                try:
                    answer = client.post("/v1/memories", json={"content": content})
                except httpx.HTTPError:
                    return
                if answer.status_code == httpx.codes.CREATED:
                    acknowledged.append(str(answer.json()["id"]))
                if ends.is_set():
                    return

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield acknowledged
    finally:
        ends.set()
        thread.join()


def missing(bank: Bank, ids: list[str]) -> list[str]:
    """Those of these memories that the bank does not have."""
    with bank.http() as client:
        return [
            each for each in ids
            if client.get(f"/v1/memories/{each}").status_code == httpx.codes.NOT_FOUND
        ]  # fmt: skip


def test_a_bank_with_backups_on_a_volume_loses_its_own_and_goes_on(on_volume: Bank) -> None:
    on_volume.remember(FACT)
    wait_backed_up(on_volume)
    assert ready_report(on_volume)["origin"] == "nothing"
    on_volume.stack.wait(
        "the memory in the backup",
        lambda: ready_report(on_volume)["synced_at"],
        describe=lambda: ready_report(on_volume),
    )
    lose_volume(on_volume)
    assert on_volume.recall(QUESTION) == [FACT]
    assert ready_report(on_volume)["origin"] == "backup"
    wait_backed_up(on_volume)


def test_a_new_pod_goes_on_with_what_is_on_the_volume(on_volume: Bank) -> None:
    former = epoch(on_volume)
    on_volume.apply(restart="now")
    on_volume.stack.wait(
        "another epoch", lambda: epoch(on_volume) not in ("", former), seconds=300,
        describe=lambda: on_volume.get(),
    )  # fmt: skip
    on_volume.wait_ready()
    report = ready_report(on_volume)
    assert (report["origin"], report["parent"]) == ("volume", former)
    assert on_volume.recall(QUESTION) == [FACT]


@pytest.mark.full
def test_what_was_stored_in_order_is_in_the_bucket_when_a_pod_and_its_volume_are_lost(
    in_bucket: Bank,
) -> None:
    in_bucket.remember(FACT)
    wait_backed_up(in_bucket)
    with writing(in_bucket) as acknowledged:
        in_bucket.stack.wait("memories", lambda: len(acknowledged) >= 50)
    lose_volume(in_bucket, forced=False)
    assert missing(in_bucket, acknowledged) == [], "a pod that ends in order leaves nothing behind"
    assert in_bucket.recall(QUESTION, limit=1) == [FACT]


@pytest.mark.full
@pytest.mark.parametrize("how", ["down", "silent"])
def test_a_bucket_that_is_away_is_told_within_a_minute_and_nothing_is_lost(
    in_bucket: Bank, store: ObjectStore, how: str, record_property: Callable[[str, object], None]
) -> None:
    wait_backed_up(in_bucket)
    with getattr(store, how)():
        told = wait_backed_up(in_bucket, "False")
        record_property("seconds until the status says so", told)
        assert in_bucket.is_ready(), "the bank serves"
        stored = in_bucket.remember(f"Stored while the bucket was away ({how}).")
    record_property("seconds until it says that all is well", wait_backed_up(in_bucket))
    lose_volume(in_bucket)
    assert missing(in_bucket, [stored]) == []


@pytest.mark.full
def test_credentials_that_are_revoked_are_told_and_others_taken(
    in_bucket: Bank, store: ObjectStore
) -> None:
    store.change_keys()
    wait_backed_up(in_bucket, "False")
    assert "key" in in_bucket.condition("BackupHealthy")["message"]
    stored = in_bucket.remember("Stored while the key was not taken.")
    store.credentials(KEYS, in_bucket.namespace)
    wait_backed_up(in_bucket, seconds=240)
    assert missing(in_bucket, [stored]) == []


@pytest.mark.full
def test_a_pod_that_lives_on_beside_its_follower_spoils_nothing(
    in_bucket: Bank, stack: Stack
) -> None:
    with writing(in_bucket) as acknowledged:
        stack.wait("memories", lambda: len(acknowledged) >= 50)
    wait_backed_up(in_bucket)
    in_bucket.stack.wait("a sync", lambda: not ready_report(in_bucket)["problem"])
    [pod] = in_bucket.pods()
    with frozen(pod["metadata"]["uid"]):  # as on a node that is cut off
        lose_volume(in_bucket)
        assert missing(in_bucket, acknowledged[:-5]) == []
    lose_volume(in_bucket)
    assert missing(in_bucket, acknowledged[:-5]) == []


@pytest.mark.full
def test_nothing_of_an_encrypted_bank_is_in_clear_in_the_bucket(
    in_bucket: Bank, store: ObjectStore, stack: Stack
) -> None:
    assert store.holds(BUCKET, "harbour log"), "of a bank in clear it is"
    bucket = store.make_bucket("secret")
    spec = {**in_bucket.spec, "encryption": {"enabled": True}}
    spec["backup"] = {**spec["backup"], "destination": {
        "s3": {**spec["backup"]["destination"]["s3"], "bucket": bucket}
    }}  # fmt: skip
    bank = Bank(stack, in_bucket.namespace, "sealed", spec)
    bank.apply()
    bank.wait_ready()
    bank.remember("The zanzibar protocol is in the blue folder.")
    wait_backed_up(bank)
    assert store.files(bucket), "something is"
    assert not store.holds(bucket, "zanzibar")
    lose_volume(bank)
    assert bank.recall("zanzibar protocol") == ["The zanzibar protocol is in the blue folder."]
