"""A bank with a Chroma server of its own: used, fenced, lost and filled again, given up."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from e2e.bank import Bank
from e2e.chroma import load_chroma
from e2e.cluster.paths import ROOT
from e2e.conftest import restricted_namespace
from e2e.stack import IMAGES, Stack
from e2e.test_network_policy import Neighbour, pod

EXAMPLE = ROOT / "examples/chroma.yaml"
SERVER = "agents-chroma"
CLAIM = f"data-{SERVER}-0"
FACTS = (
    "The spare keys of the archive are in the red cabinet.",
    "Invoices older than ten years are shredded in March.",
    "The harbour crane was repaired by the night shift.",
)
QUESTION = "Where can I get into the records room without my badge?"


@pytest.fixture(scope="module")
def bank(stack: Stack) -> Iterator[Bank]:
    """The bank of the example, with the server's image that the cluster has."""
    manifest: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    manifest["spec"]["vector"]["chroma"]["managed"]["image"] = load_chroma(stack)
    with restricted_namespace(stack, "chroma") as namespace:
        made = Bank(stack, namespace, manifest["metadata"]["name"], manifest["spec"])
        made.apply()
        made.wait_ready()
        wait_for_vectors(made)
        yield made


def vectors(bank: Bank) -> dict[str, Any]:
    """What the bank says of its vectors; {} while Chroma has them not."""
    with bank.http() as client:
        return dict(client.get("/v1/admin/status").json()["index"]["vectors"] or {})


def wait_for_vectors(bank: Bank) -> None:
    """Wait until Chroma has all vectors, and the bank's status says nothing else."""

    def is_complete() -> bool:
        found = vectors(bank)
        return (found.get("problem"), found.get("missing"), found.get("lag")) == (None, 0, 0)

    bank.stack.wait("all vectors in Chroma", is_complete, describe=lambda: vectors(bank))
    bank.stack.wait(
        "no condition Degraded",
        lambda: not bank.condition("Degraded"),
        describe=lambda: bank.condition("Degraded"),
    )


def uid(bank: Bank, kind: str, name: str) -> str:
    found = bank.stack.get(kind, name, bank.namespace) or {}
    return str(found.get("metadata", {}).get("uid", ""))


def own_pod(bank: Bank) -> dict[str, Any]:
    """The pod of the bank itself, not of its Chroma."""
    [own] = [each for each in bank.pods() if SERVER not in each["metadata"]["name"]]
    return own


def test_meanings_are_found_through_the_server_of_the_bank(bank: Bank) -> None:
    for each in FACTS:
        bank.remember(each)
    wait_for_vectors(bank)
    assert bank.recall(QUESTION, mode="vector", limit=1) == [FACTS[0]]


def test_nobody_but_the_banks_pod_reaches_the_server(bank: Bank) -> None:
    stack, image = bank.stack, f"{IMAGES[0]}:{bank.stack.tag}"
    stack.apply(pod(bank.namespace, "curious", image, {"role": "agent"}))
    stack.kubectl(
        "-n", bank.namespace, "wait", "--for=condition=Ready", "pod/curious", "--timeout=120s"
    )
    server = (f"{SERVER}-0.{SERVER}.{bank.namespace}.svc", 8000)
    curious = Neighbour(stack, bank.namespace, "curious")
    mine = Neighbour(stack, bank.namespace, own_pod(bank)["metadata"]["name"])
    stack.wait(
        "the fence", lambda: curious.connects(server) == ["blocked"],
        describe=lambda: curious.connects(server),
    )  # fmt: skip
    assert mine.connects(server) == ["open"]
    target = (Neighbour(stack, bank.namespace, f"{SERVER}-0").address(), 8000)
    assert curious.connects(target) == ["blocked"], "nor by its address"


def test_a_server_that_is_gone_is_told_searched_without_and_filled_again(bank: Bank) -> None:
    stack, namespace = bank.stack, bank.namespace
    before = uid(bank, "pvc", CLAIM)
    # The volume goes when the pod that uses it does.
    stack.kubectl("-n", namespace, "delete", "pvc", CLAIM, "--wait=false")
    stack.kubectl("-n", namespace, "delete", "pod", f"{SERVER}-0")
    stack.wait(
        "another volume",
        lambda: uid(bank, "pvc", CLAIM) not in ("", before),
        describe=lambda: stack.kubectl("-n", namespace, "get", "pvc,pod", check=False),
    )
    assert FACTS[0] in bank.recall(QUESTION), "searches go on meanwhile"
    wait_for_vectors(bank)
    assert bank.recall(QUESTION, mode="vector", limit=1) == [FACTS[0]]


def test_a_server_that_cannot_start_is_told_and_heals(bank: Bank) -> None:
    broken = yaml.safe_load(yaml.safe_dump(bank.spec))
    broken["vector"]["chroma"]["managed"]["image"] = "localhost/no-such-image:1"
    before = own_pod(bank)
    bank.apply(**broken)
    bank.stack.wait(
        "condition Degraded",
        lambda: bank.condition("Degraded").get("reason") == "VectorsUnavailable",
        describe=lambda: bank.condition("Degraded"),
    )
    told = bank.condition("Degraded")["message"]
    assert f"describe pod {SERVER}-0` says why" in told
    assert bank.is_ready()
    assert FACTS[0] in bank.recall(QUESTION)
    bank.apply()
    wait_for_vectors(bank)
    assert bank.recall(QUESTION, mode="vector", limit=1) == [FACTS[0]]
    assert own_pod(bank)["metadata"]["uid"] == before["metadata"]["uid"], "its pod was not replaced"


def test_a_bank_that_needs_it_no_more_gives_all_of_it_up(bank: Bank) -> None:
    bank.apply(vector={"provider": "embedded"})
    bank.wait_ready()
    objects = [(kind, SERVER) for kind in ("statefulset", "service", "networkpolicy")]

    def left() -> list[tuple[str, str]]:
        return [each for each in (*objects, ("pvc", CLAIM)) if uid(bank, *each)]

    bank.stack.wait("all of Chroma gone", lambda: not left(), describe=left)
    assert bank.recall(QUESTION, mode="vector", limit=1) == [FACTS[0]]
