"""A MemoryBankKey as an application sees it: a Secret whose key works until it is deleted."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from e2e.bank import Bank
from e2e.stack import OPERATOR_NAMESPACE, ROOT, Stack

JOB = "job/rotation-agent"


@pytest.fixture
def token(bank: Bank) -> str:
    """The key of a MemoryBankKey `app`, which may only read."""
    key: dict[str, Any] = {
        "apiVersion": "memorybank.dev/v1alpha1",
        "kind": "MemoryBankKey",
        "metadata": {"name": "app", "namespace": bank.namespace},
        "spec": {"bankRef": {"name": bank.name}, "role": "readonly"},
    }
    bank.stack.apply(key)
    wait_for_key(bank, "app")
    return key_of(bank, "app")


def wait_for_key(bank: Bank, name: str) -> None:
    bank.stack.kubectl(
        "-n", bank.namespace, "wait", f"mbkey/{name}", "--for=condition=Ready", "--timeout=300s"
    )


def test_a_key_may_what_its_role_may_until_it_is_deleted(bank: Bank, token: str) -> None:
    bank.remember("The ferry leaves at seven.")
    assert bank.recall("When does the boat go?", key=token) == ["The ferry leaves at seven."]
    with bank.http(token) as client:
        assert client.post("/v1/memories", json={"content": "not by this key"}).status_code == 403
        bank.stack.kubectl("-n", bank.namespace, "delete", "mbkey", "app")
        bank.stack.wait("the key refused", lambda: client.get("/v1/memories").status_code == 401)
    bank.stack.wait(
        "its Secret gone", lambda: bank.stack.get("secret", "app", bank.namespace) is None
    )


def test_a_key_opens_the_bank_that_was_made_again(stack: Stack, namespace: str) -> None:
    bank, key = Bank(stack, namespace, "agents"), "agents-app"
    bank.apply_example("key")
    wait_for_key(bank, key)
    token = key_of(bank, key)
    with bank.http(token) as client:
        fact = {"content": "The ferry leaves at seven."}
        assert client.post("/v1/memories", json=fact).status_code == 201
    stack.kubectl("-n", namespace, "delete", "mb", bank.name, "--timeout=180s")
    bank.apply_example("key")
    bank.wait_ready()
    with bank.http(token) as client:
        stack.wait("the key taken", lambda: client.get("/v1/memories").status_code == 200)
    assert key_of(bank, key) == token
    assert bank.recall("When does the boat go?", key=token) == [fact["content"]]


def test_an_agent_goes_on_while_its_key_is_replaced(bank: Bank) -> None:
    stack, namespace = bank.stack, bank.namespace
    stack.kubectl("-n", namespace, "apply", "-f", "-", stdin=rotation_example(bank))
    stack.kubectl(
        "-n", namespace, "wait", "mbkey/agents-rotated", "--for=condition=Ready", "--timeout=180s"
    )
    first = key_of(bank, "agents-rotated")
    stack.wait("the agent's calls", lambda: "key 1 is in use" in log_of(bank))
    stack.kubectl(
        "-n", namespace, "patch", "mbkey", "agents-rotated", "--type=merge",
        "-p", '{"spec": {"rotation": {"request": "leaked"}}}',
    )  # fmt: skip
    stack.kubectl(
        "-n", namespace, "wait", "mbkey/agents-rotated", "--timeout=180s",
        "--for=jsonpath={.status.rotation.request}=leaked",
    )  # fmt: skip
    # A kubelet looks at a Secret about once a minute, and at once when its pod changes.
    stack.kubectl(
        "-n", namespace, "annotate", "pod", "-l", "app=rotation-agent", "example.org/look=now"
    )
    stack.kubectl("-n", namespace, "wait", "--for=condition=Complete", JOB, "--timeout=300s")
    assert "with 2 keys, none was refused" in log_of(bank)
    second = key_of(bank, "agents-rotated")
    assert second != first
    with bank.http(first) as client:
        assert client.get("/v1/memories").status_code == 200, "its overlap is not over"
        stack.kubectl(
            "-n", namespace, "patch", "mbkey", "agents-rotated", "--type=merge",
            "-p", '{"spec": {"rotation": {"overlap": "0s"}}}',
        )  # fmt: skip
        stack.wait("the key refused", lambda: client.get("/v1/memories").status_code == 401)
    said = [
        stack.kubectl("-n", namespace, "describe", "mbkey", "agents-rotated"),
        stack.kubectl("-n", namespace, "get", "events", "-o", "yaml"),
        stack.kubectl("-n", OPERATOR_NAMESPACE, "logs", stack.leader().rpartition("_")[0]),
        *(stack.kubectl("-n", namespace, "logs", each["metadata"]["name"]) for each in bank.pods()),
        log_of(bank),
    ]
    for token in (first, second):
        for form in (token, base64.b64encode(token.encode()).decode()):
            assert not [text for text in said if form in text], "a key is told"


def rotation_example(bank: Bank) -> str:
    """examples/rotation, with the images of this cluster."""
    return bank.stack.kubectl("kustomize", str(ROOT / "examples/rotation"))


def log_of(bank: Bank) -> str:
    return bank.stack.kubectl("-n", bank.namespace, "logs", JOB, check=False)


def key_of(bank: Bank, name: str) -> str:
    secret = bank.stack.get("secret", name, bank.namespace) or {}
    return base64.b64decode(secret["data"]["token"]).decode()
