"""A MemoryBankKey as an application sees it: a Secret whose key works until it is deleted."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest

from e2e.bank import Bank

REVOKED_SECONDS = 2.0


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
    wait_for_key(bank)
    secret = bank.stack.get("secret", "app", bank.namespace) or {}
    return base64.b64decode(secret["data"]["token"]).decode()


def wait_for_key(bank: Bank) -> None:
    bank.stack.kubectl(
        "-n", bank.namespace, "wait", "mbkey/app", "--for=condition=Ready", "--timeout=60s"
    )


def test_a_key_may_what_its_role_may_until_it_is_deleted(bank: Bank, token: str) -> None:
    bank.remember("The ferry leaves at seven.")
    assert bank.recall("When does the boat go?", key=token) == ["The ferry leaves at seven."]
    with bank.http(token) as client:
        assert client.post("/v1/memories", json={"content": "not by this key"}).status_code == 403
        bank.stack.kubectl("-n", bank.namespace, "delete", "mbkey", "app")
        deleted = time.monotonic()
        bank.stack.wait("the key refused", lambda: client.get("/v1/memories").status_code == 401)
        assert time.monotonic() - deleted < REVOKED_SECONDS
    bank.stack.wait(
        "its Secret gone", lambda: bank.stack.get("secret", "app", bank.namespace) is None
    )


def test_a_key_opens_the_bank_that_was_made_again(bank: Bank, token: str) -> None:
    bank.remember("The ferry leaves at seven.")
    bank.stack.kubectl("-n", bank.namespace, "delete", "mb", bank.name, "--timeout=60s")
    bank.apply()
    bank.wait_ready()
    wait_for_key(bank)
    assert bank.recall("When does the boat go?", key=token) == ["The ferry leaves at seven."]
