"""A bank with a real Ollama of its own and a real model: loaded, used, fenced, lost, changed,
given up. Ollama is built first, which takes a quarter of an hour: only `make e2e-full` does that.
"""

from __future__ import annotations

import copy
import secrets
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from e2e.bank import Bank
from e2e.cluster.paths import ROOT
from e2e.namespaces import restricted_namespace
from e2e.neighbours import pod
from e2e.ollama import MODEL_PATH, load_model, load_ollama
from e2e.own_server import TOLD_SECONDS, OwnServer
from e2e.stack import Stack

pytestmark = pytest.mark.full

EXAMPLE = ROOT / "examples/own-ollama.yaml"
SERVER = "agents-ollama"
MODELS = "models"
FACTS = (
    "The spare keys of the archive are in the red cabinet.",
    "Invoices older than ten years are shredded in March.",
    "The harbour crane was repaired by the night shift.",
)
QUESTION = "Where can I get into the records room without my badge?"
PULL_FAILS = "no such host"


@pytest.fixture(scope="module")
def images(stack: Stack) -> tuple[str, str]:
    """The images of the server and of the model's file, on the cluster."""
    return load_ollama(stack), load_model(stack)


@pytest.fixture(scope="module")
def bank(stack: Stack, images: tuple[str, str]) -> Iterator[Bank]:
    """The bank of the example, on the cluster's image of the server. It can pull nothing."""
    manifest: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    manifest["spec"]["embedding"]["ollama"]["managed"] |= {
        "image": images[0],
        "resources": {"requests": {"cpu": "50m", "memory": "256Mi"}, "limits": {"memory": "1Gi"}},
    }
    manifest["spec"]["embedding"]["timeoutSeconds"] = 120
    with restricted_namespace(stack, "ollama") as namespace:
        made = Bank(stack, namespace, manifest["metadata"]["name"], manifest["spec"])
        made.apply()
        yield made


def using(bank: Bank, model: str, **model_file: Any) -> dict[str, Any]:
    """What the bank's spec says of a model that is made of a file."""
    embedding = copy.deepcopy(bank.spec["embedding"])
    embedding["model"] = model
    embedding["ollama"]["managed"]["modelFile"] = model_file
    return {"embedding": embedding}


def from_image(bank: Bank, images: tuple[str, str], model: str = "minilm") -> dict[str, Any]:
    return using(bank, model, image={"reference": images[1], "path": MODEL_PATH})


def server(bank: Bank) -> OwnServer:
    return OwnServer(bank, SERVER, 11434)


def said(bank: Bank) -> str:
    """What the container beside Ollama wrote into its log."""
    return bank.stack.kubectl(
        "-n", bank.namespace, "logs", f"{SERVER}-0", "-c", "model", check=False
    )


def wait_for_vectors(bank: Bank, model: str) -> None:
    """Wait until all memories have vectors of this model."""

    def embedding() -> dict[str, Any]:
        with bank.http() as client:
            return dict(client.get("/v1/admin/embedding").json())

    def is_done() -> bool:
        found = embedding()
        return (found["model"], found["pending"]) == (model, 0)

    bank.stack.wait(f"vectors of {model}", is_done, describe=embedding, seconds=300)


def wait_until_found(bank: Bank) -> None:
    """Wait until a memory is found by its meaning, for which the model has to answer: the vector of
    a question that was asked before is remembered, and words do where there is none.
    """
    question = f"{QUESTION} ({secrets.token_hex(4)})"

    def is_found() -> bool:
        with bank.http() as client:
            found = client.post(
                "/v1/search", json={"query": question, "mode": "vector", "limit": 1}
            ).json()
        first = [each["memory"]["content"] for each in found.get("results", ())]
        return first == [FACTS[0]] and found["degraded"] is None

    bank.stack.wait("found by its meaning", is_found, describe=lambda: said(bank), seconds=300)


def test_a_model_that_cannot_be_pulled_is_told_and_no_pod_of_the_bank_starts(bank: Bank) -> None:
    told = bank.wait_not_ready("ModelLoading")
    assert f"logs {SERVER}-0 -c model` says how far it is" in told["message"]
    bank.stack.wait(
        "why it cannot be pulled", lambda: PULL_FAILS in said(bank), describe=lambda: said(bank),
        seconds=300,
    )  # fmt: skip
    assert bank.child("deployment") is None


def test_a_model_from_an_image_is_loaded_and_used(bank: Bank, images: tuple[str, str]) -> None:
    bank.apply(**from_image(bank, images))
    bank.wait_ready(600)
    for each in FACTS:
        bank.remember(each)
    wait_for_vectors(bank, "ollama/minilm")
    assert bank.recall(QUESTION, mode="vector", limit=1) == [FACTS[0]]


def test_nobody_but_the_banks_pod_reaches_the_server(bank: Bank) -> None:
    by_the_bank, by_another = server(bank).connections()
    assert by_the_bank == ["open"]
    assert by_another == ["blocked"], "nor by its address"


