"""Other versions of the memory service, made from this one: real packages with a version of their
own, which do what a good or a bad release does.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from memorybank.stores.sqlite.connection import migrations
from tests.repo.checkout import ROOT

Change = Callable[[Path], None]


def release(folder: Path, version: str, *changes: Change) -> Path:
    """Make a version of the package; return the folder for PYTHONPATH."""
    root = folder / f"release-{version}"
    shutil.copytree(
        ROOT / "app/memorybank", root / "memorybank", ignore=shutil.ignore_patterns("__pycache__")
    )
    about = root / f"memorybank-{version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: memorybank\nVersion: {version}\n"
    )
    for change in changes:
        change(root / "memorybank")
    return root


def does_not_start(package: Path) -> None:
    """End with an error before anything else."""
    (package / "__main__.py").write_text('raise SystemExit("a wrong build")\n')


def does_not_search(package: Path) -> None:
    """Start and be ready, but fail at what agents need most."""
    file = package / "services/finding.py"
    before, do, after = file.read_text().partition("return await self._search(caller, request)\n")
    assert do
    file.write_text(f'{before}raise RuntimeError("a wrong build")\n{after}')


def takes_no_changes(package: Path) -> None:
    """Read the configuration once, and know of none that is in effect, as versions did before they
    reloaded it.
    """
    file = package / "http/routes_care.py"
    before, path, after = file.read_text().partition('"/configuration"')
    assert path
    file.write_text(f'{before}"/none"{after}')
    file = package / "server/reload.py"
    before, loop, after = file.read_text().partition("        again = False\n")
    assert loop
    file.write_text(f"{before}{loop}        return\n{after}")


def migrates(package: Path) -> None:
    """Bring the database to a schema that the version before does not know."""
    number = migrations()[-1].version + 1
    file = package / f"stores/sqlite/migrations/{number:04}_next.sql"
    file.write_text("CREATE TABLE next_release (id INTEGER PRIMARY KEY) STRICT;\n")
