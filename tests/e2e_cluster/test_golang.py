"""A Go toolchain is taken where it is new enough for every module."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.cluster import golang, paths


@pytest.mark.parametrize(
    ("text", "version"),
    [("go1.26.6", (1, 26, 6)), ("1.24", (1, 24)), ("go1.27rc1", (1, 27)), ("1.26.0", (1, 26, 0))],
)
def test_go_versions_are_compared_by_their_numbers(text: str, version: tuple[int, ...]) -> None:
    assert golang.parse_version(text) == version


def test_what_is_no_go_version_is_refused() -> None:
    with pytest.raises(ValueError, match="devel"):
        golang.parse_version("devel +abc")


def test_the_hungriest_module_decides_which_go_is_needed(tmp_path: Path) -> None:
    for name, version in {"a": "1.24.0", "b": "1.26.0", "c": "1.9"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "go.mod").write_text(f"module {name}\n\ngo {version}\n")
    assert golang.required_version(tmp_path) == (1, 26, 0)


def test_the_packaged_toolchain_is_new_enough_for_our_modules() -> None:
    _, _, version = golang.GO_PACKAGE.partition("==")
    assert golang.parse_version(version) >= golang.required_version(paths.MODULES)


def test_the_toolchain_that_is_found_runs_and_is_new_enough() -> None:
    toolchain = golang.find_toolchain()
    assert golang.version_of(toolchain.command) == toolchain.version
    assert golang.parse_version(toolchain.version) >= golang.required_version()


def test_a_program_that_is_missing_or_fails_is_no_toolchain(tmp_path: Path) -> None:
    assert golang.version_of(tmp_path / "go") is None
    assert golang.version_of(Path("/bin/false")) is None
