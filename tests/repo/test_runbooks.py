"""Whoever meets a reason finds what to do about it."""

from __future__ import annotations

import re

from memorybank_operator.api.v1alpha1.conditions import Reason
from tests.repo.checkout import ROOT

PAGE = ROOT / "docs/runbooks/bank.md"


def test_every_reason_has_a_section_and_every_section_a_reason() -> None:
    sections = re.findall(r"^### (.+)$", PAGE.read_text(), flags=re.MULTILINE)
    assert len(sections) == len(set(sections))
    assert set(sections) == {str(reason) for reason in Reason}
