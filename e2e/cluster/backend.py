"""What every kind of cluster can do, and the choice between them."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from e2e.cluster import registry
from e2e.cluster.errors import ClusterError
from e2e.cluster.registry import Record


@dataclass(frozen=True)
class Status:
    """What a person or a test wants to know about a cluster."""

    ready: bool
    detail: str
    audit_log: Path | None = None


class Backend(Protocol):
    """One cluster of one kind. Methods raise ClusterError with a sentence that helps."""

    record: Record

    def up(self) -> None:
        """Make the cluster ready, from whatever state it is in."""

    def down(self) -> None:
        """Remove all that `up` made outside the cluster's state folder."""

    def status(self) -> Status:
        """Look at the cluster without changing it."""

    def load(self, references: Sequence[str]) -> None:
        """Give images to the node: references in a local store, or archives (FILE.tar)."""


def kubeconfig_path(record: Record) -> Path:
    """Return the file that `kubectl` and clients use."""
    return registry.folder(record.name) / "kubeconfig"


def of(record: Record) -> Backend:
    """Return the backend that a record names."""
    # Imported here: each backend brings in only what it needs.
    if record.backend == "context":
        from e2e.cluster.context import ContextBackend

        return ContextBackend(record)
    if record.backend == "kind":
        from e2e.cluster.kind import KindBackend

        return KindBackend(record)
    if record.backend == "local":
        from e2e.cluster.local.backend import LocalBackend

        return LocalBackend(record)
    raise ClusterError(f"{record.backend} is no backend: use context, kind or local")


def choose(backend: str | None, context: str | None) -> str:
    """Return the backend to use: what was asked for, else kind where Docker runs, else local."""
    if context is not None:
        if backend not in (None, "context"):
            raise ClusterError(f"--context and --backend {backend} exclude each other")
        return "context"
    if backend == "context":
        raise ClusterError("--backend context needs --context NAME: no context is ever guessed")
    return backend or ("kind" if docker_answers() else "local")


def docker_answers() -> bool:
    """Tell whether a Docker engine, not only its client, is there."""
    docker = shutil.which("docker")
    if docker is None:
        return False
    try:
        done = subprocess.run([docker, "info"], capture_output=True, check=False, timeout=20)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
