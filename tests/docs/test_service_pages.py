"""The examples of docs/service and of app/README.md are run as they stand, on a real service.

A fenced block that opens with ```sh is run by bash, all blocks of a page in order and in one
folder, with MEMORY_BANK_URL and MEMORY_BANK_KEY set and `memorybank` on the path. A line
`# prints: TEXT` says that TEXT is in what the commands before it print.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.repo.checkout import ROOT
from tests.support import postgres
from tests.support.server_process import Server, serving

PAGES = [*sorted((ROOT / "docs/service").glob("*.md")), ROOT / "app/README.md"]
_BLOCK = re.compile(r"^```sh\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_PRINTS = re.compile(r"^# prints: (.+)$", re.MULTILINE)


PATIENT = {"MEMORY_BANK_DATABASE__CONNECT_SECONDS": "60"}
"""With a server on a machine that is busy."""


def _databases(page: str) -> dict[str, str]:
    """Return the addresses of databases for a page."""
    return {
        "DATABASE_URL": postgres.server().database(f"docs-{page}"),
        "EMPTY_DATABASE_URL": postgres.server().database(f"docs-{page}-restored"),
        "NEW_DATABASE_URL": postgres.server().database(f"docs-{page}-new"),
    }


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("docs") / "bank") as running:
        yield running


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_do_what_it_says(page: Path, server: Server, tmp_path: Path) -> None:
    blocks = _BLOCK.findall(page.read_text())
    assert blocks, "a page shows at least one example that is run"
    script = "\n".join(blocks)
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env={
            "PATH": f"{Path(sys.executable).parent}:{postgres.BIN}:{os.environ['PATH']}",
            "HOME": str(tmp_path),
            "MEMORY_BANK_URL": server.url,
            "MEMORY_BANK_KEY": server.key,
            "METRICS_URL": server.metrics_url,
            **(_databases(page.stem) if page.stem in ("moving", "postgresql") else {}),
            **(PATIENT if page.stem == "postgresql" else {}),
        },
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    assert [text for text in _PRINTS.findall(script) if text not in done.stdout] == []
