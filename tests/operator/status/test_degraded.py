"""What the status says of a bank that serves without something that it uses."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_operator.reconcile.report import degradation
from memorybank_operator.resources.backend import CHROMA, OLLAMA
from tests.operator.world import World, bank, running

LOST = (("embedder", "the embedding service answered 500"),)
TEXT = (
    "New memories are taken, and all are found by their words alone: the embedding service "
    "answered 500."
)


def degraded(status: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(
        (each for each in status["conditions"] if each["type"] == "Degraded"), {}
    )
    return found


def having(**canary: Any) -> World:
    world = running(bank())
    world.canary = world.passed(bank(), **canary)
    return world


def ready(status: dict[str, Any]) -> str:
    conditions = {each["type"]: each for each in status["conditions"]}
    return str(conditions["Ready"]["status"])


def test_a_bank_that_has_everything_says_nothing_of_it() -> None:
    assert degraded(having().status(bank())) == {}


@pytest.mark.parametrize(
    ("check", "reason", "words"),
    [
        ("embedder", "EmbeddingUnavailable", "found by their words alone: no route."),
        ("search", "VectorsUnavailable", "meanings are compared roughly: no route."),
        ("consolidation", "ConsolidationFailing", "few are not made of many: no route."),
        ("oracle", "ServiceDegraded", "less well: no route."),
    ],
)
def test_what_is_missing_is_told_with_what_it_costs_and_the_bank_stays_ready(
    check: str, reason: str, words: str
) -> None:
    status = having(degraded=((check, "no route"),)).status(bank())
    condition = degraded(status)
    assert (condition["status"], condition["reason"]) == ("True", reason)
    assert condition["message"].endswith(words)
    assert (ready(status), status["phase"]) == ("True", "Running")


def test_what_the_pod_says_is_told_before_the_next_probe() -> None:
    world = having()
    world.degraded = LOST
    assert degraded(world.status(bank()))["message"] == TEXT
    world.canary = None
    assert degraded(world.status(bank()))["message"] == TEXT


def test_of_an_own_chroma_without_a_pod_it_is_told_where_to_look() -> None:
    of = bank({"vector": {"provider": "chroma", "chroma": {"managed": {}}}})
    world = running(of)
    world.canary = world.passed(of, degraded=(("search", "Chroma cannot be reached"),))
    message = degraded(world.status(of))["message"]
    assert message.endswith("`kubectl -n team describe pod agents-chroma-0` says why.")
    world.children[CHROMA.server(of)]["status"] = {"readyReplicas": 1}
    assert degraded(world.status(of))["message"].endswith("Chroma cannot be reached.")


def test_of_an_own_ollama_without_a_pod_it_is_told_where_to_look() -> None:
    of = bank({"embedding": {"provider": "ollama", "model": "m", "ollama": {"managed": {}}}})
    world = running(of)
    world.canary = world.passed(of, degraded=LOST)
    assert degraded(world.status(of))["message"] == TEXT
    del world.children[OLLAMA.server(of)]["status"]["readyReplicas"]
    message = degraded(world.status(of))["message"]
    assert message.endswith("`kubectl -n team describe pod agents-ollama-0` says why.")
    assert ready(world.status(of)) == "True", "it has used the model, and goes on without it"


def test_a_bank_that_fails_for_another_reason_still_tells_what_it_lacks() -> None:
    status = having(ok=False, message="POST /v1/search answered 500", degraded=LOST).status(bank())
    assert (ready(status), degraded(status)["message"]) == ("False", TEXT)


@pytest.mark.parametrize("said_since", [None, {"ok": False, "message": "no answer in time"}])
def test_what_was_told_stays_until_the_bank_says_otherwise(
    said_since: dict[str, Any] | None,
) -> None:
    before = having(degraded=LOST).status(bank())
    world = running(bank())
    world.canary = None if said_since is None else world.passed(bank(), **said_since)
    assert degraded(world.status(bank(status=before))) == degraded(before)
    assert degraded(having().status(bank(status=before))) == {}, "the bank has it again"


def test_who_does_not_serve_lacks_nothing() -> None:
    before = having(degraded=LOST).status(bank())
    world = running(bank({"hibernate": True}))
    world.pods = []
    assert degraded(world.status(bank({"hibernate": True}, status=before))) == {}


def test_an_event_tells_that_it_begins_and_not_that_it_lasts_or_ends() -> None:
    well, ill = having().status(bank()), having(degraded=LOST).status(bank())
    note = degradation(well, ill)
    assert note is not None
    assert (note.reason, note.message, note.warning) == ("EmbeddingUnavailable", TEXT, True)
    assert degradation(ill, ill) is None
    assert degradation(ill, well) is None
