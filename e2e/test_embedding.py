"""A bank whose texts are embedded by another service of the cluster, by its example; encrypted too,
with a key ring of its owner.
"""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator

import pytest
import yaml

from e2e.bank import Bank
from e2e.cluster.paths import ROOT
from e2e.models import embedding_service
from e2e.stack import Stack

EXAMPLE = ROOT / "examples/ollama.yaml"
PORT = 11434
FACT = "The spare keys of the archive are in the red cabinet."
QUESTION = "Where can I get into the records room without my badge?"
RING = {"name": "ring", "key": "ring.json"}
FIND = """
import pathlib, sys
files = [each.read_bytes() for each in pathlib.Path("/data").rglob("*") if each.is_file()]
print([any(each.encode() in file for file in files) for each in sys.argv[1:]])
"""
"""Tells which texts are in the files of the volume as they are."""


@pytest.fixture
def models(stack: Stack) -> Iterator[None]:
    """The service that the example names: http://ollama.models.svc:11434."""
    with embedding_service(stack, "ollama", PORT):
        yield


@pytest.mark.usefixtures("models")
def test_an_encrypted_bank_waits_for_its_ring_and_finds_by_the_model_of_another_service(
    stack: Stack, namespace: str
) -> None:
    manifest = yaml.safe_load(EXAMPLE.read_text())
    spec = manifest["spec"] | {"encryption": {"enabled": True, "keySecretRef": RING}}
    bank = Bank(stack, namespace, manifest["metadata"]["name"], spec)
    bank.apply()
    told = bank.wait_not_ready("SecretNotFound")
    assert RING["name"] in told["message"]
    key = base64.b64encode(os.urandom(32)).decode()
    ring = json.dumps({"active": "2026", "keys": {"2026": key}})
    stack.kubectl(
        "-n", namespace, "create", "secret", "generic", RING["name"],
        "--from-literal", f"{RING['key']}={ring}",
    )  # fmt: skip
    # Secrets of others are looked at once a minute; who is in a hurry asks for a look.
    stack.kubectl("-n", namespace, "annotate", "mb", bank.name, "memorybank.dev/resync=ring")
    bank.wait_ready()

    bank.remember(FACT)
    with bank.http() as client:
        stack.wait(
            "the memory embedded",
            lambda: client.get("/v1/admin/embedding").json()["embedded"] == 1,
            describe=lambda: client.get("/v1/admin/embedding").text,
        )
        model = client.get("/v1/admin/embedding").json()["model"]
    assert spec["embedding"]["model"] in model
    assert bank.recall(QUESTION, mode="vector") == [FACT]
    found = stack.kubectl(
        "-n", namespace, "exec", f"deploy/{bank.name}", "--",
        "python3", "-c", FIND, "SQLite format 3", FACT, "red cabinet",
    )  # fmt: skip
    assert json.loads(found.lower()) == [True, False, False]
