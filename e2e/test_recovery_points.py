"""Recovery points of a bank, and backups that are tried, on the real cluster with a real server of
S3; the commands of docs/banks/backup.md do it on a volume.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from e2e.backups import (
    BUCKET,
    bank_in_bucket,
    epoch,
    wait_backed_up,
    writing,
)
from e2e.bank import Bank
from e2e.object_store import ObjectStore
from e2e.stack import Stack

pytestmark = pytest.mark.full

FACT = "The lift of the east wing is inspected in October."
QUESTION = "inspection of the lift"
TAKEN_SECONDS = 300


@pytest.fixture(scope="module")
def in_bucket(stack: Stack, store: ObjectStore) -> Iterator[Bank]:
    """A bank with a memory, whose backups are in the bucket."""
    with bank_in_bucket(stack, store) as bank:
        bank.remember(FACT)
        wait_backed_up(bank)
        yield bank


def take(bank: Bank, name: str, **spec: Any) -> None:
    """Ask for a recovery point."""
    bank.stack.apply(
        {
            "apiVersion": "memorybank.dev/v1alpha1",
            "kind": "MemoryBankBackup",
            "metadata": {"name": name, "namespace": bank.namespace},
            "spec": {"bank": {"name": bank.name}, **spec},
        }
    )


def status(bank: Bank, name: str) -> dict[str, Any]:
    """What a recovery point's status says."""
    found = bank.stack.get("memorybankbackup", name, bank.namespace) or {}
    return dict(found.get("status", {}))


def wait_phase(bank: Bank, name: str, *phases: str) -> dict[str, Any]:
    """Wait until a recovery point is in one of these phases; return its status."""
    bank.stack.wait(
        f"{name} {phases}", lambda: status(bank, name).get("phase") in phases,
        seconds=TAKEN_SECONDS, describe=lambda: status(bank, name),
    )  # fmt: skip
    return status(bank, name)


def taken(bank: Bank, name: str, **spec: Any) -> dict[str, Any]:
    """Take a recovery point; return what it has."""
    take(bank, name, **spec)
    found = wait_phase(bank, name, "Complete", "Failed")
    assert found["phase"] == "Complete", found
    return dict(found["point"])


def message(bank: Bank, name: str) -> str:
    """Why a recovery point is not Complete."""
    conditions = status(bank, name).get("conditions", [])
    return str(next((each["message"] for each in conditions if each["type"] == "Complete"), ""))


def exported(bank: Bank, name: str) -> list[dict[str, Any]]:
    """The lines of the export beside a recovery point, as the bank's own pod opens it."""
    said = bank.stack.kubectl(
        "-n", bank.namespace, "exec", f"deploy/{bank.name}", "-c", "memorybank", "--",
        "memorybank", "backup", "export", name, "-", "--config", "/etc/memorybank/config.yaml",
    )  # fmt: skip
    return [json.loads(each) for each in said.splitlines()]


def begins_with(bank: Bank, name: str, point: str, **spec: Any) -> Bank:
    """Make a bank that begins with a recovery point of another one."""
    restore = {"fromBank": {"name": bank.name}, "backup": point}
    made = replace(bank, name=name, spec=bank.spec | {"bootstrap": {"restore": restore}} | spec)
    made.apply()
    return made


def verified_each_minute(bank: Bank) -> dict[str, Any]:
    """The `backup` of its spec, tried each minute."""
    return {**bank.spec["backup"], "verify": {"schedule": "* * * * *"}}


def wait_verified(bank: Bank, wanted: str, seconds: float = 300) -> dict[str, Any]:
    """Wait until the bank says that its backups are good (or not); return the condition."""
    bank.stack.wait(
        f"BackupVerified={wanted}",
        lambda: bank.condition("BackupVerified").get("status") == wanted,
        seconds=seconds, describe=lambda: bank.condition("BackupVerified"),
    )  # fmt: skip
    return bank.condition("BackupVerified")


def test_a_point_is_taken_under_load_and_holds_what_was_acknowledged_before(
    in_bucket: Bank, stack: Stack, record_property: Callable[[str, object], None]
) -> None:
    with writing(in_bucket) as acknowledged:
        stack.wait("memories", lambda: len(acknowledged) >= 30)
        known = len(acknowledged)
        point = taken(in_bucket, "under-load", expireAfter="24h")
    record_property("seconds to restore", point["restoreSeconds"])
    assert point["memories"] >= known + 1
    assert len(point["sha256"]) == 64
    assert status(in_bucket, "under-load")["expiresAt"]


