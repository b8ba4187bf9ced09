"""What runs on a forge is what runs elsewhere: the targets of the Makefile, by pinned actions, with
no more rights than each needs.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.repo.checkout import ROOT

WORKFLOWS = sorted((ROOT / ".github/workflows").glob("*.yaml"))
TARGETS = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
PINNED = re.compile(r"[\w.-]+/[\w./-]+@[0-9a-f]{40}")


def steps(workflow: Path) -> list[dict[str, Any]]:
    jobs = yaml.safe_load(workflow.read_text())["jobs"]
    return [step for job in jobs.values() for step in job["steps"]]


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda each: each.stem)
def test_a_workflow_calls_targets_that_there_are(workflow: Path) -> None:
    called = [
        target
        for step in steps(workflow)
        for target in re.findall(r"^\s*make ([a-z0-9-]+)", step.get("run", ""), re.MULTILINE)
    ]
    assert called
    assert set(called) <= TARGETS


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda each: each.stem)
def test_whatever_a_workflow_uses_is_pinned_by_its_content(workflow: Path) -> None:
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert used
    assert all(map(PINNED.fullmatch, used))


@pytest.mark.parametrize("workflow", WORKFLOWS, ids=lambda each: each.stem)
def test_a_workflow_may_read_the_repository_and_its_words_are_no_code(workflow: Path) -> None:
    assert yaml.safe_load(workflow.read_text())["permissions"] == {"contents": "read"}
    assert not [step for step in steps(workflow) if "${{" in step.get("run", "")]


def test_every_change_is_tested() -> None:
    [test] = [each for each in WORKFLOWS if each.stem == "test"]
    assert "make test" in [step.get("run") for step in steps(test)]
