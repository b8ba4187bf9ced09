"""Backups of a bank on the real cluster: on a volume, and in a bucket of a real server of S3."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from e2e.backups import (
    BUCKET,
    KEYS,
    bank_in_bucket,
    bank_on_volume,
    bucket_server,
    epoch,
    example,
    lose_volume,
    missing,
    ready_report,
    wait_backed_up,
    wait_synced,
    writing,
)
from e2e.bank import Bank
from e2e.object_store import ObjectStore
from e2e.processes import frozen
from e2e.stack import Stack

FACT = "The spare keys of the archive are in the red cabinet."
QUESTION = "spare keys of the archive"


@pytest.fixture(scope="module")
def on_volume(stack: Stack) -> Iterator[Bank]:
    """A bank whose backups are on a volume."""
    with bank_on_volume(stack) as bank:
        yield bank


@pytest.fixture(scope="module")
def in_bucket(stack: Stack, store: ObjectStore) -> Iterator[Bank]:
    """A bank whose backups are in the bucket."""
    with bank_in_bucket(stack, store) as bank:
        yield bank


@contextmanager
def replicated_bank(stack: Stack, store: ObjectStore, **more: str) -> Iterator[Bank]:
    """Run a bank whose writes are answered once they are in the bucket."""
    backup = example("backup-s3.yaml")["spec"]["backup"]
    kept = backup | {"durability": "replicated", **more}
    with bank_in_bucket(stack, store, backup=kept) as bank:
        wait_backed_up(bank)
        yield bank


def test_a_bank_with_backups_on_a_volume_loses_its_own_and_goes_on(on_volume: Bank) -> None:
    on_volume.remember(FACT)
    wait_backed_up(on_volume)
    assert ready_report(on_volume)["origin"] == "nothing"
    wait_synced(on_volume)
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
@pytest.mark.parametrize("how", ["down", "silent", "unreachable"])
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
def test_a_bucket_that_is_full_is_told_within_a_minute_and_nothing_is_lost(
    stack: Stack, record_property: Callable[[str, object], None]
) -> None:
    with bucket_server(stack, size="64Mi") as small, bank_in_bucket(stack, small) as bank:
        wait_backed_up(bank)
        with small.full(), writing(bank) as acknowledged:
            told = wait_backed_up(bank, "False")
            record_property("seconds until the status says so", told)
            assert "full" in bank.condition("BackupHealthy")["message"]
            assert bank.is_ready(), "the bank serves"
        healed = wait_backed_up(bank)
        record_property("seconds until it says that all is well", healed)
        lose_volume(bank)
        assert missing(bank, acknowledged) == []


@pytest.mark.full
def test_credentials_that_are_revoked_are_told_and_others_taken(
    in_bucket: Bank, store: ObjectStore, record_property: Callable[[str, object], None]
) -> None:
    wait_backed_up(in_bucket)
    store.change_keys()
    record_property("seconds until the status says so", wait_backed_up(in_bucket, "False"))
    in_bucket.stack.wait(  # first, that the server was away while its keys were changed
        "the key is blamed",
        lambda: "key" in in_bucket.condition("BackupHealthy")["message"],
        describe=lambda: in_bucket.condition("BackupHealthy"),
    )
    stored = in_bucket.remember("Stored while the key was not taken.")
    store.credentials(KEYS, in_bucket.namespace)
    healed = wait_backed_up(in_bucket, seconds=240)
    record_property("seconds until it says that all is well", healed)
    wait_synced(in_bucket)
    lose_volume(in_bucket)
    assert missing(in_bucket, [stored]) == []


@pytest.mark.full
def test_a_pod_that_lives_on_beside_its_follower_spoils_nothing(
    in_bucket: Bank, stack: Stack
) -> None:
    with writing(in_bucket) as acknowledged:
        stack.wait("memories", lambda: len(acknowledged) >= 50)
    wait_synced(in_bucket)
    [pod] = in_bucket.pods()
    with frozen(pod["metadata"]["uid"]):  # as on a node that is cut off
        lose_volume(in_bucket)
        assert missing(in_bucket, acknowledged) == []
    lose_volume(in_bucket)
    assert missing(in_bucket, acknowledged) == []


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


@pytest.mark.full
def test_nothing_that_was_answered_is_lost_where_writes_wait_for_the_bucket(
    stack: Stack, store: ObjectStore
) -> None:
    with replicated_bank(stack, store) as bank:
        with writing(bank) as acknowledged:
            stack.wait("memories", lambda: len(acknowledged) >= 50)
            lose_volume(bank)  # by force, in the middle of them
        assert len(acknowledged) >= 50
        assert missing(bank, acknowledged) == []


@pytest.mark.full
@pytest.mark.parametrize(("policy", "status"), [("refuse", 503), ("acknowledge", 201)])
def test_a_write_that_waits_for_the_bucket_does_what_the_spec_says_while_that_is_away(
    stack: Stack, store: ObjectStore, policy: str, status: int
) -> None:
    content = f"Stored while the bucket was away ({policy})."
    with replicated_bank(stack, store, whenUnreachable=policy) as bank:
        with store.down(), bank.http() as client:
            answer = client.post("/v1/memories", json={"content": content})
            assert answer.status_code == status, answer.text
            assert bank.is_ready(), "the bank serves"
            wait_backed_up(bank, "False")
        wait_backed_up(bank)
        with bank.http() as client:
            stack.wait(
                "writes are answered again",
                lambda: client.post("/v1/memories", json={"content": FACT}).status_code == 201,
            )
