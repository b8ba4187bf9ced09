"""All objects of a bank."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memorybank_operator.configfiles.checksum import object_checksum
from memorybank_operator.constants import ANNOTATION_RENDERED_HASH
from memorybank_operator.resources.autoscaler import build_autoscaler
from memorybank_operator.resources.chroma import build_chroma
from memorybank_operator.resources.config_map import build_config_map
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.deployment import build_deployment
from memorybank_operator.resources.disruption_budget import build_disruption_budget
from memorybank_operator.resources.external_service import build_external_service
from memorybank_operator.resources.http_route import build_http_route
from memorybank_operator.resources.ingress import build_ingress
from memorybank_operator.resources.key_secret import build_key_secret
from memorybank_operator.resources.monitoring import (
    build_prometheus_rule,
    build_service_monitor,
)
from memorybank_operator.resources.network_policy import (
    build_backup_policy,
    build_network_policy,
)
from memorybank_operator.resources.ollama import build_ollama
from memorybank_operator.resources.postgres_cluster import build_postgres_cluster
from memorybank_operator.resources.read_replicas import build_read_replicas
from memorybank_operator.resources.service import build_service
from memorybank_operator.resources.service_account import build_service_account
from memorybank_operator.resources.volume_claim import build_volume_claim

# Identity and configuration before the workload that needs them; the Service before the pod, so
# that its name resolves by the time that somebody asks. As resources.names.children().
BEFORE = (
    build_service_account,
    build_config_map,
    build_key_secret,
    build_volume_claim,
    build_postgres_cluster,
    build_service,
    build_backup_policy,
    build_network_policy,
)
SERVERS = (build_chroma, build_ollama)
AFTER = (
    build_disruption_budget,
    build_deployment,
    build_autoscaler,
    build_ingress,
    build_http_route,
    build_external_service,
)
MONITORING = (build_service_monitor, build_prometheus_rule)


def build_all(ctx: BuildContext) -> tuple[dict[str, Any], ...]:
    """Build every object that can be built, in the order in which they are to be applied, each with
    the hash of its rendering.
    """
    bodies = (
        *(build(ctx) for build in BEFORE),
        *(body for build in SERVERS for body in build(ctx)),
        *(build(ctx) for build in AFTER),
        *build_read_replicas(ctx),
        *(build(ctx) for build in MONITORING),
    )
    return tuple(with_hash(body) for body in bodies if body is not None)


class Rendering:
    """Builds like `build_all`, and remembers the last result: a reconcile plans several times from
    the same decisions. Nobody changes what is built.
    """

    def __init__(self) -> None:
        self._context: BuildContext | None = None
        self._bodies: tuple[dict[str, Any], ...] = ()

    def __call__(self, ctx: BuildContext) -> tuple[dict[str, Any], ...]:
        """Build every object that can be built."""
        if ctx != self._context:
            self._context, self._bodies = ctx, build_all(ctx)
        return self._bodies


def with_hash(body: dict[str, Any]) -> dict[str, Any]:
    """Add the hash of the rendering to an object."""
    metadata = body["metadata"]
    annotations = metadata.get("annotations", {}) | {
        ANNOTATION_RENDERED_HASH: object_checksum(body)
    }
    return body | {"metadata": metadata | {"annotations": annotations}}


def rendered_hash(body: Mapping[str, Any]) -> str | None:
    """Return that hash; None for an object that has none."""
    found: str | None = (body["metadata"].get("annotations") or {}).get(ANNOTATION_RENDERED_HASH)
    return found