def test_a_point_needs_nothing_else_of_the_bucket(
    in_bucket: Bank, store: ObjectStore, stack: Stack
) -> None:
    point = taken(in_bucket, "alone")
    assert stack.get("memorybankbackup", "alone", in_bucket.namespace)
    stack.kubectl("-n", in_bucket.namespace, "delete", "mbb", "alone")
    store.remove(BUCKET, f"/{epoch(in_bucket)}/")
    other = begins_with(in_bucket, "from-a-point", "alone")
    other.wait_ready()
    assert FACT in other.recall(QUESTION)
    with other.http() as client:
        memories = client.get("/v1/admin/status").json()["store"]["counts"]["memories"]
    assert memories >= point["memories"]
    in_bucket.apply(restart="with another epoch, as this one is damaged")
    in_bucket.wait_ready()
    wait_backed_up(in_bucket)


def test_a_point_of_a_bank_that_is_not_there_waits_and_says_so(in_bucket: Bank) -> None:
    nobody = replace(in_bucket, name="nobody")
    take(nobody, "of-nobody")
    in_bucket.stack.wait("told", lambda: "no MemoryBank" in message(in_bucket, "of-nobody"))
    assert status(in_bucket, "of-nobody")["phase"] == "Pending"


def test_a_point_that_is_not_there_starts_no_bank(in_bucket: Bank) -> None:
    other = begins_with(in_bucket, "from-nothing", "no-such-point")
    told = other.wait_not_ready("RestoreFailed", seconds=300)
    assert "no-such-point" in told["message"]
    in_bucket.stack.kubectl("-n", in_bucket.namespace, "delete", "mb", other.name)


@pytest.mark.parametrize("damage", ["flipped", "truncated", "removed"])
def test_a_damaged_backup_is_told_by_the_next_trial_and_a_good_one_heals_it(
    in_bucket: Bank, store: ObjectStore, damage: str
) -> None:
    in_bucket.apply(backup=verified_each_minute(in_bucket), restart=f"before: {damage}")
    in_bucket.wait_ready()
    wait_backed_up(in_bucket)
    wait_verified(in_bucket, "True")
    damaged = epoch(in_bucket)
    store.damage(BUCKET, f"/{damaged}/", damage)
    told = wait_verified(in_bucket, "False")
    assert told["reason"] == "VerificationFailed"
    assert damaged in told["message"]
    assert in_bucket.is_ready(), "the bank serves"
    in_bucket.apply(backup=verified_each_minute(in_bucket), restart=f"after: {damage}")
    in_bucket.wait_ready()
    wait_verified(in_bucket, "True")
    in_bucket.apply()
    in_bucket.wait_ready()


def test_the_backups_of_a_bank_that_sleeps_are_tried_and_it_sleeps_on(in_bucket: Bank) -> None:
    before = epoch(in_bucket)
    in_bucket.apply(hibernate=True, backup=verified_each_minute(in_bucket))
    in_bucket.stack.wait("no pods", lambda: not in_bucket.pods())
    tried = last_verified(in_bucket)
    in_bucket.stack.wait(
        "a trial", lambda: last_verified(in_bucket) > tried, seconds=300,
        describe=lambda: in_bucket.get(),
    )  # fmt: skip
    assert not in_bucket.pods()
    assert epoch(in_bucket) == before
    in_bucket.apply()
    in_bucket.wait_ready()


def last_verified(bank: Bank) -> str:
    """When its backups were last found to be good."""
    return str(((bank.get() or {})["status"].get("backup") or {}).get("lastVerified", ""))


def test_a_point_of_an_encrypted_bank_opens_with_its_keys_alone(
    in_bucket: Bank, store: ObjectStore, stack: Stack
) -> None:
    bank = replace(
        in_bucket, name="sealed", spec=in_bucket.spec | {"encryption": {"enabled": True}}
    )
    bank.apply()
    bank.wait_ready()
    bank.remember("The quarzite vault is behind the blue curtain.")
    wait_backed_up(bank)
    point = taken(bank, "sealed-point", export="JSONL")
    assert len(point["keyIds"]) == 1
    assert not store.holds(BUCKET, "quarzite")
    assert any(each.endswith(".jsonl.gz.sealed") for each in store.files(BUCKET)), "compressed, too"
    lines = exported(bank, "sealed-point")
    texts = [each["memory"]["content"] for each in lines if each["kind"] == "memory"]
    assert texts == ["The quarzite vault is behind the blue curtain."]
    assert (lines[-1]["kind"], point["export"]["memories"]) == ("end", 1)

    own_keys = begins_with(bank, "other-keys", "sealed-point")
    told = own_keys.wait_not_ready("RestoreFailed", seconds=300)
    assert "key" in told["message"]
    ring = {"name": f"{bank.name}-key-ring", "key": "ring.json"}
    same_keys = begins_with(
        bank, "same-keys", "sealed-point",
        encryption={"enabled": True, "keySecretRef": ring},
    )  # fmt: skip
    same_keys.wait_ready()
    assert same_keys.recall("vault behind the curtain") == [
        "The quarzite vault is behind the blue curtain."
    ]
    for each in (own_keys, same_keys, bank):
        stack.kubectl("-n", each.namespace, "delete", "mb", each.name, "--wait=false")
