"""The Debian packages that the local backend runs on."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from e2e.cluster.console import step
from e2e.cluster.errors import ClusterError

# A file that the node runs -> the package it comes from.
NODE_FILES = {
    "/usr/bin/containerd": "containerd",
    "/usr/sbin/runc": "runc",
    "/usr/lib/cni/ptp": "containernetworking-plugins",
    "/usr/sbin/iptables": "iptables",
    "/usr/sbin/ip": "iproute2",
}


def missing(files: dict[str, str]) -> list[str]:
    """Return the packages whose file is not there (Debian's merged /bin and /sbin count)."""
    return [package for file, package in files.items() if not _is_there(Path(file))]


def ensure(files: dict[str, str], *, purpose: str) -> None:
    """Install the packages that are missing.

    Raises ClusterError, with the command that helps, when that cannot be done here.
    """
    wanted = missing(files)
    if not wanted:
        return
    command = f"apt-get install {' '.join(wanted)}"
    if os.geteuid() != 0:
        raise ClusterError(f"{purpose} needs more packages: run `sudo {command}`")
    if shutil.which("apt-get") is None:
        raise ClusterError(f"{purpose} needs what Debian packages as {', '.join(wanted)}")
    with step(f"{command} (for {purpose})"):
        _apt(["update"])
        _apt(["install", "--yes", "--no-install-recommends", *wanted])
    still = missing(files)
    if still:
        raise ClusterError(f"`{command}` did not bring the files of {', '.join(still)}")


def _is_there(file: Path) -> bool:
    return file.exists() or shutil.which(file.name) is not None


def _apt(arguments: Iterable[str]) -> None:
    done = subprocess.run(
        ["apt-get", "--quiet", *arguments],
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if done.returncode != 0:
        tail = "\n".join((done.stderr or done.stdout).strip().splitlines()[-5:])
        raise ClusterError(f"apt-get {' '.join(arguments)} failed:\n{tail}")
