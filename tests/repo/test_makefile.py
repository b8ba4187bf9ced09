"""Every command that a document names is there, and says what it does."""

from __future__ import annotations

import re
import subprocess

from tests.repo.checkout import ROOT, tracked_files

MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z0-9][a-z0-9-]*):", MAKEFILE, re.MULTILINE))


def test_help_lists_every_target() -> None:
    command = ["make", "--no-print-directory", "help"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert {line.split()[0] for line in done.stdout.splitlines()} == TARGETS


def test_no_target_hides_behind_a_file_of_its_name() -> None:
    (phony,) = re.findall(r"^\.PHONY: ((?:.*\\\n)*.*)$", MAKEFILE, re.MULTILINE)
    assert set(phony.replace("\\\n", " ").split()) == TARGETS


def test_commands_in_documents_are_targets() -> None:
    named = {
        target
        for path in tracked_files()
        if path.suffix == ".md"
        for target in re.findall(r"(?:^|`)make ([a-z][a-z0-9-]*)", (ROOT / path).read_text(), re.M)
    }
    assert named
    assert named - TARGETS == set()


def test_recipes_are_short() -> None:
    # Logic belongs into Python, where it is checked and tested.
    recipes = re.findall(r"^[a-z][^\n]*##[^\n]*\n((?:\t.*\n)*)", MAKEFILE, re.MULTILINE)
    assert [recipe for recipe in recipes if recipe.count("\n") > 3] == []


def test_continuous_integration_runs_the_tests_and_nothing_else() -> None:
    lines = (ROOT / ".ci/run").read_text().splitlines()
    commands = [line for line in lines if line and not line.startswith("#")]
    assert commands == ['cd "$(dirname "$0")/.." && exec make test']
