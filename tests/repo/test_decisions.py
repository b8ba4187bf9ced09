"""Decisions can be named by their numbers."""

from __future__ import annotations

import re

from tests.repo.checkout import ROOT


def test_every_decision_has_a_number_of_its_own_and_its_title_says_it() -> None:
    files = sorted((ROOT / "docs/adr").glob("*.md"))
    numbers = [file.name[:4] for file in files]
    assert len(numbers) == len(set(numbers))
    for file, number in zip(files, numbers, strict=True):
        assert re.match(rf"# {int(number)}\. \S", file.read_text()), file.name
