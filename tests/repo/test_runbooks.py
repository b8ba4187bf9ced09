"""Whoever meets a condition, a reason or an event finds what it means and what to do about it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason
from memorybank_operator.kube import errors
from tests.repo.checkout import ROOT

PAGE = ROOT / "docs/runbooks/bank.md"
EVENTS = ROOT / "docs/reference/events.md"
OPERATOR = ROOT / "operator/memorybank_operator"
FIRST_CELL = re.compile(r"^\| `(\w+)` \|", re.MULTILINE)


def test_every_reason_has_a_section_and_every_section_a_reason() -> None:
    sections = re.findall(r"^### (.+)$", PAGE.read_text(), flags=re.MULTILINE)
    assert len(sections) == len(set(sections))
    assert set(sections) == {str(reason) for reason in Reason}


def test_every_condition_says_what_it_asks_of_people() -> None:
    told = FIRST_CELL.findall(PAGE.read_text())
    assert len(told) == len(set(told))
    assert set(told) == {str(each) for each in ConditionType}


def test_what_the_api_server_refuses_becomes_a_reason() -> None:
    """But for one that never reaches a status: who does not lead writes none."""
    given = {each.reason for each in kinds_of(errors.KubeError)} - {errors.NotLeading.reason}
    assert given <= {str(reason) for reason in Reason}


def test_every_event_is_in_the_reference() -> None:
    told = set(re.findall(r"`(\w+)`", EVENTS.read_text()))
    reasons = {Reason[name] for name in reasons_of_notes()}
    assert len(reasons) > 10, "the code names them in Note(Reason.X, ...)"
    assert {str(each) for each in reasons} - told == set()
    rows = re.findall(r"^\| (?:Normal|Warning) \| (.+?) \|", EVENTS.read_text(), re.MULTILINE)
    named = {word for row in rows for word in re.findall(r"`(\w+)`", row)} - {"Ready"}
    assert named <= {str(reason) for reason in Reason}


def kinds_of(error: type[errors.KubeError]) -> Iterator[type[errors.KubeError]]:
    for each in error.__subclasses__():
        yield each
        yield from kinds_of(each)


def reasons_of_notes() -> Iterator[str]:
    """Yield the reasons that the operator's code gives to events by name."""
    for file in OPERATOR.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "Note":
                reason = ast.unparse((node.args or [node.keywords[0].value])[0])
                if reason.startswith("Reason."):
                    yield reason.removeprefix("Reason.")
