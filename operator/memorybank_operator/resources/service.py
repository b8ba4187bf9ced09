"""Where agents reach the bank."""

from __future__ import annotations

from typing import Any

from memorybank_operator.constants import BACKUP_METRICS_PORT, HTTP_PORT, METRICS_PORT
from memorybank_operator.resources import names
from memorybank_operator.resources.backup import METRICS
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.labels import metadata, selector


def build_service(ctx: BuildContext) -> dict[str, Any]:
    """Build the Service."""
    ports = [port("http", HTTP_PORT), port("metrics", METRICS_PORT)]
    if ctx.bank.spec.replicated is not None:
        ports.append(port(METRICS, BACKUP_METRICS_PORT))
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(ctx.bank, names.service(ctx.bank)),
        "spec": {
            "type": "ClusterIP",
            "selector": selector(ctx.bank),
            "ports": ports,
        },
    }


def port(name: str, number: int) -> dict[str, Any]:
    """Return a port that leads to the one of this name of the pod."""
    return {"name": name, "port": number, "protocol": "TCP", "targetPort": name}
