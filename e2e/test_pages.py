"""The commands of docs/banks are run as they stand, each page in an empty namespace."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e import pages
from e2e.cluster.paths import ROOT
from e2e.stack import Stack

PAGES = sorted((ROOT / "docs/banks").glob("*.md"))
SECONDS = 600


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_do_what_it_says(
    page: Path, stack: Stack, namespace: str, tmp_path: Path
) -> None:
    assert not pages.run(page, stack, tmp_path, namespace=namespace, seconds=SECONDS)
