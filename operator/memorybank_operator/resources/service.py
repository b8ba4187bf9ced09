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
        "metadata": metadata(ctx.bank, names.service(ctx.bank), annotations=_scraped(ctx)),
        "spec": {
            "type": "ClusterIP",
            "selector": selector(ctx.bank),
            "ports": ports,
        },
    }


def _scraped(ctx: BuildContext) -> dict[str, str]:
    """Return what tells a Prometheus that nobody's objects guide where the metrics are, of a bank
    that wants to be read. On the Service: on the pod it would restart that whenever the kind comes
    or goes.
    """
    is_wanted = ctx.bank.spec.monitoring.service_monitor is not None
    if not is_wanted or names.service_monitor(ctx.bank).kind in ctx.settings.installed:
        return {}
    return {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(METRICS_PORT),
        "prometheus.io/path": "/metrics",
    }


def port(name: str, number: int) -> dict[str, Any]:
    """Return a port that leads to the one of this name of the pod."""
    return {"name": name, "port": number, "protocol": "TCP", "targetPort": name}