def test_a_server_that_lost_its_volume_is_told_searched_without_and_gets_its_model_again(
    bank: Bank,
) -> None:
    serving = server(bank).banks_pod()["metadata"]["uid"]
    server(bank).lose_volume()
    wait_until_found(bank)
    assert server(bank).banks_pod()["metadata"]["uid"] == serving, "the bank's pod was not replaced"


def test_a_server_that_says_nothing_is_told_searched_without_and_asked_again(
    bank: Bank, record_property: Callable[[str, object], None]
) -> None:
    with server(bank).frozen():
        told = server(bank).wait_degraded("EmbeddingUnavailable", TOLD_SECONDS)
        record_property("seconds until the status says so", told)
        assert bank.recall("spare keys of the archive", limit=1) == [FACTS[0]], "by its words"
        assert bank.is_ready()
    wait_until_found(bank)
    bank.stack.wait(
        "nothing lacking", lambda: not bank.condition("Degraded"),
        describe=lambda: bank.condition("Degraded"),
    )  # fmt: skip


def test_a_server_that_cannot_start_is_told_and_heals(bank: Bank, images: tuple[str, str]) -> None:
    broken = from_image(bank, images)
    broken["embedding"]["ollama"]["managed"]["image"] = "localhost/no-such-image:1"
    bank.apply(**broken)
    server(bank).wait_degraded("EmbeddingUnavailable")
    assert f"describe pod {SERVER}-0` says why" in bank.condition("Degraded")["message"]
    assert bank.is_ready()
    bank.remember("The night watchman has a dog named Argos.")
    assert bank.recall("Argos the dog", limit=1) == ["The night watchman has a dog named Argos."]
    bank.apply(**from_image(bank, images))
    bank.stack.wait(
        "no condition Degraded",
        lambda: not bank.condition("Degraded"),
        describe=lambda: bank.condition("Degraded"),
        seconds=300,
    )
    wait_for_vectors(bank, "ollama/minilm")


def test_another_model_from_a_volume_is_gone_over_to_while_the_bank_serves(
    bank: Bank, images: tuple[str, str]
) -> None:
    changed = using(bank, "second", volume={"claimName": MODELS, "path": "minilm-f16.gguf"})
    make_volume(bank, images[1])
    bank.apply(**changed)
    told = bank.wait_not_ready("ModelLoading")
    assert "second" in told["message"]
    assert bank.condition("Available")["status"] == "True"
    assert FACTS[0] in bank.recall(QUESTION)
    put_model_on_volume(bank)
    bank.wait_ready(600)
    wait_for_vectors(bank, "ollama/second")
    assert bank.recall(QUESTION, mode="vector", limit=1) == [FACTS[0]]


def make_volume(bank: Bank, image: str) -> None:
    """Make an empty volume and a pod that may write to it, which it may if it is the first: a
    kubelet hands a volume to the group of whoever uses it first.
    """
    claim = {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": MODELS, "namespace": bank.namespace},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    writer = pod(bank.namespace, "writer", image, {"role": "writer"})
    volume = {"name": MODELS, "persistentVolumeClaim": {"claimName": MODELS}}
    writer["spec"]["volumes"] = [volume]
    writer["spec"]["containers"][0]["volumeMounts"] = [{"name": MODELS, "mountPath": "/target"}]
    writer["spec"]["securityContext"]["fsGroup"] = 65532
    stack, namespace = bank.stack, bank.namespace
    stack.apply(claim, writer)
    stack.kubectl("-n", namespace, "wait", "--for=condition=Ready", "pod/writer", "--timeout=180s")


def put_model_on_volume(bank: Bank) -> None:
    stack, namespace = bank.stack, bank.namespace
    stack.kubectl("-n", namespace, "exec", "writer", "--", "cp", MODEL_PATH, "/target/")
    stack.kubectl("-n", namespace, "delete", "pod", "writer", "--timeout=120s")


def test_it_sleeps_and_wakes_with_the_bank_and_keeps_its_models(bank: Bank) -> None:
    changed = using(bank, "second", volume={"claimName": MODELS, "path": "minilm-f16.gguf"})
    bank.apply(**changed, hibernate=True)
    bank.stack.wait(
        "no pod of Ollama",
        lambda: not server(bank).uid("pod", f"{SERVER}-0"),
        describe=lambda: bank.stack.kubectl("-n", bank.namespace, "get", "pod", check=False),
    )
    assert server(bank).uid("pvc", server(bank).claim)
    bank.apply(**changed)
    bank.wait_ready(600)
    wait_until_found(bank)
    assert "handing" not in said(bank), "it has the model"


def test_a_bank_that_needs_it_no_more_gives_all_of_it_up(bank: Bank) -> None:
    bank.apply(embedding={"provider": "builtin"})
    bank.wait_ready(600)
    server(bank).wait_gone()
    wait_until_found(bank)
