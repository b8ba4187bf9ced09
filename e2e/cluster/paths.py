"""Where things are kept outside the checkout, by the XDG base directory specification."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

PACKAGE = Path(__file__).resolve().parent
ROOT = PACKAGE.parent.parent
MODULES = PACKAGE / "modules"
MANIFESTS = PACKAGE / "manifests"
APPLICATION = "memorybank-dev"


def cache() -> Path:
    """Return the folder of what can be built again: binaries, the Go toolchain."""
    return _base("XDG_CACHE_HOME", ".cache")


def state() -> Path:
    """Return the folder of what belongs to running clusters."""
    return _base("XDG_STATE_HOME", ".local/state")


def _base(variable: str, default: str) -> Path:
    # The specification has relative paths ignored.
    given = Path(os.environ.get(variable, ""))
    return (given if given.is_absolute() else Path.home() / default) / APPLICATION


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file lock; wait for whoever holds it. The kernel frees it when the holder dies."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def try_lock(path: Path) -> IO[str] | None:
    """Take a file lock for as long as the returned file is open; None when another has it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    file = path.open("a")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return None
    return file


def write_private(path: Path, content: str | bytes) -> None:
    """Write a file that only its owner may read, whole or not at all."""
    data = content.encode() if isinstance(content, str) else content
    partial = path.with_name(f".{path.name}.partial")
    partial.unlink(missing_ok=True)
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
    partial.replace(path)
