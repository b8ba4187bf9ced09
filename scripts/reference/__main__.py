"""Writes docs/reference/, or tells whether it is what the code says."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from scripts.reference import api_page, metrics_page, operator_pages, settings_pages

FOLDER = Path(__file__).resolve().parents[2] / "docs/reference"
PAGES: Mapping[str, Callable[[], str]] = {
    "memorybank.md": operator_pages.bank,
    "memorybankkey.md": operator_pages.key,
    "memorybankbackup.md": operator_pages.backup,
    "memorybankrestore.md": operator_pages.restore,
    "conditions.md": operator_pages.conditions,
    "api.md": api_page.api,
    "settings.md": settings_pages.settings,
    "metrics.md": metrics_page.metrics,
}


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.reference", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail on a difference")
    if parser.parse_args(arguments).check:
        stale = [name for name in PAGES if not is_current(name)]
        sys.stderr.writelines(
            f"docs/reference/{name} is not what the code says: run `make generate`\n"
            for name in stale
        )
        return 1 if stale else 0
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())
    return 0


def is_current(name: str) -> bool:
    """Whether a page is there and is what the code says."""
    file = FOLDER / name
    return file.exists() and file.read_text() == PAGES[name]()


if __name__ == "__main__":
    raise SystemExit(main())
