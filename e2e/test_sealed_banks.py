"""A bank on the real cluster whose bucket is opened by its owner's key alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from e2e.backups import lose_volume, wait_backed_up, wait_synced
from e2e.bank import Bank
from e2e.namespaces import restricted_namespace
from e2e.sealed_store import BUCKET, SealedStore, kept, opened_without_its_key, sealed_store
from e2e.stack import Stack
from tests.support.sealed_bucket import new_key

pytestmark = pytest.mark.full

FACT = "The vault is opened by two people at once."
QUESTION = "Who opens the vault?"


@pytest.fixture(scope="module")
def store(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SealedStore]:
    """The server of S3."""
    with sealed_store(stack, tmp_path_factory.mktemp("sealed")) as made:
        yield made


@pytest.fixture
def bank(stack: Stack, store: SealedStore) -> Iterator[Bank]:
    """A bank with a memory, whose backups are encrypted by a key that the server does not keep."""
    with restricted_namespace(stack, "sealed") as namespace:
        store.secret(
            "keys", namespace, accessKeyId=store.access_key, secretAccessKey=store.secret_key
        )
        store.secret("authority", namespace, **{"ca.crt": store.authority})
        store.secret("sealing", namespace, customerKey=new_key())
        s3 = {
            "bucket": BUCKET, "endpoint": store.endpoint, "secretRef": {"name": "keys"},
            "caSecretRef": {"name": "authority"},
            "encryption": {"customerKeySecretRef": {"name": "sealing"}},
        }  # fmt: skip
        made = Bank(stack, namespace, "sealed", {"backup": {"destination": {"s3": s3}}})
        made.apply()
        made.wait_ready()
        made.remember(FACT)
        yield made


def test_a_bank_comes_back_from_a_bucket_that_only_its_owners_key_opens(
    bank: Bank, store: SealedStore
) -> None:
    wait_backed_up(bank)
    wait_synced(bank)
    with store.client() as client:
        assert kept(client)
        assert opened_without_its_key(client) == []
    lose_volume(bank)
    assert bank.recall(QUESTION, limit=1) == [FACT]
    store.secret("sealing", bank.namespace, customerKey=new_key())
    said = "encrypted by a customer key which is not the one that is named"
    bank.stack.wait(
        "the bank says that it has another key",
        lambda: said in bank.condition("BackupHealthy").get("message", ""),
        seconds=180, describe=lambda: bank.condition("BackupHealthy"),
    )  # fmt: skip
    assert bank.condition("BackupHealthy")["status"] == "False"
    assert bank.recall(QUESTION, limit=1) == [FACT]
