"""The load decides how many pods a bank has: a real metrics server measures it, the cluster's own
HorizontalPodAutoscaler decides.
"""

from __future__ import annotations

import json
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from e2e.asker import asked, place_asker
from e2e.bank import Bank
from e2e.metrics_server import metrics_server
from e2e.namespaces import restricted_namespace
from e2e.postgres import name_database, postgres
from e2e.stack import Stack

pytestmark = pytest.mark.full

PODS = 3
SECONDS = 600
"""Figures come each 15 seconds, decisions follow as often; a loaded machine takes its time."""
CLIENTS = 8
SPEC: dict[str, Any] = {
    "storage": {
        "engine": "postgres",
        "postgres": {"urlSecretRef": {"name": "agents-database", "key": "url"}},
    },
    "autoscaling": {
        "minReplicas": 1,
        "maxReplicas": PODS,
        "targetCPUUtilization": 70,
        "targetMemoryUtilization": 0,
        "behavior": {
            "scaleDown": {
                "stabilizationWindowSeconds": 30,
                "policies": [{"type": "Pods", "value": 1, "periodSeconds": 15}],
            }
        },
    },
    "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
}


@pytest.fixture(scope="module")
def bank(stack: Stack) -> Iterator[Bank]:
    """A bank with an autoscaler that has figures."""
    with (
        metrics_server(stack),
        postgres(stack) as database,
        restricted_namespace(stack, "autoscaled") as name,
    ):
        made = Bank(stack, name, "agents", SPEC)
        name_database(made, database.make_database("bank"))
        made.apply()
        made.wait_ready()
        made.remember("The spare keys of the archive are in the red cabinet.")
        place_asker(made)
        yield made


def utilization(bank: Bank) -> int | None:
    """What the autoscaler knows of the pods' CPU time, in percent of their requests."""
    status = (bank.child("hpa") or {}).get("status", {})
    for each in status.get("currentMetrics") or ():
        # Before the first figures there is one without a resource.
        found: int | None = each.get("resource", {}).get("current", {}).get("averageUtilization")
        return found
    return None


def serving(bank: Bank) -> int:
    return int((bank.get() or {})["status"].get("readyReplicas", 0))


def wait_serving(bank: Bank, pods: int) -> None:
    bank.stack.wait(
        f"{pods} pods", lambda: serving(bank) == len(bank.pods()) == pods and bank.is_ready(),
        seconds=SECONDS,
        describe=lambda: (serving(bank), bank.condition(), bank.child("hpa")),
    )  # fmt: skip


@dataclass
class Record:
    """How many pods a Deployment was to have, since when, as it changed."""

    started: float = field(default_factory=time.monotonic)
    steps: list[tuple[int, float]] = field(default_factory=list)

    def note(self, pods: int) -> None:
        if pods not in self.numbers[-1:]:
            self.steps.append((pods, round(time.monotonic() - self.started, 1)))

    @property
    def numbers(self) -> list[int]:
        return [pods for pods, _ in self.steps]


@contextmanager
def recorded(bank: Bank) -> Iterator[Record]:
    """Record that while the block runs, none left out: what a watch tells is complete."""
    command = [
        str(bank.stack.kubectl_binary), "-n", bank.namespace, "get", "deployment", bank.name,
        "--watch", "-o", r'jsonpath={.spec.replicas}{"\n"}',
    ]  # fmt: skip
    record = Record()
    with subprocess.Popen(
        command, env=bank.stack.environment, stdout=subprocess.PIPE, text=True
    ) as watch:
        assert watch.stdout is not None
        record.note(int(watch.stdout.readline()))
        lines = watch.stdout

        def follow() -> None:
            for line in lines:
                record.note(int(line))

        follower = threading.Thread(target=follow)
        follower.start()
        try:
            yield record
            assert watch.poll() is None, "the watch ended by itself"
        finally:
            watch.terminate()
            follower.join()


def wait_looked_at(bank: Bank) -> None:
    """Have the operator look at all objects of the bank once more."""
    word = f"at-{time.monotonic_ns()}"
    bank.stack.kubectl(
        "-n", bank.namespace, "annotate", "--overwrite", "mb", bank.name,
        f"memorybank.dev/resync={word}",
    )  # fmt: skip
    bank.stack.wait(
        "the operator's look", lambda: (bank.get() or {})["status"].get("resync") == word
    )


def test_a_load_that_needs_three_pods_gets_them_and_gives_them_back(
    bank: Bank, record_property: Callable[[str, object], None]
) -> None:
    target = SPEC["autoscaling"]["targetCPUUtilization"]
    bank.stack.wait(
        "figures of a bank that has nothing to do",
        lambda: (known := utilization(bank)) is not None and known < target // 2,
        seconds=SECONDS, describe=lambda: json.dumps(bank.child("hpa")),
    )  # fmt: skip
    wait_serving(bank, 1)
    with recorded(bank) as record:
        with asked(bank, clients=CLIENTS) as loaded:
            wait_serving(bank, PODS)
            wait_looked_at(bank)
        with asked(bank, pause=1) as idle:  # what is given back is missed by nobody
            wait_serving(bank, 1)
    record_property("pods, since when", record.steps)
    record_property("asked by many", loaded)
    record_property("asked by one", idle)
    numbers = record.numbers
    highest = numbers.index(PODS)
    assert numbers[: highest + 1] == sorted(numbers[: highest + 1]), f"not up alone: {numbers}"
    assert numbers[highest:] == sorted(numbers[highest:], reverse=True), f"not down: {numbers}"
    assert (numbers[0], numbers[-1]) == (1, 1)
    bank.stack.wait(
        "nothing amiss", lambda: not bank.condition("Degraded"),
        describe=lambda: bank.condition("Degraded"),
    )  # fmt: skip
    assert bank.recall("keys of the archive")
