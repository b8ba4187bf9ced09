"""Copies of a bank's backups in another bucket, on the real cluster with real servers of S3; the
commands of docs/banks/backup.md make one on a volume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from e2e.backups import (
    BUCKET,
    KEYS,
    TOLD_SECONDS,
    bucket_server,
    missing,
    ready_report,
    wait_backed_up,
    wait_synced,
    writing,
)
from e2e.bank import Bank, timed
from e2e.namespaces import restricted_namespace
from e2e.object_store import ObjectStore
from e2e.stack import Stack

pytestmark = pytest.mark.full

FACT = "The freight lift carries two tons."
QUESTION = "What does the freight lift carry?"
NAME, COPY_KEYS = "far-away", "copy-keys"


@pytest.fixture(scope="module")
def first(stack: Stack) -> Iterator[ObjectStore]:
    """The server of S3 with the destination."""
    with bucket_server(stack) as made:
        yield made


@pytest.fixture(scope="module")
def second(stack: Stack) -> Iterator[ObjectStore]:
    """The one with the copy."""
    with bucket_server(stack) as made:
        yield made


@pytest.fixture
def bank(stack: Stack, first: ObjectStore, second: ObjectStore) -> Iterator[Bank]:
    """A bank with a memory, whose backups are in both."""
    with restricted_namespace(stack, "copies") as namespace:
        first.credentials(KEYS, namespace)
        second.credentials(COPY_KEYS, namespace)
        backup = {
            "destination": at(first, KEYS),
            "copies": [{"name": NAME, **at(second, COPY_KEYS)}],
            "copyInterval": "2s",
        }
        made = Bank(stack, namespace, "twice", {"backup": backup})
        made.apply()
        made.wait_ready()
        made.remember(FACT)
        yield made


def at(store: ObjectStore, keys: str) -> dict[str, Any]:
    """A destination in the bucket of a server."""
    return {"s3": {
        "bucket": BUCKET, "endpoint": store.endpoint, "region": store.region,
        "secretRef": {"name": keys},
    }}  # fmt: skip


def wait_copies(bank: Bank, status: str) -> float:
    """Wait until the bank says that its copies go on (or do not); return how long it took."""
    with timed() as took:
        bank.stack.wait(
            f"CopiesHealthy={status}",
            lambda: bank.condition("CopiesHealthy").get("status") == status,
            seconds=TOLD_SECONDS, describe=lambda: bank.condition("CopiesHealthy"),
        )  # fmt: skip
    return took[0]


def wait_copied(bank: Bank) -> None:
    """Wait until what is at the destination by now is at the copy."""
    asked = datetime.now(UTC)

    def copied() -> bool:
        at = ready_report(bank)["copies"][0]["copied_at"]
        return at is not None and datetime.fromisoformat(at) > asked

    bank.stack.wait("a copy", copied, seconds=120, describe=lambda: ready_report(bank))


def begun_with_the_copy(bank: Bank, store: ObjectStore) -> Bank:
    """Make a bank that begins with the copy of another one; return it when it serves."""
    place = at(store, COPY_KEYS)
    restore = {"fromBank": {"name": bank.name}, "destination": place}
    spec = {"backup": {"destination": place}, "bootstrap": {"restore": restore}}
    again = replace(bank, name="again", spec=spec)
    again.apply()
    again.wait_ready()
    return again


def test_a_bank_comes_back_from_a_copy_that_was_away_for_a_while(
    bank: Bank,
    first: ObjectStore,
    second: ObjectStore,
    record_property: Callable[[str, object], None],
) -> None:
    wait_backed_up(bank)
    wait_copies(bank, "True")
    with second.down():
        with writing(bank) as acknowledged:
            record_property("seconds until the status says so", wait_copies(bank, "False"))
        said = bank.condition("CopiesHealthy")
        assert said["reason"] == "CopyFailing"
        assert NAME in said["message"]
        [copy] = (bank.get() or {})["status"]["backup"]["copies"]
        assert (copy["name"], bool(copy["problem"])) == (NAME, True)
        assert bank.is_ready(), "the bank serves"
        assert bank.condition("BackupHealthy")["status"] == "True", "the destination is there"
    record_property("seconds until it says that all is well", wait_copies(bank, "True"))
    wait_synced(bank)
    wait_copied(bank)
    [copy] = (bank.get() or {})["status"]["backup"]["copies"]
    assert "problem" not in copy
    with first.down():  # with all that it had
        again = begun_with_the_copy(bank, second)
        assert again.recall(QUESTION, limit=1) == [FACT]
        assert missing(again, acknowledged) == []


def test_the_last_that_was_stored_is_in_the_copy_when_a_pod_ends_in_order(
    bank: Bank, second: ObjectStore
) -> None:
    wait_copies(bank, "True")
    with writing(bank) as acknowledged:
        bank.stack.wait("memories", lambda: len(acknowledged) >= 50)
    bank.apply(hibernate=True)
    bank.stack.wait("no pods", lambda: not bank.pods(), seconds=180)
    again = begun_with_the_copy(bank, second)
    assert missing(again, acknowledged) == []
