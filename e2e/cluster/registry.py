"""What is known about each cluster: one folder per name, so that no two clusters' state mixes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from e2e.cluster import paths
from e2e.cluster.errors import ClusterError

# The node's name and its control group are made from it.
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
RECORD = "cluster.json"
MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True)
class Record:
    """One cluster: which backend made it and what that backend needs to find it again."""

    name: str
    backend: str
    kubernetes: str
    context: str | None = None
    block: int | None = None


def folder(name: str) -> Path:
    """Return the folder of a cluster. Raises ClusterError for a name that cannot be used."""
    if not NAME.fullmatch(name):
        raise ClusterError(
            f"--name {name}: use 1 to 40 lower-case letters, digits and '-', such as `dev`"
        )
    return paths.state() / "clusters" / name


def read(name: str) -> Record | None:
    """Return what is known about a cluster; None when nothing is."""
    file = folder(name) / RECORD
    try:
        return Record(**json.loads(file.read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise ClusterError(f"{file} cannot be read ({error}): remove {file.parent}") from error


def write(record: Record) -> None:
    """Record a cluster, before anything of it is started."""
    directory = folder(record.name)
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    paths.write_private(directory / RECORD, json.dumps(asdict(record), indent=2) + "\n")


def remove(name: str) -> None:
    """Remove a cluster's folder, the record last: a crash before leaves what `down` needs.

    Raises ClusterError when something is mounted in it, since deleting would reach through.
    """
    directory = folder(name)
    mounts = [line.split()[4] for line in MOUNTS.read_text().splitlines()]
    inside = [mount for mount in mounts if Path(mount).is_relative_to(directory)]
    if inside:
        raise ClusterError(f"{directory} is not removed: unmount {', '.join(inside)} first")
    if not directory.exists():
        return
    for entry in directory.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        elif entry.name != RECORD:
            entry.unlink()
    shutil.rmtree(directory)


def records() -> list[Record]:
    """Return all clusters of this user."""
    files = sorted((paths.state() / "clusters").glob(f"*/{RECORD}"))
    found = [read(file.parent.name) for file in files]
    return [record for record in found if record is not None]


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold a cluster's lock, so that two commands on it take turns."""
    directory = folder(name)
    with paths.locked(directory.parent / ".locks" / name):
        yield


@contextmanager
def all_locked() -> Iterator[None]:
    """Hold the lock on what clusters share: the choice of a network."""
    with paths.locked(paths.state() / "clusters" / ".locks" / ".all"):
        yield
