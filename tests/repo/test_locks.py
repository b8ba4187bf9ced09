"""The locks fit the declared dependencies, and what is shipped is what was tested."""

from __future__ import annotations

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.locks import DEV, LOCKS, SOURCES
from tests.repo.checkout import ROOT

PIN = re.compile(r"^([a-z0-9.-]+)==(\S+)(?: ; (.+?))? \\$")


def pins(lock: str) -> dict[str, set[str]]:
    """The versions that a lock pins for each package; several where the Python version decides."""
    found: dict[str, set[str]] = {}
    for line in (LOCKS / f"{lock}.txt").read_text().splitlines():
        if match := PIN.match(line):
            found.setdefault(match[1], set()).add(match[2])
    return found


def requirements(folder: str, extra: str | None = None) -> list[Requirement]:
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    lines = project["dependencies"] + (project["optional-dependencies"][extra] if extra else [])
    return [Requirement(line) for line in lines]


@pytest.mark.parametrize(
    ("lock", "declared"),
    [
        ("app", requirements("app")),
        ("model", requirements("app", "model")),
        ("operator", requirements("operator")),
        ("dev", requirements("app", "model") + requirements("operator")),
    ],
)
def test_a_lock_satisfies_what_is_declared(lock: str, declared: list[Requirement]) -> None:
    pinned = pins(lock)
    for requirement in declared:
        versions = pinned[canonicalize_name(requirement.name)]
        assert all(requirement.specifier.contains(version) for version in versions), requirement


@pytest.mark.parametrize("lock", sorted(set(SOURCES) - {DEV}))
def test_what_is_shipped_is_what_was_tested(lock: str) -> None:
    tested = pins(DEV)
    assert {
        name: versions for name, versions in pins(lock).items() if versions - tested[name]
    } == {}


@pytest.mark.parametrize("lock", sorted(SOURCES))
def test_a_lock_holds_versions_and_hashes_and_nothing_else(lock: str) -> None:
    lines = (LOCKS / f"{lock}.txt").read_text().splitlines()
    hash_line = re.compile(r"^    --hash=sha256:[0-9a-f]{64}( \\)?$")
    assert lines
    assert [line for line in lines if not PIN.match(line) and not hash_line.match(line)] == []


@pytest.mark.parametrize("package", ["torch", "sentence-transformers", "huggingface-hub"])
def test_what_is_not_used_is_not_installed(package: str) -> None:
    assert [lock for lock in SOURCES if package in pins(lock)] == []
