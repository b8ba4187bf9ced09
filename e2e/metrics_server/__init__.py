"""A real metrics server on the cluster, built from its Go module, while a test needs it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from e2e import servers
from e2e.namespaces import restricted_namespace
from e2e.stack import Stack

MANIFEST = Path(__file__).parent / "manifest.yaml"
API = "v1beta1.metrics.k8s.io"


@contextmanager
def metrics_server(stack: Stack) -> Iterator[None]:
    """Run it until the block ends; the API has figures of pods in between."""
    image = servers.load_built(stack, "metrics-server")
    with restricted_namespace(stack, "metrics") as namespace:
        manifest = servers.filled(MANIFEST, NAMESPACE=namespace, IMAGE=image)
        try:
            stack.kubectl("apply", "-f", "-", stdin=manifest)
            stack.kubectl(
                "wait", f"apiservice/{API}", "--for=condition=Available", "--timeout=300s"
            )
            yield
        finally:
            # An API whose server is gone would keep namespaces from being deleted.
            stack.kubectl("delete", "apiservice", API, "--ignore-not-found")
            stack.kubectl("delete", "--ignore-not-found", "--wait=false", "-f", "-", stdin=manifest)
