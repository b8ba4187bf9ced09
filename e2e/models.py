"""A service of the cluster that embeds texts, as those of users' own do."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from e2e.cluster.paths import ROOT
from e2e.stack import IMAGES, Stack

NAMESPACE = "models"
SERVER = ("embedding_server", "memory_model")
"""Modules of tests/support: they answer as Ollama and OpenAI do, with the model in our image."""


@contextmanager
def embedding_service(stack: Stack, name: str, port: int) -> Iterator[None]:
    """Run http://NAME.models.svc:PORT until the block ends."""
    support = ROOT / "tests/support"
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {"app": name}}
    container = {
        "name": name,
        "image": f"{IMAGES[0]}:{stack.tag}",
        "command": ["python3", "-m", "tests.support.embedding_server", str(port), "0.0.0.0"],  # noqa: S104  # a pod's
        "workingDir": "/srv",
        "readinessProbe": {"httpGet": {"path": "/api/tags", "port": port}, "periodSeconds": 1},
        "volumeMounts": [{"name": "server", "mountPath": "/srv/tests/support"}],
    }
    stack.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": metadata,
            "data": {f"{each}.py": (support / f"{each}.py").read_text() for each in SERVER},
        },
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": metadata,
            "spec": {
                "terminationGracePeriodSeconds": 0,
                "containers": [container],
                "volumes": [{"name": "server", "configMap": {"name": name}}],
            },
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": {"app": name}, "ports": [{"port": port}]},
        },
    )
    stack.kubectl("-n", NAMESPACE, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=180s")
    yield
    # Gone before the next test, or run on this cluster, makes it again.
    stack.kubectl("delete", "namespace", NAMESPACE, "--timeout=120s")


def accept(stack: Stack, name: str, port: int, *keys: str) -> None:
    """Have the service refuse every key but these from now on."""
    with stack.port_forward(f"pod/{name}", port, NAMESPACE) as local:
        url = f"http://127.0.0.1:{local}/accepted"
        httpx.put(url, json=keys, timeout=30, trust_env=False).raise_for_status()
