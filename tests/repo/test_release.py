"""A release is made of one version, and its files can be checked."""

from __future__ import annotations

import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import yaml

from scripts import release
from tests.repo.checkout import ROOT

WRITTEN = (
    "CHANGELOG.md", "app/pyproject.toml", "operator/pyproject.toml",
    "charts/memorybank/Chart.yaml", "charts/memorybank-operator/Chart.yaml",
)  # fmt: skip


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Where versions are written down, as they are."""
    for name in WRITTEN:
        target = tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, target)
    return tmp_path


def replace(file: Path, before: str, after: str) -> None:
    text = file.read_text()
    assert before in text
    file.write_text(text.replace(before, after, 1))


def test_everything_has_one_version() -> None:
    assert list(release.problems(ROOT, released=False)) == []


@pytest.mark.parametrize("name", WRITTEN[1:])
def test_a_version_that_differs_is_named(tree: Path, name: str) -> None:
    version = release.versions(tree)["app/pyproject.toml"]
    replace(tree / name, version, "9.9.9")
    [told] = release.problems(tree, released=False)
    assert name in told
    assert "9.9.9" in told
    assert "Write one into all of them" in told


def test_what_is_not_in_the_changelog_is_not_released(tree: Path) -> None:
    version = release.versions(tree)["app/pyproject.toml"]
    [told] = release.problems(tree, released=True)
    assert f"## {version} - YYYY-MM-DD" in told
    replace(tree / "CHANGELOG.md", "## Unreleased", f"## Unreleased\n\n## {version} - 2026-11-23")
    assert list(release.problems(tree, released=True)) == []


@pytest.mark.slow
def test_the_files_are_whole_and_their_sums_are_right(tmp_path: Path) -> None:
    folder = tmp_path / "release"
    names = release.make(ROOT, folder)
    assert sorted(each.name for each in folder.iterdir()) == sorted(names)
    subprocess.run(["sha256sum", "--check", "--strict", release.SUMS], cwd=folder, check=True)
    version = release.versions(ROOT)["app/pyproject.toml"]
    with tarfile.open(folder / f"memorybank-operator-{version}.tgz") as chart:
        assert "memorybank-operator/values.schema.json" in chart.getnames()
    kinds = {each["kind"] for each in yaml.safe_load_all((folder / "install.yaml").read_text())}
    assert {"CustomResourceDefinition", "Deployment", "ClusterRole"} <= kinds
    definitions = list(yaml.safe_load_all((folder / "crds.yaml").read_text()))
    assert len(definitions) == len(list(ROOT.glob("crds/*.yaml")))
