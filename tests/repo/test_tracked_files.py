"""Nothing in the repository depends on the machine or the mirror it was written on."""

from __future__ import annotations

import re

from tests.repo.checkout import ROOT, tracked_files

# Where packages come from is a matter of the machine: of pip's, Go's and apt's own configuration.
REGISTRIES = re.compile(
    r"pypi\.org|pythonhosted\.org|(?:proxy|sum)\.golang\.org|registry\.npmjs\.|"
    r"(?:deb|security)\.debian\.org|registry-1\.docker\.io|\bdocker\.io/|-docker\.pkg\.dev"
)
HOME_FOLDERS = re.compile(r"(?<![\w.$}])/(?:root|home/\w+|Users/\w+)/")
BINARY = {".onnx", ".gz", ".png"}


def findings(pattern: re.Pattern[str]) -> list[str]:
    """Every line of a tracked text file that matches, as file:line."""
    return [
        f"{path}:{number}"
        for path in tracked_files()
        if path.suffix not in BINARY and path.name != "go.sum"
        for number, line in enumerate((ROOT / path).read_text().splitlines(), start=1)
        if pattern.search(line)
    ]


def test_no_registry_is_named() -> None:
    assert findings(REGISTRIES) == []


def test_no_path_of_somebody_s_machine_is_named() -> None:
    assert findings(HOME_FOLDERS) == []


def test_the_patterns_find_what_they_are_for() -> None:
    assert REGISTRIES.search("https://" + "pypi" + ".org/simple")
    assert HOME_FOLDERS.search("open('/" + "root/x')")
    assert not HOME_FOLDERS.search("$HOME/.cache and example.com/home/team/")
