"""Makes what a release consists of, in dist/release: the charts as packages, everything in one
file, the definitions, what is in the images, and the checksums of all that.

python -m scripts.release --check    only tell whether everything has one version
python -m scripts.release            make it; `make release` builds images and their bills before
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import yaml

from e2e.cluster import binaries
from scripts import kustomize_base

ROOT = Path(__file__).resolve().parents[1]
RELEASE = Path("dist/release")
BILLS = Path("dist/sbom")
SUMS = "SHA256SUMS"
_DATED = re.compile(r"^## (\S+) - \d{4}-\d{2}-\d{2}$", re.MULTILINE)


def versions(root: Path) -> dict[str, str]:
    """Return each version that is written down, by where."""
    found: dict[str, str] = {}
    for part in ("app", "operator"):
        file = root / part / "pyproject.toml"
        found[f"{part}/pyproject.toml"] = tomllib.loads(file.read_text())["project"]["version"]
    for file in sorted(root.glob("charts/*/Chart.yaml")):
        chart = yaml.safe_load(file.read_text())
        for field in ("version", "appVersion"):
            found[f"{file.relative_to(root)}: {field}"] = str(chart[field])
    return found


def problems(root: Path, *, released: bool) -> Iterator[str]:
    """Yield what keeps a release from being made, with the cure. `released`: the changelog has to
    have its section.
    """
    found = versions(root)
    if len(set(found.values())) > 1:
        told = ", ".join(f"{where} {version}" for where, version in found.items())
        yield f"the versions differ: {told}. Write one into all of them"
        return
    version = next(iter(found.values()))
    dated = _DATED.findall((root / "CHANGELOG.md").read_text())
    if released and version not in dated:
        yield (
            f"CHANGELOG.md has no section `## {version} - YYYY-MM-DD`: give what is under "
            "Unreleased that title"
        )


def make(root: Path, folder: Path) -> list[str]:
    """Make all files in a folder, which holds nothing else afterwards; return their names.

    The checksums come last: a folder without them is not whole.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    helm = binaries.ensure("helm")
    for chart in sorted(root.glob("charts/*/Chart.yaml")):
        command = [str(helm), "package", str(chart.parent), "--destination", str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    (folder / "install.yaml").write_text(kustomize_base.install())
    definitions = (each.read_text() for each in sorted(root.glob("crds/*.yaml")))
    (folder / "crds.yaml").write_text("---\n".join(definitions))
    for bill in sorted((root / BILLS).glob("*")):
        shutil.copy(bill, folder)
    names = sorted(each.name for each in folder.iterdir())
    (folder / SUMS).write_text("".join(f"{_sum(folder / each)}  {each}\n" for each in names))
    return [*names, SUMS]


def _sum(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def main(arguments: list[str] | None = None) -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.release", description=__doc__)
    parser.add_argument("--check", action="store_true", help="make nothing")
    asked = parser.parse_args(arguments)
    wrong = list(problems(ROOT, released=not asked.check))
    sys.stderr.writelines(f"release: {each}\n" for each in wrong)
    if wrong:
        return 1
    if not asked.check:
        for name in make(ROOT, ROOT / RELEASE):
            sys.stdout.write(f"{RELEASE / name}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
