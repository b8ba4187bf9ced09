"""A bank with a Chroma server of its own: used, fenced, lost and filled again, given up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import yaml

from e2e.bank import Bank
from e2e.chroma import load_chroma, wait_for_vectors
from e2e.cluster.paths import ROOT
from e2e.namespaces import restricted_namespace
from e2e.own_server import TOLD_SECONDS, OwnServer
from e2e.stack import Stack

EXAMPLE = ROOT / "examples/chroma.yaml"
SERVER = "agents-chroma"
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


def server(bank: Bank) -> OwnServer:
    return OwnServer(bank, SERVER, 8000)


def test_meanings_are_found_through_the_server_of_the_bank(bank: Bank) -> None:
    for each in FACTS:
        bank.remember(each)
    wait_for_vectors(bank)
    assert bank.recall(QUESTION, mode="vector", limit=1) == [FACTS[0]]


def test_nobody_but_the_banks_pod_reaches_the_server(bank: Bank) -> None:
    by_the_bank, by_another = server(bank).connections()
    assert by_the_bank == ["open"]
    assert by_another == ["blocked"], "nor by its address"


def test_a_server_that_is_gone_is_told_searched_without_and_filled_again(bank: Bank) -> None:
    server(bank).lose_volume()
    assert FACTS[0] in bank.recall(QUESTION), "searches go on meanwhile"
    wait_for_vectors(bank)
    assert bank.recall(QUESTION, mode="vector", limit=1) == [FACTS[0]]


def test_a_server_that_says_nothing_is_told_searched_without_and_asked_again(
    bank: Bank, record_property: Callable[[str, object], None]
) -> None:
    with server(bank).frozen():
        found = bank.recall(QUESTION)
        told = server(bank).wait_degraded("VectorsUnavailable", TOLD_SECONDS)
        record_property("seconds until the status says so", told)
        assert FACTS[0] in found
        assert FACTS[0] in bank.recall(QUESTION)
        assert bank.is_ready()
    wait_for_vectors(bank)
    assert bank.recall(QUESTION, mode="vector", limit=1) == [FACTS[0]]


def test_a_server_that_cannot_start_is_told_and_heals(bank: Bank) -> None:
    broken = yaml.safe_load(yaml.safe_dump(bank.spec))
    broken["vector"]["chroma"]["managed"]["image"] = "localhost/no-such-image:1"
    before = server(bank).banks_pod()
    bank.apply(**broken)
    server(bank).wait_degraded("VectorsUnavailable")
    told = bank.condition("Degraded")["message"]
    assert f"describe pod {SERVER}-0` says why" in told
    assert bank.is_ready()
    assert FACTS[0] in bank.recall(QUESTION)
    bank.apply()
    wait_for_vectors(bank)
    assert bank.recall(QUESTION, mode="vector", limit=1) == [FACTS[0]]
    assert server(bank).banks_pod()["metadata"]["uid"] == before["metadata"]["uid"], (
        "its pod was not replaced"
    )


def test_a_bank_that_needs_it_no_more_gives_all_of_it_up(bank: Bank) -> None:
    bank.apply(vector={"provider": "embedded"})
    bank.wait_ready()
    server(bank).wait_gone()
    assert bank.recall(QUESTION, mode="vector", limit=1) == [FACTS[0]]
