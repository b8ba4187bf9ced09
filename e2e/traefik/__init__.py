"""A real Ingress controller on the cluster, Traefik, built from its Go module, while a test needs
it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from e2e import servers
from e2e.namespaces import restricted_namespace
from e2e.stack import Stack

MANIFEST = Path(__file__).parent / "manifest.yaml"
CLASS = "traefik-of-tests"
SMALL_BODIES = {"traefik.ingress.kubernetes.io/router.middlewares": "small-bodies@file"}
"""Annotations by which Traefik refuses larger bodies than SMALL_BODY."""
SMALL_BODY = 10_000


@dataclass(frozen=True)
class Traefik:
    """The controller, in a namespace of its own."""

    namespace: str

    @property
    def names(self) -> tuple[str, str]:
        """Two host names by which the cluster's pods find it, at ports 80 and 443."""
        return f"memory.{self.namespace}.svc", f"other.{self.namespace}.svc"


@contextmanager
def traefik(stack: Stack) -> Iterator[Traefik]:
    """Run it until the block ends, for Ingresses of CLASS."""
    image = servers.load_built(stack, "traefik")
    with restricted_namespace(stack, "ingress") as namespace:
        manifest = servers.filled(
            MANIFEST, NAMESPACE=namespace, IMAGE=image, CLASS=CLASS, SMALL_BODY=str(SMALL_BODY)
        )
        try:
            stack.kubectl("apply", "-f", "-", stdin=manifest)
            stack.kubectl(
                "-n", namespace, "wait", "deployment/traefik", "--for=condition=Available",
                "--timeout=300s",
            )  # fmt: skip
            yield Traefik(namespace)
        finally:
            stack.kubectl("delete", "--ignore-not-found", "--wait=false", "-f", "-", stdin=manifest)
