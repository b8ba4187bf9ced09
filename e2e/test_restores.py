"""A bank is put back in place, on the real cluster with a real server of S3; the commands of
docs/banks/backup.md do it on a volume.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from e2e.backups import (
    bank_in_bucket,
    epoch,
    wait_backed_up,
    wait_synced,
)
from e2e.bank import Bank, timed
from e2e.chroma import load_chroma, wait_for_vectors
from e2e.object_store import ObjectStore
from e2e.stack import Stack

pytestmark = pytest.mark.full

FACT = "The freight lift carries two tons."
QUESTION = "What does the freight lift carry?"
MISTAKE = "The freight lift carries two hundred tons."
RESTORED_SECONDS = 600
SPOILT = """
import os
with open("/data/memory_bank.db", "r+b") as file:
    size = os.fstat(file.fileno()).st_size
    for page in range(1, size // 4096):
        file.seek(page * 4096)
        file.write(bytes(4096))
"""
"""What a broken disk leaves of a database: its first page, and nothing else."""


@pytest.fixture
def bank(stack: Stack, store: ObjectStore) -> Iterator[Bank]:
    """A bank with a memory, whose backups are in the bucket."""
    with bank_in_bucket(stack, store) as made:
        made.remember(FACT)
        wait_synced(made)
        yield made


def restore(bank: Bank, name: str, **spec: Any) -> None:
    """Ask for a restore, or change what is asked for."""
    bank.stack.apply(
        {
            "apiVersion": "memorybank.dev/v1alpha1",
            "kind": "MemoryBankRestore",
            "metadata": {"name": name, "namespace": bank.namespace},
            "spec": {"bank": {"name": bank.name}, **spec},
        }
    )


def wait_phase(bank: Bank, name: str, *phases: str) -> dict[str, Any]:
    """Wait until a restore is in one of these phases; return its status."""
    bank.stack.wait(
        f"{name} {phases}", lambda: status(bank, name).get("phase") in phases,
        seconds=RESTORED_SECONDS, describe=lambda: status(bank, name),
    )  # fmt: skip
    return status(bank, name)


def status(bank: Bank, name: str) -> dict[str, Any]:
    """What a restore's status says."""
    found = bank.stack.get("memorybankrestore", name, bank.namespace) or {}
    return dict(found.get("status", {}))


def told(bank: Bank, name: str) -> str:
    """Why a restore is not Complete."""
    conditions = status(bank, name).get("conditions", [])
    return str(next((each["message"] for each in conditions if each["type"] == "Complete"), ""))


def uids(bank: Bank) -> list[str]:
    """The uids of its pods."""
    return [str(pod["metadata"]["uid"]) for pod in bank.pods()]


def test_a_bank_goes_back_to_a_moment_and_forward_again(
    bank: Bank, record_property: Callable[[str, object], None]
) -> None:
    moment = datetime.now(UTC)
    bank.remember(MISTAKE)
    wait_synced(bank)
    with timed() as took:
        restore(bank, "undo", timestamp=moment.isoformat(timespec="milliseconds"))
        done = wait_phase(bank, "undo", "Complete", "Failed")
    assert done["phase"] == "Complete", done
    record_property("seconds until it served again", took[0])
    bank.wait_ready()
    assert bank.recall(QUESTION) == [FACT]
    assert done["safetyBackup"]
    wait_backed_up(bank)

    restore(bank, "undo", timestamp=moment.isoformat(timespec="milliseconds"), rollback=True)
    wait_phase(bank, "undo", "RolledBack")
    bank.wait_ready()
    assert sorted(bank.recall(QUESTION)) == sorted([FACT, MISTAKE])
    wait_backed_up(bank)


def test_what_cannot_be_restored_leaves_the_bank_alone(bank: Bank) -> None:
    before = uids(bank)
    restore(bank, "too-early", timestamp="2020-01-01T00:00:00Z")
    wait_phase(bank, "too-early", "Failed")
    assert "2020-01-01" in told(bank, "too-early")
    restore(bank, "no-point", backup={"name": "no-such-point"})
    wait_phase(bank, "no-point", "Failed")
    assert "no-such-point" in told(bank, "no-point")
    restore(bank, "only-try", latest=True, check=True)
    tried = wait_phase(bank, "only-try", "Complete", "Failed")
    assert tried["phase"] == "Complete", tried
    assert tried["restored"]["memories"] >= 1
    assert uids(bank) == before
    assert bank.recall(QUESTION) == [FACT]


def test_a_bank_with_a_chroma_is_searched_while_that_is_filled_anew(
    stack: Stack, store: ObjectStore
) -> None:
    own = {"managed": {"image": load_chroma(stack)}}
    vector = {"provider": "chroma", "chroma": own}
    with bank_in_bucket(stack, store, vector=vector) as bank:
        bank.remember(FACT)
        wait_for_vectors(bank)
        wait_synced(bank)
        moment = datetime.now(UTC)
        bank.remember(MISTAKE)
        wait_for_vectors(bank)
        restore(bank, "undo", timestamp=moment.isoformat(timespec="milliseconds"))
        done = wait_phase(bank, "undo", "Complete", "Failed")
        assert done["phase"] == "Complete", done
        assert bank.recall(QUESTION) == [FACT], "whether Chroma has it already or not"
        wait_for_vectors(bank)
        assert bank.recall(QUESTION, mode="vector") == [FACT], "and nothing of what was undone"


def test_a_bank_whose_database_is_spoilt_comes_back(bank: Bank) -> None:
    good = epoch(bank)
    [pod] = bank.pods()
    bank.stack.kubectl(
        "-n", bank.namespace, "exec", pod["metadata"]["name"], "-c", "memorybank", "--",
        "/opt/memorybank/bin/python", "-c", SPOILT,
    )  # fmt: skip
    bank.stack.kubectl(
        "-n", bank.namespace, "delete", "pod", pod["metadata"]["name"], "--grace-period=0",
        "--force",
    )  # fmt: skip
    bank.wait_not_ready(seconds=300)
    restore(bank, "mend", epoch=good)
    done = wait_phase(bank, "mend", "Complete", "Failed")
    assert done["phase"] == "Complete", done
    bank.wait_ready()
    assert bank.recall(QUESTION) == [FACT]
    wait_backed_up(bank)
