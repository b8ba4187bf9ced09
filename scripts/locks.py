"""Makes the lock files from the pyproject files, or tells whether they still fit.

python -m scripts.locks              make them; what is pinned stays while it fits
python -m scripts.locks --upgrade    move every pin to the newest version that fits
python -m scripts.locks --check      change nothing, fail when a lock no longer fits
"""

from __future__ import annotations

import argparse
import difflib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from scripts.index import uv_environment

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "locks"
DEV = "dev"
# Every other lock is constrained by this one: what the images carry is what the tests ran with.
SOURCES = {
    DEV: ("--group", "dev"),
    "app": ("app/pyproject.toml",),
    "model": ("app/pyproject.toml", "--extra", "model"),
    "operator": ("operator/pyproject.toml",),
    "build": ("--group", "build"),
    "bootstrap": ("--group", "bootstrap"),
}
# Universal: one lock for every platform and Python. No header, no index: a lock names versions
# and hashes alone, so that it is the same wherever it was made.
OPTIONS = (
    "--quiet", "--universal", "--generate-hashes", "--no-header",
    "--no-emit-package", "memorybank", "--no-emit-package", "memorybank-operator",
)  # fmt: skip


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.locks", description=__doc__)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument("--check", action="store_true", help="change nothing, fail on a difference")
    mode.add_argument("--upgrade", action="store_true", help="move the pins to newer versions")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder)
        for name in SOURCES:
            resolve(name, fresh, upgrade=arguments.upgrade)
        if arguments.check:
            differences = [line for name in SOURCES for line in difference(name, fresh)]
            sys.stdout.writelines(f"{line}\n" for line in differences)
            return 1 if differences else 0
        for name in SOURCES:
            shutil.copyfile(fresh / f"{name}.txt", LOCKS / f"{name}.txt")
    return 0


def resolve(name: str, folder: Path, *, upgrade: bool) -> None:
    """Write the lock `name` into `folder`, starting from the pins that the checkout has."""
    output = folder / f"{name}.txt"
    if not upgrade and (LOCKS / output.name).exists():
        shutil.copyfile(LOCKS / output.name, output)
    constraint = () if name == DEV else ("--constraint", str(folder / f"{DEV}.txt"))
    command = [
        sys.executable, "-m", "uv", "pip", "compile", *OPTIONS, *SOURCES[name], *constraint,
        "--no-annotate", "--output-file", str(output),
    ]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, env=uv_environment(), check=False)
    if done.returncode != 0:
        raise SystemExit(f"locks/{output.name}: uv could not resolve it; its words are above")


def difference(name: str, folder: Path) -> list[str]:
    """Which pins of the checkout's lock are not those of the one in `folder`.

    Hashes are not compared: an index adds files to a version for years.
    """
    before, after = pins(LOCKS / f"{name}.txt"), pins(folder / f"{name}.txt")
    return [
        f"locks/{name}.txt does not fit the pyproject files, run `make lock`: {line}"
        for line in difflib.unified_diff(before, after, lineterm="", n=0)
        if not line.startswith(("---", "+++", "@@"))
    ]


def pins(lock: Path) -> list[str]:
    """The pins of a lock; none when it does not exist yet."""
    if not lock.exists():
        return []
    lines = lock.read_text().splitlines()
    return [line.removesuffix(" \\") for line in lines if not line.lstrip().startswith("--hash")]


if __name__ == "__main__":
    raise SystemExit(main())
