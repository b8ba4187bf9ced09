"""The real Prometheus Operator on a cluster, with a Prometheus, built from their Go modules."""

from __future__ import annotations

import json
from pathlib import Path

from e2e import definitions, servers
from e2e.stack import Stack

MANIFEST = Path(__file__).parent / "manifest.yaml"
NAMESPACE = "monitoring"
_SECONDS = 300


def install(stack: Stack) -> None:
    """Have a Prometheus that reads every ServiceMonitor and PrometheusRule with the label
    `release: prometheus`. It stays for as long as the cluster does.
    """
    crds = definitions.prometheus_operator_crds()
    names = [f"crd/{each['metadata']['name']}" for each in crds]
    # Too large for the annotation by which kubectl applies on its own side.
    stack.kubectl("apply", "--server-side", "-f", "-", stdin="\n---\n".join(map(json.dumps, crds)))
    stack.kubectl("wait", *names, "--for=condition=Established", f"--timeout={_SECONDS}s")
    images = {
        word: servers.load_built(stack, name)
        for word, name in (
            ("OPERATOR", "prometheus-operator"),
            ("RELOADER", "prometheus-config-reloader"),
            ("PROMETHEUS", "prometheus"),
        )
    }
    stack.kubectl("apply", "-f", "-", stdin=servers.filled(MANIFEST, **images))
    stack.wait(
        "a Prometheus",
        lambda: (
            (stack.get("prometheus", "all", NAMESPACE) or {})
            .get("status", {})
            .get("availableReplicas")
        ),
        seconds=_SECONDS,
        describe=lambda: stack.kubectl(
            "-n", NAMESPACE, "get", "prometheus,pods", "-o", "wide", check=False
        ),
    )
