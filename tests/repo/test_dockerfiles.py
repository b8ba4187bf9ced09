"""What both Dockerfiles promise, told without an engine; e2e/images tries the images themselves."""

from __future__ import annotations

import pytest

from e2e.images.inputs import Inputs
from tests.repo.checkout import ROOT

DISTRIBUTIONS = ("app", "operator")


def instructions(distribution: str) -> list[str]:
    """The instructions of a Dockerfile, each on one line, without comments."""
    text = "\n".join(
        line
        for line in Inputs(distribution).dockerfile.read_text().splitlines()
        if not line.startswith("#")
    )
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def final_stage(distribution: str) -> list[str]:
    """The instructions that make the image that is shipped."""
    lines = instructions(distribution)
    start = max(number for number, line in enumerate(lines) if line.startswith("FROM "))
    return lines[start:]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_image_runs_as_a_numeric_user_that_is_not_root(distribution: str) -> None:
    assert [line for line in final_stage(distribution) if line.startswith("USER ")] == [
        "USER 65532:65532"
    ]


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_the_base_image_can_be_chosen_and_no_other_is_used(distribution: str) -> None:
    lines = instructions(distribution)
    stages = {line.split()[3] for line in lines if line.startswith("FROM ") and " AS " in line}
    bases = {line.split()[1] for line in lines if line.startswith("FROM ")}
    assert bases - stages == {"${BASE_IMAGE}"}


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_every_package_is_installed_by_hash_or_from_the_checkout(distribution: str) -> None:
    installs = [
        command
        for line in instructions(distribution)
        for command in line.split("&&")
        if "pip install" in command
    ]
    assert installs
    assert [c for c in installs if "--require-hashes" not in c and "--no-index" not in c] == []


@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_every_file_that_is_copied_is_let_into_the_build(distribution: str) -> None:
    admitted = {
        line.removeprefix("!").removesuffix("/*.txt")
        for line in (ROOT / ".dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copied = set(Inputs(distribution).sources()) - {f"Dockerfile.{distribution}"}
    assert copied
    assert {source for source in copied if source.split("/")[0] not in admitted} == set()
    assert [source for source in copied if not (ROOT / source).exists()] == []


def test_both_images_are_built_with_the_same_tools() -> None:
    def tools(distribution: str) -> list[str]:
        lines = instructions(distribution)
        return lines[: next(n for n, line in enumerate(lines) if " AS dependencies" in line)]

    assert tools("app") == tools("operator")
