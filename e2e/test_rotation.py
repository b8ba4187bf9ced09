"""Every Secret of a bank gets another value under load: no request fails and no pod restarts."""

from __future__ import annotations

import base64
import os
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx
import jwt
import pytest
import yaml

from e2e.bank import Bank
from e2e.cluster.paths import ROOT
from e2e.models import accept, embedding_service
from e2e.stack import Stack

EXAMPLE = ROOT / "examples/rotation.yaml"
EMBEDDED = ROOT / "examples/openai.yaml"
SERVICE = ("gateway", 4000)
"""The one that it names: http://gateway.models.svc:4000."""
TAKEN_SECONDS = 240
"""A kubelet brings a changed Secret within a minute and a half; this machine may be busy."""
PAUSE_SECONDS = 0.1
FACT = "The vault opens at eight, and only for two at a time."
QUESTION = "When can the vault be entered?"
LATER = "The ferry to the island leaves at noon from the second pier."
LATER_QUESTION = "Where does the boat go from?"


def test_every_secret_is_replaced_under_load_without_a_failed_request_or_a_restart(
    stack: Stack, namespace: str
) -> None:
    admin, tokens, ring, manifest = yaml.safe_load_all(EXAMPLE.read_text())
    stack.kubectl("-n", namespace, "apply", "-f", str(EXAMPLE))
    bank = Bank(stack, namespace, manifest["metadata"]["name"], manifest["spec"])
    bank.wait_ready()
    bank.remember(FACT)
    pods, before = containers(bank), in_effect(bank)
    old_admin, old_tokens = admin["stringData"]["token"], tokens["stringData"]["secret"]
    with load(bank, old_admin) as statuses:
        new_admin, new_tokens = f"mb_{secrets.token_urlsafe(32)}", secrets.token_hex(32)
        stack.kubectl(
            "-n", namespace, "apply", "-f", "-", stdin=yaml.safe_dump_all(
                [
                    with_value(admin, new_admin),
                    with_value(tokens, new_tokens),
                    with_value(ring, rotated(ring)),
                ]
            )
        )  # fmt: skip
        wait_taken(bank, before)
        assert bank.key() == new_admin
        assert bank.recall(QUESTION)[0] == FACT, "what the former ring sealed is read"
        for key, status in {
            new_admin: 200,
            token(new_tokens): 200,
            token(old_tokens): 200,
            f"mb_{secrets.token_urlsafe(32)}": 401,
            token(secrets.token_hex(32)): 401,
        }.items():
            with bank.http(key) as client:
                assert client.get("/v1/memories").status_code == status
    check_unharmed(bank, statuses, pods, untold=(new_admin, new_tokens))


@pytest.fixture
def gateway(stack: Stack) -> Iterator[None]:
    with embedding_service(stack, *SERVICE):
        yield


@pytest.mark.usefixtures("gateway")
def test_the_key_of_an_embedding_service_is_replaced_under_load_without_a_restart(
    stack: Stack, namespace: str
) -> None:
    secret, manifest = yaml.safe_load_all(EMBEDDED.read_text())
    old, new = secret["stringData"]["token"], f"sk-{secrets.token_urlsafe(32)}"
    accept(stack, *SERVICE, old)
    stack.kubectl("-n", namespace, "apply", "-f", str(EMBEDDED))
    bank = Bank(stack, namespace, manifest["metadata"]["name"], manifest["spec"])
    bank.wait_ready()
    bank.remember(FACT)
    wait_found(bank, QUESTION, FACT)
    pods, before = containers(bank), in_effect(bank)
    with load(bank, bank.key()) as statuses:
        # As services do: both keys are good for a while, then the former one is revoked.
        accept(stack, *SERVICE, old, new)
        stack.kubectl(
            "-n", namespace, "apply", "-f", "-", stdin=yaml.safe_dump(with_value(secret, new))
        )
        wait_taken(bank, before)
        accept(stack, *SERVICE, new)
        bank.remember(LATER)
        wait_found(bank, LATER_QUESTION, LATER)
    check_unharmed(bank, statuses, pods, untold=(old, new))


def wait_found(bank: Bank, question: str, fact: str) -> None:
    """Wait until a fact is found by its vector: both this and the question's are the service's."""

    def found() -> list[str]:
        return bank.recall(question, mode="vector", limit=1)

    bank.stack.wait(
        f"{fact!r} found by its vector", lambda: found() == [fact], seconds=TAKEN_SECONDS,
        describe=found,
    )  # fmt: skip


def wait_taken(bank: Bank, before: str) -> None:
    """Wait until the bank works by other Secrets than those in effect before."""
    # Secrets of others are looked at once a minute; who is in a hurry asks for a look.
    bank.stack.kubectl(
        "-n", bank.namespace, "annotate", "mb", bank.name, "memorybank.dev/resync=rotated"
    )
    bank.stack.wait(
        "the new Secrets in effect",
        lambda: bank.hurry_kubelet() and bank.is_ready() and in_effect(bank) != before,
        seconds=TAKEN_SECONDS,
        describe=bank.condition,
    )


def check_unharmed(
    bank: Bank, statuses: list[int], pods: list[tuple[str, int]], *, untold: tuple[str, ...]
) -> None:
    """No request failed, nothing restarted, and nobody was told a secret."""
    assert len(statuses) > 10
    assert set(statuses) <= {200, 201}
    assert containers(bank) == pods, "nothing restarted"
    told = str(bank.events()) + str(bank.get())
    assert not [each for each in untold if each in told]


def containers(bank: Bank) -> list[tuple[str, int]]:
    """Each pod and how often its container was restarted."""
    return [
        (pod["metadata"]["uid"], pod["status"]["containerStatuses"][0]["restartCount"])
        for pod in bank.pods()
    ]


def in_effect(bank: Bank) -> str:
    return str((bank.get() or {})["status"]["configuration"])


def with_value(secret: dict[str, Any], value: str) -> dict[str, Any]:
    """The Secret with another value of its only entry."""
    (entry,) = secret["stringData"]
    return {**secret, "stringData": {entry: value}}


def rotated(ring: dict[str, Any]) -> str:
    """The ring with another key, which is the active one now."""
    known: dict[str, Any] = yaml.safe_load(ring["stringData"]["ring.json"])
    fresh = base64.b64encode(os.urandom(32)).decode()
    return yaml.safe_dump({"active": "new", "keys": known["keys"] | {"new": fresh}})


def token(secret: str) -> str:
    """What an identity provider that shares this secret would sign."""
    claims = {
        "iss": "https://login.example.org",
        "aud": "agents",
        "sub": "agent-7",
        "iat": int(time.time()),
        "exp": int(time.time()) + 600,
        "roles": ["developer"],
    }
    return jwt.encode(claims, secret, "HS512")


@contextmanager
def load(bank: Bank, key: str) -> Iterator[list[int]]:
    """Write and search all the time, from before to after the block; the list gets each status."""
    statuses: list[int] = []
    done = threading.Event()

    def work(client: httpx.Client) -> None:
        while not done.wait(PAUSE_SECONDS):
            body = {"content": f"Visitor {len(statuses)} was seen at the door."}
            statuses.append(client.post("/v1/memories", json=body).status_code)
            statuses.append(client.post("/v1/search", json={"query": QUESTION}).status_code)

    with bank.http(key) as client:
        worker = threading.Thread(target=work, args=[client])
        worker.start()
        try:
            yield statuses
        finally:
            done.set()
            worker.join()
