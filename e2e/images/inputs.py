"""What decides an image: the files its Dockerfile copies, and the commit they come from."""

from __future__ import annotations

import hashlib
import os
import subprocess
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster.paths import ROOT

IGNORED = {"__pycache__"}


@dataclass(frozen=True)
class Inputs:
    """One image's Dockerfile, what it copies, and where that stands in the project's history."""

    distribution: str
    """The folder of the distribution, which gives the version: app or operator."""

    @property
    def dockerfile(self) -> Path:
        """The Dockerfile; it alone says what else is an input."""
        return ROOT / f"Dockerfile.{self.distribution}"

    def sources(self) -> list[str]:
        """The paths that the Dockerfile copies from the checkout, itself included."""
        copies = (line.split()[1:] for line in self.dockerfile.read_text().splitlines()
                  if line.startswith("COPY ") and "--from=" not in line)  # fmt: skip
        return sorted({self.dockerfile.name, *(path for words in copies for path in words[:-1])})

    def digest(self, *more: str) -> str:
        """Name the content of every input, and of whatever else decides the image."""
        state = hashlib.sha256()
        for path in files(ROOT / source for source in self.sources()):
            content = hashlib.sha256(path.read_bytes()).hexdigest()
            state.update(f"{path.relative_to(ROOT)} {content}\n".encode())
        for word in more:
            state.update(f"{word}\n".encode())
        return state.hexdigest()

    def version(self) -> str:
        """The version in the distribution's pyproject.toml."""
        project = tomllib.loads((ROOT / self.distribution / "pyproject.toml").read_text())
        return str(project["project"]["version"])

    def revision(self) -> str:
        """The last commit that changed an input; -dirty when one differs from it."""
        commit = git("log", "-1", "--format=%H", "--", *self.sources())
        if not commit:
            return "unknown"
        return commit + ("-dirty" if git("status", "--porcelain", "--", *self.sources()) else "")

    def epoch(self) -> int:
        """When that commit was made, in seconds since 1970; SOURCE_DATE_EPOCH overrides it."""
        date = git("log", "-1", "--format=%ct", "--", *self.sources())
        return int(os.environ.get("SOURCE_DATE_EPOCH") or date or 0)


def files(paths: Iterable[Path]) -> Iterator[Path]:
    """Every file at or below the paths, in one order."""
    for path in sorted(paths):
        if path.is_file():
            yield path
        elif path.name not in IGNORED:
            yield from files(path.iterdir())


def git(*arguments: str) -> str:
    """What git says about the checkout; nothing outside of one or without git."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
