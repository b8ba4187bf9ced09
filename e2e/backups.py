"""What tests of backups do with banks, and the buckets that these have them in."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import httpx
import yaml

from e2e.bank import Bank, timed
from e2e.cluster.paths import ROOT
from e2e.namespaces import restricted_namespace
from e2e.object_store import ObjectStore, object_store
from e2e.stack import Stack

TOLD_SECONDS = 90
"""The goal is 60, of a machine that has nothing else to do."""
BUCKET, KEYS = "agents", "backup-keys"


def example(name: str) -> dict[str, Any]:
    """The MemoryBank of one of examples/."""
    documents = yaml.safe_load_all((ROOT / "examples" / name).read_text())
    [found] = [dict(each) for each in documents if each["kind"] == "MemoryBank"]
    return found


@contextmanager
def bucket_server(stack: Stack, size: str | None = None) -> Iterator[ObjectStore]:
    """Run a server of S3 with a bucket until the block ends; its disk has a size when one is
    given.
    """
    with object_store(stack, size) as made:
        made.make_bucket(BUCKET)
        yield made


@contextmanager
def bank_in_bucket(stack: Stack, store: ObjectStore, **more: Any) -> Iterator[Bank]:
    """Run the bank of the example whose backups are in a bucket, on the cluster's server, with
    `more` in its spec.
    """
    manifest = example("backup-s3.yaml")
    manifest["spec"] |= more
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


@contextmanager
def bank_on_volume(stack: Stack) -> Iterator[Bank]:
    """Run the bank of the example whose backups are on a volume."""
    with restricted_namespace(stack, "backups") as namespace:
        manifest = example("backup-volume.yaml")
        stack.kubectl("-n", namespace, "apply", "-f", str(ROOT / "examples/backup-volume.yaml"))
        bank = Bank(stack, namespace, manifest["metadata"]["name"], manifest["spec"])
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


def wait_synced(bank: Bank) -> None:
    """Wait until what is stored by now is at the destination."""
    asked = datetime.now(UTC)
    bank.stack.wait(
        "a sync", lambda: synced_at(bank) > asked, seconds=120,
        describe=lambda: ready_report(bank),
    )  # fmt: skip


def synced_at(bank: Bank) -> datetime:
    """When everything was at the destination last."""
    said = ready_report(bank)["synced_at"]
    return datetime.min.replace(tzinfo=UTC) if said is None else datetime.fromisoformat(said)


def claim_uid(bank: Bank) -> str:
    """The uid of the claim of its volume."""
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
