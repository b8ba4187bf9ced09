"""What is generated equals what it is generated from."""

from __future__ import annotations

import pytest

from memorybank_operator.api import crd
from tests.repo.checkout import ROOT


@pytest.mark.parametrize("folder", ["crds", "charts/memorybank-operator/crds-files"])
def test_the_crds_are_what_the_models_say(folder: str) -> None:
    assert crd.main(["--check", "--output", str(ROOT / folder)]) == 0
