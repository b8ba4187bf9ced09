"""A bank's disk that really gets full: a small file system of its own in the node's memory.

The cluster's volume provisioner plays the storage driver and its resizer: it enlarges the file
system that the claim stands for, in use, and then says so in volume and claim. All else is as
anywhere: the kubelet mounts the volume, the pod fills it and tells how full it is, the operator
asks for more.
"""

from __future__ import annotations

import contextlib
from typing import Any

import httpx
import pytest
import yaml

from e2e.bank import Bank
from e2e.cluster.paths import ROOT
from e2e.stack import CommandFailed, Stack

FACT = "The annual audit of the warehouse begins on the second Monday of March."
QUESTION = "When is the warehouse audited?"
MI = 2**20
EXAMPLE = ROOT / "examples/growing.yaml"
SMALL = {"thresholdPercent": 70, "step": "32Mi", "maxSize": "96Mi"}
"""What differs from the example: a disk that a test can fill."""
FILL = """
import os, sys
path, share = "/data/ballast", float(sys.argv[1])
with open(path, "ab") as file:
    while True:
        disk = os.statvfs("/data")
        if disk.f_bavail <= disk.f_blocks * (1 - share):
            break
        try:
            file.write(b"x" * disk.f_frsize)
            file.flush()
        except OSError:
            break
"""
"""Fills the disk to a share of it, next to the database."""


def volume(size: str, **more: Any) -> dict[str, Any]:
    return {"storage": {"volume": {"size": size, "storageClassName": "memory", **more}}}


def fill(bank: Bank, share: float) -> None:
    bank.stack.kubectl(
        "-n", bank.namespace, "exec", f"deploy/{bank.name}", "--",
        "python", "-c", FILL, str(share),
    )  # fmt: skip


def disk_bytes(bank: Bank) -> int:
    """Size of the file system that the pod sees."""
    said = bank.stack.kubectl(
        "-n", bank.namespace, "exec", f"deploy/{bank.name}", "--",
        "python", "-c", "import os; d = os.statvfs('/data'); print(d.f_blocks * d.f_frsize)",
    )  # fmt: skip
    return int(said)


def wait_capacity(bank: Bank, size: str) -> None:
    def has() -> bool:
        status = (bank.get() or {}).get("status", {})
        return bool((status.get("storage") or {}).get("capacity") == size)

    bank.stack.wait(f"a volume of {size}", has, describe=bank.get)


def wait_low(bank: Bank, reason: str | None) -> None:
    bank.stack.wait(
        f"DiskLow {reason}",
        lambda: bank.condition("DiskLow").get("reason") == reason,
        describe=bank.get,
    )


def identity(bank: Bank) -> tuple[str, int]:
    """Which pod it is, and how often its container was started."""
    (pod,) = bank.pods()
    return pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"]


def test_a_larger_size_gives_the_running_pod_more_room(stack: Stack, namespace: str) -> None:
    bank = Bank(stack, namespace, "edited", volume("32Mi"))
    bank.apply()
    bank.wait_ready()
    bank.remember(FACT)
    before = identity(bank)
    assert disk_bytes(bank) == 32 * MI
    bank.apply(**volume("48Mi"))
    wait_capacity(bank, "48Mi")
    assert disk_bytes(bank) == 48 * MI
    assert identity(bank) == before
    assert bank.recall(QUESTION) == [FACT]
    bank.wait_told("VolumeGrows", "VolumeGrown")
    with pytest.raises(CommandFailed, match="cannot be smaller than the volume is"):
        bank.apply(**volume("32Mi"))


def test_a_disk_that_gets_full_grows_by_itself_and_the_bank_takes_memories_again(
    stack: Stack, namespace: str
) -> None:
    manifest = yaml.safe_load(EXAMPLE.read_text())
    grows = manifest["spec"]["storage"]["volume"]["autoGrow"] | SMALL
    bank = Bank(stack, namespace, manifest["metadata"]["name"], volume("32Mi", autoGrow=grows))
    bank.apply()
    bank.wait_ready()
    bank.remember(FACT)
    before = identity(bank)

    fill(bank, 0.75)  # it grows before it is full
    wait_capacity(bank, "64Mi")
    assert disk_bytes(bank) == 64 * MI
    wait_low(bank, None)
    bank.wait_ready()

    fill(bank, 1.0)  # and when somebody was faster
    with contextlib.suppress(httpx.HTTPError, CommandFailed):
        bank.remember("There is no room for this one, or just about.")
    wait_capacity(bank, "96Mi")
    bank.wait_ready()
    bank.remember("The new shelves hold two tons each.")
    assert bank.recall(QUESTION)[0] == FACT

    fill(bank, 0.9)
    wait_low(bank, "MaximumReached")
    assert "maxSize: raise that" in bank.condition("DiskLow")["message"]
    assert identity(bank) == before
    spec = (bank.get() or {})["spec"]
    assert spec["storage"]["volume"]["size"] == "32Mi"
    bank.wait_told("MaximumReached")
    assert [reason for reason, _ in bank.events()].count("VolumeGrows") == 2
