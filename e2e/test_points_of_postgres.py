"""Recovery points of a bank in a PostgreSQL of somebody else, on a volume and in a bucket of a real
server of S3: taken under load, begun with, put back to.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest
import yaml

from e2e.backups import BUCKET, KEYS, bucket_server, wait_backed_up, writing
from e2e.bank import Bank
from e2e.cluster.paths import ROOT
from e2e.namespaces import restricted_namespace
from e2e.postgres import Postgres, name_database, postgres
from e2e.stack import Stack
from e2e.test_recovery_points import taken, wait_verified
from e2e.test_restores import restore, wait_phase

pytestmark = pytest.mark.full

EXAMPLE = ROOT / "examples/postgres-backup.yaml"
FACT = "The lift of the east wing is inspected in October."
MISTAKE = "The lift of the east wing was removed."
QUESTION = "inspection of the lift"


@pytest.fixture(scope="module")
def database(stack: Stack) -> Iterator[Postgres]:
    """A server for the databases of the banks."""
    with postgres(stack) as server:
        yield server


@pytest.fixture(scope="module")
def bank(stack: Stack, database: Postgres) -> Iterator[Bank]:
    """The bank of the example, which has a memory."""
    documents = list(yaml.safe_load_all(EXAMPLE.read_text()))
    [manifest] = [each for each in documents if each["kind"] == "MemoryBank"]
    with restricted_namespace(stack, "points") as namespace:
        stack.kubectl("-n", namespace, "apply", "-f", str(EXAMPLE))
        made = Bank(stack, namespace, manifest["metadata"]["name"], manifest["spec"])
        name_database(made, database.make_database("points"))
        made.wait_ready()
        made.remember(FACT)
        yield made


def test_a_bank_is_put_back_to_a_point_that_was_taken_under_load_and_forward_again(
    bank: Bank, stack: Stack
) -> None:
    with writing(bank) as acknowledged:
        stack.wait("memories", lambda: len(acknowledged) >= 30)
        known = len(acknowledged)
        point = taken(bank, "under-load", expireAfter="24h")
    assert point["memories"] >= known + 1
    assert "epoch" not in point
    wait_backed_up(bank)
    wait_verified(bank, "True")
    bank.remember(MISTAKE)
    restore(bank, "back", backup={"name": "under-load"})
    said = wait_phase(bank, "back", "Complete")
    assert said["restored"]["memories"] == point["memories"]
    bank.wait_ready()
    assert FACT in bank.recall(QUESTION)
    assert MISTAKE not in bank.recall(QUESTION)
    restore(bank, "back", backup={"name": "under-load"}, rollback=True)
    wait_phase(bank, "back", "RolledBack")
    bank.wait_ready()
    assert {FACT, MISTAKE} <= set(bank.recall(QUESTION))


def test_another_bank_begins_with_a_point_in_a_bucket(
    bank: Bank, stack: Stack, database: Postgres
) -> None:
    """One in an empty database, and one in SQLite."""
    with bucket_server(stack) as store:
        store.credentials(KEYS, bank.namespace)
        s3 = {
            "bucket": BUCKET, "endpoint": store.endpoint, "region": store.region,
            "secretRef": {"name": KEYS},
        }  # fmt: skip
        backup = bank.spec["backup"] | {"destination": {"s3": s3}}
        bank.apply(backup=backup)
        taken(bank, "in-the-bucket")
        begin = {"fromBank": {"name": bank.name}, "backup": "in-the-bucket"}
        begins = {"backup": backup, "bootstrap": {"restore": begin}}
        address = {"urlSecretRef": {"name": "copied-database", "key": "url"}}
        copied = replace(
            bank, name="copied",
            spec=bank.spec | begins | {"storage": {"engine": "postgres", "postgres": address}},
        )  # fmt: skip
        name_database(copied, database.make_database("copied"))
        in_sqlite = {"backup": {"destination": {"s3": s3}}, "bootstrap": {"restore": begin}}
        file = replace(bank, name="in-a-file", spec=in_sqlite)
        for made in (copied, file):
            made.apply()
            made.wait_ready()
            assert FACT in made.recall(QUESTION)
