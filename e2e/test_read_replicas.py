"""Read replicas of a bank whose backups are in a bucket, on the real cluster with a real server of
S3; the commands of docs/banks/read-replicas.md do it on a volume.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx
import pytest

from e2e.asker import asked, place_asker
from e2e.backups import bank_in_bucket, bucket_server, wait_backed_up
from e2e.bank import Bank
from e2e.stack import Stack

pytestmark = pytest.mark.full

FACT = "The crane of the south quay is oiled in May."
QUESTION = "oil for the crane"
SECONDS = 180
PODS = 2


@pytest.fixture
def bank(stack: Stack) -> Iterator[Bank]:
    """A bank with a memory and two read replicas that answer."""
    with bucket_server(stack) as store, bank_in_bucket(stack, store) as made:
        made.remember(FACT)
        wait_backed_up(made)
        made.apply(readReplicas={"replicas": PODS, "maxLag": "30s"})
        stack.wait(
            "the read replicas answer", lambda: told(made).get("readyReplicas") == PODS,
            seconds=SECONDS, describe=lambda: told(made),
        )  # fmt: skip
        yield made


def told(bank: Bank) -> dict[str, Any]:
    """What the status says of the read replicas."""
    found: dict[str, Any] = (bank.get() or {}).get("status", {}).get("readReplicas", {})
    return found


def names(bank: Bank) -> set[str]:
    """The pods that the Service of the read replicas leads to."""
    label = f"kubernetes.io/service-name={bank.name}-read"
    slices = json.loads(
        bank.stack.kubectl("-n", bank.namespace, "get", "endpointslices", "-l", label, "-o", "json")
    )["items"]
    return {
        each["targetRef"]["name"]
        for part in slices
        for each in part.get("endpoints") or ()
        if each["conditions"].get("ready")
    }


@contextmanager
def replica(bank: Bank, target: str) -> Iterator[httpx.Client]:
    """A client of a pod, or of the Service, of the read replicas."""
    headers = {
        "Host": f"{bank.name}-read.{bank.namespace}.svc:8080",
        "Authorization": f"Bearer {bank.key()}",
    }
    with (
        bank.stack.port_forward(target, 8080, bank.namespace) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30) as client,
    ):
        yield client


def found(bank: Bank, target: str) -> int:
    """How many memories a search there finds."""
    with replica(bank, target) as client:
        answer = client.post("/v1/search", json={"query": QUESTION})
    answer.raise_for_status()
    return len(answer.json()["results"])


def arrived(bank: Bank, pod: str, count: int) -> bool:
    """Whether a replica finds so many memories."""
    return found(bank, f"pod/{pod}") == count


def wait_for_others(bank: Bank, lost: str) -> None:
    """Wait until another replica answers in the place of one."""
    bank.stack.wait(
        "another one answers",
        lambda: lost not in names(bank) and len(names(bank)) == PODS,
        seconds=SECONDS, describe=lambda: names(bank),
    )  # fmt: skip


def test_searches_go_to_replicas_that_follow_and_no_write_does(
    bank: Bank, stack: Stack, record_property: Callable[[str, object], None]
) -> None:
    service = f"service/{bank.name}-read"
    assert found(bank, service) == 1
    for month in ("June", "July", "August"):
        began, count = time.monotonic(), found(bank, service) + 1
        bank.remember(f"The crane of the south quay is oiled in {month}.")
        for pod in names(bank):
            stack.wait("it arrived", partial(arrived, bank, pod, count), seconds=SECONDS)
        took = round(time.monotonic() - began, 1)
        record_property("seconds from a write to a read everywhere", took)
    with replica(bank, service) as client:
        refused = client.post("/v1/memories", json={"content": "Nothing is written here."})
    assert refused.status_code == 403
    error = refused.json()["error"]
    assert error["code"] == "read_only"
    assert error["hint"] == f"write to http://{bank.host}"
    stack.wait("the lag is told", lambda: told(bank).get("lagSeconds"), seconds=SECONDS)
    assert told(bank)["lagSeconds"] <= 30
    assert bank.is_ready()
    assert (bank.get() or {})["status"]["replicas"] == 1


def test_searches_go_on_when_a_replica_is_lost_and_when_the_bank_is(
    bank: Bank, stack: Stack, record_property: Callable[[str, object], None]
) -> None:
    service = f"{bank.name}-read"
    place_asker(bank)
    first, _ = sorted(names(bank))
    with asked(bank, service=service, clients=2) as drained:
        stack.kubectl("-n", bank.namespace, "delete", "pod", first)
        wait_for_others(bank, first)
    record_property("asked, and again, while one was drained", (drained["asked"], drained["again"]))
    assert drained["again"] == 0

    second, _ = sorted(names(bank))
    with asked(bank, service=service, clients=2) as killed:
        stack.kubectl("-n", bank.namespace, "delete", "pod", second, "--grace-period=0", "--force")
        wait_for_others(bank, second)
    record_property("asked, and again, while one was killed", (killed["asked"], killed["again"]))

    [pod] = bank.pods()
    replicas = names(bank)
    with asked(bank, service=service, clients=2) as without:
        stack.kubectl("-n", bank.namespace, "delete", "pod", pod["metadata"]["name"])
        stack.wait(
            "the bank's next pod serves",
            lambda: pod["metadata"]["uid"] not in {each["metadata"]["uid"] for each in bank.pods()}
            and bank.is_ready(),
            seconds=SECONDS, describe=bank.condition,
        )  # fmt: skip
        bank.remember("The crane of the south quay is oiled in June.")
        for name in names(bank):
            stack.wait("it arrived", partial(arrived, bank, name, 2), seconds=SECONDS)
    record_property("asked, and again, without the bank", (without["asked"], without["again"]))
    assert without["again"] == 0
    assert names(bank) == replicas, "they go over to what the bank goes on in"
