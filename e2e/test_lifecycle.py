"""A bank from apply to deletion, as a platform team sees it."""

from __future__ import annotations

import pytest

from e2e.bank import Bank
from e2e.stack import CommandFailed, Stack

FACT = "The billing service keeps its invoices for ten years."
QUESTION = "How long do we have to store bills?"


def test_kubectl_get_shows_what_a_person_needs(shared_bank: Bank) -> None:
    table = shared_bank.stack.kubectl("-n", shared_bank.namespace, "get", "mb")
    header, row = table.strip().splitlines()
    assert header.split() == ["NAME", "READY", "REASON", "VERSION", "URL", "AGE"]
    assert row.split()[:2] == ["agents", "True"]
    assert f"http://{shared_bank.host}" in row


def test_kubectl_wait_and_explain_are_useful(shared_bank: Bank) -> None:
    waited = shared_bank.stack.kubectl(
        "-n", shared_bank.namespace, "wait", "--for=condition=Ready", "mb/agents", "--timeout=10s"
    )
    assert "condition met" in waited
    explained = shared_bank.stack.kubectl("explain", "mb.spec", "--recursive")
    assert "deletionPolicy" in explained
    described = shared_bank.stack.kubectl("explain", "mb.spec.storage.volume.size")
    assert "DESCRIPTION" in described
    assert "<empty>" not in described


def test_a_bank_without_any_spec_works(stack: Stack, namespace: str) -> None:
    bank = Bank(stack, namespace, "plain")
    stack.apply({key: value for key, value in bank.manifest().items() if key != "spec"})
    bank.wait_ready()
    bank.remember(FACT)
    assert bank.recall(QUESTION) == [FACT]


def test_an_agent_in_a_pod_uses_the_mounted_secret_alone(bank: Bank) -> None:
    stack = bank.stack
    job = stack.kubectl("kustomize", "examples/agent")
    stack.kubectl("-n", bank.namespace, "apply", "-f", "-", stdin=job)
    stack.kubectl(
        "-n", bank.namespace, "wait", "--for=condition=Complete", "job/example-agent",
        "--timeout=90s",
    )  # fmt: skip
    log = stack.kubectl("-n", bank.namespace, "logs", "job/example-agent")
    assert "recalled: Deploys to production are frozen every Friday afternoon." in log


def test_deleting_a_bank_keeps_the_volume_and_recreating_it_finds_the_memories(bank: Bank) -> None:
    bank.remember(FACT)
    old_key = bank.key()
    bank.stack.kubectl("-n", bank.namespace, "delete", "mb", "agents", "--timeout=60s")
    kinds = "deployment,service,configmap,secret,serviceaccount,pod"
    bank.stack.wait(
        "the bank's objects gone",
        lambda: (
            bank.stack.kubectl(
                "-n", bank.namespace, "get", kinds, "-l", "memorybank.dev/bank=agents", "-o", "name"
            ).strip()
            == ""
        ),
    )
    assert bank.child("pvc", "-data") is not None

    bank.apply()
    bank.wait_ready()
    assert bank.recall(QUESTION) == [FACT]
    with bank.http(old_key) as client:
        assert client.get("/v1/memories").status_code == 401
    assert "VolumeAdopted" in [reason for reason, _ in bank.events()]


def test_deletion_policy_delete_frees_the_volume(stack: Stack, namespace: str) -> None:
    bank = Bank(stack, namespace, "brief", {"deletionPolicy": "Delete"})
    bank.apply()
    bank.wait_ready()
    volume = (bank.child("pvc", "-data") or {})["spec"]["volumeName"]
    stack.kubectl("-n", namespace, "delete", "mb", "brief", "--timeout=60s")
    stack.wait("the claim gone", lambda: bank.child("pvc", "-data") is None)
    listed = ("get", "pv", volume, "--ignore-not-found", "-o", "name")
    stack.wait("the volume gone", lambda: stack.kubectl(*listed) == "")


def test_scaling_to_zero_and_back_keeps_memories(bank: Bank) -> None:
    bank.remember(FACT)
    bank.stack.kubectl("-n", bank.namespace, "scale", "mb/agents", "--replicas=0")
    bank.wait_not_ready("ScaledToZero")
    bank.stack.wait("no pod", lambda: not bank.pods())
    bank.stack.kubectl("-n", bank.namespace, "scale", "mb/agents", "--replicas=1")
    bank.wait_ready()
    assert bank.recall(QUESTION) == [FACT]


def test_a_hibernated_bank_wakes_with_memories_key_and_url(bank: Bank) -> None:
    bank.remember(FACT)
    key = bank.key()
    bank.apply(hibernate=True)
    bank.wait_not_ready("Hibernated")
    bank.stack.wait("no pod", lambda: not bank.pods())
    bank.apply(hibernate=False)
    bank.wait_ready()
    assert bank.key() == key
    assert bank.recall(QUESTION) == [FACT]


def test_a_new_text_restarts_the_pod_once(bank: Bank) -> None:
    bank.remember(FACT)
    (before,) = (pod["metadata"]["uid"] for pod in bank.pods())
    bank.apply(restart="for the new certificate")
    bank.stack.wait(
        "another pod", lambda: [pod["metadata"]["uid"] for pod in bank.pods()] not in ([], [before])
    )
    bank.wait_ready()
    assert bank.recall(QUESTION) == [FACT]


def test_a_protected_bank_is_not_deleted(bank: Bank) -> None:
    bank.apply(deletionProtection=True)
    delete = ("-n", bank.namespace, "delete", "mb", bank.name, "--timeout=60s")
    with pytest.raises(CommandFailed, match="set it to false first, such as by kubectl"):
        bank.stack.kubectl(*delete)
    bank.apply(deletionProtection=False)
    bank.stack.kubectl(*delete)


def test_a_namespace_goes_within_a_minute_whatever_state_its_banks_are_in(
    stack: Stack, namespace: str
) -> None:
    volume = {"storage": {"volume": {"size": "64Mi"}}}
    nowhere = {"provider": "ollama", "model": "m", "ollama": {"url": "http://nowhere.invalid"}}
    ready = Bank(stack, namespace, "ready", volume | {"deletionProtection": True})
    without_backend = Bank(stack, namespace, "lonely", volume | {"embedding": nowhere})
    without_image = Bank(stack, namespace, "imageless", volume | {"version": "no-such-version"})
    for bank in (ready, without_backend, without_image):
        bank.apply()
    ready.wait_ready()
    without_image.wait_not_ready("ImagePullBackOff")
    stack.kubectl("delete", "namespace", namespace, "--timeout=60s")
