"""An example is worth what its test is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.repo.checkout import ROOT

OF_OTHERS = ("logging", "monitoring")
"""What other programs are configured by is no object of a cluster: see test_logging_examples and
test_kube_state_metrics.
"""
EXAMPLES = sorted(
    {
        ROOT / "examples" / each.relative_to(ROOT / "examples").parts[0]  # a file, or its folder
        for each in (ROOT / "examples").rglob("*.yaml")
    }
    - {ROOT / "examples" / each for each in OF_OTHERS}
)


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda each: each.name)
def test_each_example_is_applied_by_a_test_on_a_real_cluster(example: Path) -> None:
    path = re.compile(rf'apply_example\("{example.stem}"\)|["/]{re.escape(example.name)}"')
    command = re.compile(rf"^kubectl apply -[fk] examples/{re.escape(example.name)}$", re.M)
    tests = [*(ROOT / "e2e").glob("test_*.py"), ROOT / "e2e/conftest.py"]
    # Their commands are run by e2e/test_pages.py and e2e/test_day.py.
    pages = [*(ROOT / "docs/banks").glob("*.md"), ROOT / "docs/day.md"]
    assert any(path.search(each.read_text()) for each in tests) or any(
        command.search(each.read_text()) for each in pages
    )
