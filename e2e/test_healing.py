"""What breaks comes back by itself, with keys and memories intact."""

from __future__ import annotations

import json
import signal
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import yaml

from e2e.bank import Bank
from e2e.cluster.paths import ROOT
from e2e.processes import signal_pod
from e2e.stack import OPERATOR_NAMESPACE, CommandFailed, Stack

OWN_KEY = ROOT / "examples/own-key.yaml"
FAILOVER = timedelta(seconds=30)
"""The Lease runs out after 15 s, and is looked at every 2 s by an operator that may be kept waiting
for the processor; how long that takes on a quiet machine is measured by `make proof`.
"""
HAND_OVER = timedelta(seconds=12)
"""Less than the Lease lasts after its last renewal."""

FACT = "Customers in Norway get their parcels by ship."
QUESTION = "How do we deliver to Scandinavia?"


def crash_app(bank: Bank) -> None:
    assert signal_pod(bank.pods()[0]["metadata"]["uid"], signal.SIGKILL) > 0


def delete_pod(bank: Bank) -> None:
    name = bank.pods()[0]["metadata"]["name"]
    bank.stack.kubectl("-n", bank.namespace, "delete", "pod", name, "--wait=false")


def delete_deployment(bank: Bank) -> None:
    bank.stack.kubectl("-n", bank.namespace, "delete", "deployment", bank.name)


def delete_config(bank: Bank) -> None:
    bank.stack.kubectl("-n", bank.namespace, "delete", "configmap", f"{bank.name}-config")


def delete_service(bank: Bank) -> None:
    bank.stack.kubectl("-n", bank.namespace, "delete", "service", bank.name)


def scale_deployment_by_hand(bank: Bank) -> None:
    bank.stack.kubectl("-n", bank.namespace, "scale", "deployment", bank.name, "--replicas=0")


KUBELET_SECONDS = 150
"""A kubelet brings a changed Secret into a pod within a minute and a half."""

DAMAGES = [
    crash_app,
    delete_pod,
    delete_deployment,
    delete_config,
    delete_service,
    scale_deployment_by_hand,
]


def answers(bank: Bank, key: str) -> Callable[[], bool]:
    def probe() -> bool:
        try:
            return bank.recall(QUESTION, key=key) == [FACT]
        except (httpx.HTTPError, CommandFailed, LookupError):
            return False  # broken just now, as expected: the next poll asks again

    return probe


def test_a_bank_comes_back_from_every_damage(bank: Bank) -> None:
    bank.remember(FACT)
    key = bank.key()
    for damage in DAMAGES:
        damage(bank)
        bank.stack.wait(f"memories found after {damage.__name__}", answers(bank, key))
        bank.wait_ready()
        assert bank.key() == key


def put_back(bank: Bank, stack: Stack) -> None:
    """Somebody works on banks: a deleted object comes back."""
    bank.stack.kubectl("-n", bank.namespace, "delete", "configmap", f"{bank.name}-config")
    stack.wait("the ConfigMap put back", lambda: bank.child("configmap", "-config"))
    bank.wait_ready()


def test_a_killed_operator_is_followed_by_another_and_banks_are_left_alone(
    bank: Bank, stack: Stack
) -> None:
    bank.remember(FACT)
    before = [pod["metadata"]["uid"] for pod in bank.pods()]
    killed, pod = stack.leader(), stack.leading_pod()
    ended = datetime.now(UTC)
    assert signal_pod(pod, signal.SIGKILL) > 0
    stack.wait("another leader", lambda: stack.leader() not in ("", killed))
    assert datetime.fromisoformat(stack.lease()["acquireTime"]) - ended < FAILOVER
    put_back(bank, stack)
    assert [pod["metadata"]["uid"] for pod in bank.pods()] == before
    assert bank.recall(QUESTION) == [FACT]


