"""How answers look: tables for people, JSON and YAML for programs."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Iterable, Sequence
from typing import Any

_WIDEST = 60
"""Characters of a cell at most; programs get all of it."""
_GAP = "  "


def show(arguments: argparse.Namespace, value: Any, text: str) -> None:
    """Print the value as JSON or YAML where that was asked for, the text else."""
    if arguments.output == "json":
        text = json.dumps(value, indent=2, ensure_ascii=False)
    elif arguments.output == "yaml":
        import yaml

        text = yaml.safe_dump(value, sort_keys=False, allow_unicode=True).rstrip("\n")
    if text:
        sys.stdout.write(f"{text}\n")


def table(rows: Sequence[dict[str, Any]], columns: Sequence[str], *, nothing: str) -> str:
    """Return the columns of the rows, with a heading; `nothing` where there are no rows."""
    if not rows:
        return nothing
    cells = [[cell(row.get(name)) for name in columns] for row in rows]
    headings = [name.replace("_", " ").upper() for name in columns]
    widths = [max(len(line[place]) for line in [headings, *cells]) for place in range(len(columns))]
    return "\n".join(_line(line, widths) for line in [headings, *cells])


def fields(value: dict[str, Any]) -> str:
    """Return one `name  value` per line, without what is empty."""
    shown = {name: each for name, each in value.items() if each not in (None, "", [], {})}
    width = max((len(name) for name in shown), default=0)
    return "\n".join(f"{name:{width}}{_GAP}{_plain(each)}" for name, each in shown.items())


def cell(value: object) -> str:
    """Return one line of bounded length."""
    text = " ".join(_plain(value).split())
    return text if len(text) <= _WIDEST else f"{text[: _WIDEST - 1]}…"


def _plain(value: object) -> str:
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return ", ".join(value)
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else str(value)


def _line(cells: Iterable[str], widths: Iterable[int]) -> str:
    line = _GAP.join(f"{text:{width}}" for text, width in zip(cells, widths, strict=True))
    return line.rstrip()


class Progress:
    """One line on standard error that keeps changing, where somebody watches."""

    def __init__(self, what: str, total: int | None = None) -> None:
        self._what = what
        self._total = total
        self._watched = sys.stderr.isatty()

    def at(self, done: int, more: str) -> None:
        """Show how far it is."""
        if not self._watched:
            return
        line = f"{self._what} {more}"
        if self._total:
            part = min(1.0, done / self._total)
            bar = ("#" * round(20 * part)).ljust(20, ".")
            line = f"{self._what} [{bar}] {part:4.0%} {more}"
        width = shutil.get_terminal_size().columns - 1
        sys.stderr.write(f"\r{line[:width]:{width}}")
        sys.stderr.flush()

    def over(self) -> None:
        """Leave the line empty."""
        if self._watched:
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r{'':{width}}\r")
            sys.stderr.flush()
