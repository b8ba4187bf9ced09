"""The tree is what the documents say, and free of the traps that its names hold."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
import yaml

from tests.repo.checkout import ROOT, tracked_files

DISTRIBUTIONS = {"operator": "memorybank_operator", "app": "memorybank"}


def test_the_operator_folder_is_no_package() -> None:
    # It would hide the standard library's `operator` from every program started in the checkout.
    assert not (ROOT / "operator" / "__init__.py").exists()


def test_every_test_folder_is_a_package() -> None:
    # Else two test modules of one name collide, or one of them replaces a module it is named after.
    files = [path for path in tracked_files() if path.parts[0] in ("tests", "e2e")]
    folders = {path.parent for path in files if path.suffix == ".py"}
    assert [str(folder) for folder in folders if not (ROOT / folder / "__init__.py").exists()] == []


@pytest.mark.parametrize(("folder", "package"), DISTRIBUTIONS.items())
def test_the_architecture_names_every_part(folder: str, package: str) -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    parts = [
        path.name
        for path in (ROOT / folder / package).iterdir()
        if (path / "__init__.py").exists() and path.name != "__pycache__"
    ]
    assert parts
    assert [part for part in parts if f"`{part}`" not in text and f"/{part}`" not in text] == []


def test_the_architecture_names_every_top_level_folder() -> None:
    text = (ROOT / "docs/architecture.md").read_text()
    folders = {path.parts[0] for path in tracked_files() if len(path.parts) > 1}
    shown = {name for name in folders if not name.startswith(".")} - {"docs", "examples"}
    assert {name for name in shown if f"`{name}/" not in text} == set()


def test_one_version_everywhere() -> None:
    charts = [yaml.safe_load(each.read_text()) for each in ROOT.glob("charts/*/Chart.yaml")]
    versions = {str(each[name]) for each in charts for name in ("version", "appVersion")}
    for folder in DISTRIBUTIONS:
        project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
        versions.add(project["version"])
    assert len(versions) == 1


def test_the_changelog_opens_with_what_is_unreleased() -> None:
    headings = [
        line for line in (ROOT / "CHANGELOG.md").read_text().splitlines() if line.startswith("## ")
    ]
    assert "Unreleased" in headings[0]


def test_the_licence_is_the_one_that_is_declared() -> None:
    assert "Apache License" in (ROOT / "LICENSE").read_text()[:200]
    for folder in DISTRIBUTIONS:
        project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
        assert project["license"] == "Apache-2.0"


def test_relative_links_in_documents_lead_somewhere() -> None:
    broken = [
        f"{document}: {target}"
        for document in tracked_files()
        if document.suffix == ".md"
        for target in links((ROOT / document).read_text())
        if not (ROOT / document.parent / target).exists()
    ]
    assert broken == []


def links(text: str) -> list[str]:
    """The relative targets of a Markdown text's links, without their anchors."""
    targets = [part.split(")")[0].split("#")[0] for part in text.split("](")[1:]]
    return [target for target in targets if target and "://" not in target and Path(target).name]
