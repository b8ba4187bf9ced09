"""An event changes the cache and asks for the right banks, as urgently as it is."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_operator.engine.cache import BankKey, Cache
from memorybank_operator.engine.queue import Priority
from memorybank_operator.engine.streams import Streams
from memorybank_operator.handlers.intake import Intake
from memorybank_operator.kube import kinds
from memorybank_operator.kube.watching import streams

AGENTS = BankKey("team", "agents")


class Fixture:
    def __init__(self) -> None:
        self.asked: list[tuple[BankKey, Priority]] = []
        self.begun: list[BankKey] = []
        self.cache = Cache()
        (self.stream,) = streams((kinds.MEMORY_BANK,), ())
        self.streams = Streams(
            (self.stream,), cache=self.cache, affected=lambda _: None, clock=lambda: 0.0
        )
        self.intake = Intake(
            self.cache, self.streams, lambda *call: self.asked.append(call),
            begin=self.begun.append,
        )  # fmt: skip

    def listed(self) -> None:
        self.streams.listed(self.stream, frozenset(), resource_version=1)

    def take(self, kind: str | None, body: dict[str, Any]) -> list[tuple[BankKey, Priority]]:
        self.asked.clear()
        self.intake.take({"type": kind, "object": body})
        return self.asked


@pytest.fixture
def it() -> Fixture:
    return Fixture()


def bank(name: str = "agents", *, version: int = 5, observed: int = 1) -> dict[str, Any]:
    return {
        "kind": "MemoryBank",
        "metadata": {
            "name": name, "namespace": "team", "uid": f"uid-{name}", "generation": 1,
            "resourceVersion": str(version),
        },
        "status": {"observedGeneration": observed},
    }  # fmt: skip


def child(version: int = 6) -> dict[str, Any]:
    return {
        "kind": "Service",
        "metadata": {
            "name": "agents", "namespace": "team", "uid": "s", "resourceVersion": str(version),
            "labels": {"memorybank.dev/bank": "agents"},
        },
    }  # fmt: skip


def storage_class() -> dict[str, Any]:
    return {
        "kind": "StorageClass",
        "metadata": {"name": "fast", "uid": "c", "resourceVersion": "9"},
    }


def test_at_the_start_banks_are_looked_at_without_haste(it: Fixture) -> None:
    assert it.take(None, bank()) == [(AGENTS, Priority.RESYNC)]
    assert it.take(None, child()) == [(AGENTS, Priority.RESYNC)]


def test_at_the_start_a_bank_that_was_changed_meanwhile_goes_first(it: Fixture) -> None:
    assert it.take(None, bank(observed=-1)) == [(AGENTS, Priority.USER)]


def test_at_the_start_a_bank_that_nobody_looked_at_is_begun_before_the_rest_is_known(
    it: Fixture,
) -> None:
    new = {each: value for each, value in bank("new").items() if each != "status"}
    it.take(None, bank("known"))
    it.take(None, bank("changed", observed=0))
    it.take(None, child())
    it.take("ADDED", new)
    assert it.begun == [BankKey("team", "new")]


def test_later_nobody_is_begun_before_others(it: Fixture) -> None:
    it.listed()
    it.take("ADDED", bank(observed=-1))
    assert it.begun == []


def test_later_a_bank_is_its_users_business_and_a_child_the_cluster_s(it: Fixture) -> None:
    it.listed()
    assert it.take("ADDED", bank()) == [(AGENTS, Priority.USER)]
    assert it.take("MODIFIED", child()) == [(AGENTS, Priority.CHILD)]
    assert it.take("DELETED", child(version=7)) == [(AGENTS, Priority.CHILD)]


def test_what_we_wrote_ourselves_and_know_asks_for_nobody(it: Fixture) -> None:
    it.listed()
    it.cache.put(child())
    assert it.take("MODIFIED", child()) == []


def test_a_storage_class_may_be_what_any_bank_waits_for(it: Fixture) -> None:
    it.listed()
    it.take("ADDED", bank("agents"))
    it.take("ADDED", bank("others"))
    assert it.take("ADDED", storage_class()) == [
        (AGENTS, Priority.RESYNC),
        (BankKey("team", "others"), Priority.RESYNC),
    ]
