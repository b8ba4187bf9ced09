"""The context backend: an existing cluster, asked for by name; it is used and never changed."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

from e2e.cluster import binaries, paths
from e2e.cluster.backend import Status, kubeconfig_path
from e2e.cluster.errors import ClusterError
from e2e.cluster.registry import Record


class ContextBackend:
    """Someone else's cluster, reached by a context of the user's own kubeconfig."""

    def __init__(self, record: Record) -> None:
        self.record = record

    def up(self) -> None:
        """Copy the access to the context into the cluster's folder and check that it answers."""
        if self.record.context is None:
            raise ClusterError("the context backend needs --context NAME")
        access = self._kubectl(
            "config", "view", "--raw", "--minify", "--flatten", f"--context={self.record.context}"
        )
        paths.write_private(kubeconfig_path(self.record), access)
        status = self.status()
        if not status.ready:
            raise ClusterError(f"context {self.record.context} does not answer: {status.detail}")

    def down(self) -> None:
        """Leave the cluster as it is: it is not ours."""

    def status(self) -> Status:
        """Ask its API server."""
        try:
            self._kubectl(
                f"--kubeconfig={kubeconfig_path(self.record)}",
                "--request-timeout=10s", "get", "--raw=/readyz",
            )  # fmt: skip
        except ClusterError as error:
            return Status(ready=False, detail=str(error))
        return Status(ready=True, detail=f"context {self.record.context} answers")

    def load(self, references: Sequence[str]) -> None:
        """Refuse: only a registry that the cluster pulls from can bring images to it."""
        raise ClusterError(
            f"{', '.join(references)} cannot be loaded into context {self.record.context}: "
            "push them to a registry that this cluster pulls from"
        )

    def _kubectl(self, *arguments: str) -> str:
        kubectl = binaries.ensure("kubectl", kubernetes=self.record.kubernetes)
        done = subprocess.run(
            [str(kubectl), *arguments], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise ClusterError(done.stderr.strip())
        return done.stdout
