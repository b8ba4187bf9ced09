"""Writes the dashboards into the chart, or tells whether it has them."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from grafana_foundation_sdk.builders.dashboard import Dashboard
from grafana_foundation_sdk.cog.encoder import JSONEncoder

from scripts.dashboards import backups, bank, fleet, operator

FOLDER = Path(__file__).resolve().parents[2] / "charts/memorybank-operator/dashboards"
DASHBOARDS = {
    "memorybank-bank": bank.dashboard,
    "memorybank-backups": backups.dashboard,
    "memorybank-fleet": fleet.dashboard,
    "memorybank-operator": operator.dashboard,
}
"""By their names in URLs, which are those of the files."""


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.dashboards", description=__doc__)
    parser.add_argument("--check", action="store_true", help="change nothing, fail on a difference")
    check = parser.parse_args(arguments).check
    FOLDER.mkdir(exist_ok=True)
    wrong = []
    for name, make in DASHBOARDS.items():
        file, content = FOLDER / f"{name}.json", written(name, make())
        if check and not (file.exists() and file.read_text() == content):
            wrong.append(file.name)
        elif not check:
            file.write_text(content)
    if wrong:
        sys.stderr.write(f"not what the code says: {', '.join(wrong)}: `make generate`\n")
    return bool(wrong)


def written(name: str, dashboard: Dashboard) -> str:
    """Return the file of a dashboard."""
    built = dashboard.uid(name).build()
    for number, panel in enumerate(built.panels or (), start=1):
        panel.id_val = number  # links to a panel go by it
    return JSONEncoder(sort_keys=True, indent=1).encode(built) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
