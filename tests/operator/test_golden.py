"""Scenarios give what their files say; see golden.py for how to write them anew."""

from __future__ import annotations

import pytest

from tests.operator import golden


@pytest.mark.parametrize("case", golden.cases())
def test_a_scenario_gives_what_its_files_say(case: str) -> None:
    assert golden.render(case) == golden.stored(case)


def test_there_are_scenarios() -> None:
    assert len(golden.cases()) >= 10
