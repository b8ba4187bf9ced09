"""What is generated equals what it is generated from."""

from __future__ import annotations

import pytest

from memorybank_operator.api import crd
from scripts import rules
from scripts.reference import __main__ as reference
from tests.repo.checkout import ROOT

# The fields of what the service answers are named after what they are.
DESCRIBED = {
    "memorybank.md", "memorybankkey.md", "memorybankbackup.md", "memorybankrestore.md",
    "conditions.md", "settings.md", "metrics.md",
}  # fmt: skip


@pytest.mark.parametrize("folder", ["crds", "charts/memorybank-operator/crds-files"])
def test_the_crds_are_what_the_models_say(folder: str) -> None:
    assert crd.main(["--check", "--output", str(ROOT / folder)]) == 0


def test_the_chart_has_the_alerts_of_the_template() -> None:
    assert rules.main(["--check"]) == 0


@pytest.mark.parametrize("page", sorted(reference.PAGES))
def test_the_reference_is_what_the_code_says(page: str) -> None:
    assert reference.is_current(page), "run `make generate`"


@pytest.mark.parametrize("page", sorted(reference.PAGES))
def test_everything_in_the_reference_is_described(page: str) -> None:
    lines = reference.PAGES[page]().splitlines()
    rows = [line.split(" | ") for line in lines if line.startswith("| `")]
    assert rows
    assert [row[0] for row in rows if not row[-1].strip(" |") and page in DESCRIBED] == []
