"""The kind backend: Kubernetes in Docker, on machines where a Docker engine runs."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from e2e.cluster import binaries, images
from e2e.cluster.backend import Status, docker_answers, kubeconfig_path
from e2e.cluster.console import step
from e2e.cluster.errors import ClusterError
from e2e.cluster.registry import Record

# The node images of the kind release that modules/kind pins,
# https://github.com/kubernetes-sigs/kind/releases/tag/v0.30.0
NODE_IMAGES = {
    "1.34": "kindest/node:v1.34.0"
    "@sha256:7416a61b42b1662ca6ca89f02028ac133a309a2a30ba309614e8ec94d976dc5a",
    "1.33": "kindest/node:v1.33.4"
    "@sha256:25a6018e48dfcaee478f4a59af81157a437f15e6e140bf103f85a2e7cd0cbbf2",
}


class KindBackend:
    """A cluster of one kind node."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def up(self) -> None:
        """Create the cluster unless it is there; write its kubeconfig."""
        if not docker_answers():
            raise ClusterError("no Docker engine answers: start it, or use --backend local")
        if not self._exists():
            with step(f"creating the kind cluster {self.record.name}"):
                self._kind(
                    "create", "cluster", f"--image={NODE_IMAGES[self.record.kubernetes]}",
                    "--wait=3m", f"--kubeconfig={kubeconfig_path(self.record)}",
                )  # fmt: skip
        self._kind("export", "kubeconfig", f"--kubeconfig={kubeconfig_path(self.record)}")

    def down(self) -> None:
        """Delete the kind cluster."""
        self._kind("delete", "cluster", f"--kubeconfig={kubeconfig_path(self.record)}")

    def status(self) -> Status:
        """Tell whether kind knows the cluster."""
        if not docker_answers():
            return Status(ready=False, detail="no Docker engine answers")
        if not self._exists():
            return Status(ready=False, detail="not running")
        return Status(ready=True, detail=f"kind cluster {self.record.name}")

    def load(self, references: Sequence[str]) -> None:
        """Load images into the node through archives, whatever store they are in."""
        for reference in references:
            with step(f"loading {reference}"):
                if reference.endswith(".tar"):
                    self._kind("load", "image-archive", reference)
                    continue
                with images.find(reference).archive() as archive:
                    self._kind("load", "image-archive", str(archive))

    def _exists(self) -> bool:
        return self.record.name in self._run("get", "clusters").split()

    def _kind(self, *arguments: str) -> str:
        return self._run(*arguments, f"--name={self.record.name}")

    def _run(self, *arguments: str) -> str:
        # Ours even where another is on the PATH: a node image goes with its own release of kind.
        kind = binaries.ensure("kind")
        done = subprocess.run([str(kind), *arguments], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise ClusterError(f"kind {' '.join(arguments[:2])}: {done.stderr.strip()}")
        return done.stdout