def test_an_operator_that_is_shut_down_hands_over_at_once(bank: Bank, stack: Stack) -> None:
    leaving, renewed = stack.leader(), stack.lease()["renewTime"]
    pod = leaving.rpartition("_")[0]
    stack.kubectl("-n", OPERATOR_NAMESPACE, "delete", "pod", pod, "--wait=false")

    def is_followed() -> bool:
        nonlocal renewed
        lease = stack.lease()
        if lease.get("holderIdentity") == leaving:
            renewed = lease["renewTime"]  # it leads until its work is done
        return lease.get("holderIdentity") not in ("", leaving)

    stack.wait("another leader", is_followed)
    taken = datetime.fromisoformat(stack.lease()["acquireTime"])
    assert taken - datetime.fromisoformat(renewed) < HAND_OVER
    put_back(bank, stack)


def test_a_lost_key_is_replaced_while_the_pod_goes_on(bank: Bank) -> None:
    bank.remember(FACT)
    lost = bank.key()
    pods = [pod["metadata"]["uid"] for pod in bank.pods()]
    bank.stack.kubectl("-n", bank.namespace, "delete", "secret", f"{bank.name}-key")
    bank.stack.wait("a new key", lambda: bank.child("secret", "-key"))
    new = bank.key()
    assert new != lost
    found = answers(bank, new)
    bank.stack.wait(
        "memories found with the new key",
        lambda: bank.hurry_kubelet() and found(),
        seconds=KUBELET_SECONDS,
    )
    bank.wait_ready()
    with bank.http(lost) as client:
        assert client.get("/v1/memories").status_code == 200, "good for five minutes more"
    assert [pod["metadata"]["uid"] for pod in bank.pods()] == pods
    bank.wait_told("KeyReplaced")
    events = dict(bank.events())
    assert lost not in str(events)
    assert new not in str(events)


@pytest.mark.parametrize("field", ["image", "storageClassName"])
def test_a_bank_that_cannot_start_says_why_and_heals_when_corrected(
    stack: Stack, namespace: str, field: str
) -> None:
    wrong_specs: dict[str, dict[str, Any]] = {
        "image": {"image": "localhost/no-such-image:1", "imagePullPolicy": "Never"},
        "storageClassName": {"storage": {"volume": {"storageClassName": "no-such-class"}}},
    }
    bank = Bank(stack, namespace, "broken")
    bank.apply(**wrong_specs[field])
    stack.wait(
        "the cause in Ready",
        lambda: "no-such" in bank.condition().get("message", ""),
        describe=bank.condition,
    )
    shown = bank.condition()
    assert shown["status"] == "False"
    assert field in shown["message"]
    if field == "storageClassName":
        # The class is immutable once chosen, so the cure is a class of that name.
        stack.kubectl("apply", "-f", "-", stdin=copy_of_default_class(stack, "no-such-class"))
    else:
        bank.apply()
    try:
        bank.wait_ready()
    finally:
        if field == "storageClassName":
            stack.kubectl("delete", "storageclass", "no-such-class", "--ignore-not-found")


def test_a_missing_key_secret_is_named_and_heals_when_it_appears(
    stack: Stack, namespace: str
) -> None:
    secret, manifest = yaml.safe_load_all(OWN_KEY.read_text())
    bank = Bank(stack, namespace, manifest["metadata"]["name"], manifest["spec"])
    bank.apply()
    bank.wait_not_ready("AdminKeySecretNotFound")
    assert "adminKeySecretRef" in bank.condition()["message"]
    bank.apply_example("own-key")
    bank.wait_ready()
    assert bank.recall(QUESTION, key=secret["stringData"]["token"]) == []


def test_a_missing_key_of_a_bucket_is_named_and_no_pod_is_made_without(
    stack: Stack, namespace: str
) -> None:
    bank = Bank(stack, namespace, "archive")
    bank.apply_example("backup-s3")
    missed = bank.wait_not_ready("SecretNotFound")
    assert "spec.backup.destination.s3.secretRef.name: Secret bucket-key" in missed["message"]
    assert bank.child("deployment") is None


def copy_of_default_class(stack: Stack, name: str) -> str:
    """The cluster's default StorageClass under another name, as a manifest."""
    classes = json.loads(stack.kubectl("get", "storageclass", "-o", "json"))["items"]
    default = next(
        item
        for item in classes
        if item["metadata"]
        .get("annotations", {})
        .get("storageclass.kubernetes.io/is-default-class")
        == "true"
    )
    default["metadata"] = {"name": name}
    return json.dumps(default)
