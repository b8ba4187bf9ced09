"""Things an agent may remember, each with a question that asks for it in other words."""

from __future__ import annotations

from pathlib import Path

_FILE = Path(__file__).parents[1] / "data" / "questions.txt"


def questions() -> list[tuple[str, str]]:
    """Return (memory, question) pairs; the file has them as two lines with a blank one between."""
    blocks = _FILE.read_text(encoding="utf-8").strip().split("\n\n")
    return [(memory, question) for memory, question in map(str.splitlines, blocks)]
