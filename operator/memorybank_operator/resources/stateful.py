"""The objects of a server of a bank's own, whichever server it is.

None has authentication, so a network policy keeps everybody but the bank's pods away from it,
whether the bank itself has one or not. What it keeps can be had again: its volume goes with it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.backend import BackendVolume
from memorybank_operator.api.v1alpha1.pod import Resources
from memorybank_operator.api.v1alpha1.spec import Spec
from memorybank_operator.resources.backend import Backend
from memorybank_operator.resources.container import CONFINED
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.destinations import Rule, tcp
from memorybank_operator.resources.labels import (
    backup_selector,
    metadata,
    read_selector,
    selector,
)
from memorybank_operator.resources.pod_template import UNPRIVILEGED, placement

DATA_VOLUME, SCRATCH_VOLUME = "data", "tmp"
DATA_FOLDER = "/data"
SCRATCH = {"name": SCRATCH_VOLUME, "mountPath": "/tmp"}  # noqa: S108 - an own volume


@dataclass(frozen=True, slots=True)
class Server:
    """What differs from server to server."""

    containers: tuple[dict[str, Any], ...]
    storage: BackendVolume
    before: tuple[dict[str, Any], ...] = ()
    """Containers that are done before the others start."""
    volumes: tuple[dict[str, Any], ...] = ()
    egress: tuple[Rule, ...] = ()
    """What its pod connects to."""
    serves_unready: bool = False
    """Whether the bank reaches a pod that is not ready."""


def build_server(ctx: BuildContext, backend: Backend, server: Server) -> tuple[dict[str, Any], ...]:
    """Build Service, NetworkPolicy and StatefulSet."""
    return (
        _service(ctx, backend, server),
        _policy(ctx, backend, server),
        _stateful_set(ctx, backend, server),
    )


def build_container(
    spec: Spec,
    *,
    name: str,
    image: str,
    resources: Resources,
    mounts: Iterable[dict[str, Any]],
    probes: Mapping[str, Any] | None = None,
    **more: Any,
) -> dict[str, Any]:
    """Build a container with what all of them have in common."""
    container: dict[str, Any] = {
        "name": name,
        "image": image,
        "imagePullPolicy": spec.image_pull_policy,
        **more,
        "volumeMounts": list(mounts),
        "securityContext": CONFINED,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **(probes or {}),
    }
    asked = resources.model_dump(exclude_defaults=True)
    return container | ({"resources": asked} if asked else {})


def _service(ctx: BuildContext, backend: Backend, server: Server) -> dict[str, Any]:
    """Build the headless Service: the bank connects to the pod itself."""
    spec: dict[str, Any] = {
        "type": "ClusterIP",
        "clusterIP": "None",
        "selector": backend.selector(ctx.bank),
        "ports": [{"name": "http", "port": backend.port, "protocol": "TCP", "targetPort": "http"}],
    }
    if server.serves_unready:
        spec["publishNotReadyAddresses"] = True
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(ctx.bank, backend.service(ctx.bank)),
        "spec": spec,
    }


def _policy(ctx: BuildContext, backend: Backend, server: Server) -> dict[str, Any]:
    """Build the NetworkPolicy: only the bank's pods come in, its read replicas, and those that try
    its backups.
    """
    coming = [selector(ctx.bank)]
    if ctx.bank.spec.backed_up is not None:
        coming.append(backup_selector(ctx.bank))
    if ctx.bank.spec.readers is not None:
        coming.append(read_selector(ctx.bank))
    peers = [{"podSelector": {"matchLabels": each}} for each in coming]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(ctx.bank, backend.policy(ctx.bank)),
        "spec": {
            "podSelector": {"matchLabels": backend.selector(ctx.bank)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": peers, "ports": [tcp(backend.port)]}],
            "egress": list(server.egress),
        },
    }


def _stateful_set(ctx: BuildContext, backend: Backend, server: Server) -> dict[str, Any]:
    """Build the StatefulSet, so that never two servers write the same files. Its volume goes with
    it, but stays while the bank sleeps.
    """
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(ctx.bank, backend.server(ctx.bank)),
        "spec": {
            "replicas": min(1, ctx.bank.spec.pods),
            "serviceName": backend.service(ctx.bank).name,
            # One by one, a pod that cannot start would keep a mended template from replacing it.
            "podManagementPolicy": "Parallel",
            "revisionHistoryLimit": 2,
            "persistentVolumeClaimRetentionPolicy": {
                "whenDeleted": "Delete",
                "whenScaled": "Retain",
            },
            "selector": {"matchLabels": backend.selector(ctx.bank)},
            "template": _template(ctx, backend, server),
            "volumeClaimTemplates": [_claim(server.storage)],
        },
    }


def _template(ctx: BuildContext, backend: Backend, server: Server) -> dict[str, Any]:
    spec: dict[str, Any] = {
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        "securityContext": UNPRIVILEGED,
        "terminationGracePeriodSeconds": 30,
        "containers": list(server.containers),
        "volumes": [
            {"name": SCRATCH_VOLUME, "emptyDir": {"sizeLimit": "256Mi"}},
            *server.volumes,
        ],
        **placement(ctx.bank.spec),
    }
    if server.before:
        spec["initContainers"] = list(server.before)
    # Without our managed-by label: what becomes of the pod, the StatefulSet tells.
    labels = backend.selector(ctx.bank) | {constants.LABEL_COMPONENT: backend.component}
    return {"metadata": {"labels": labels}, "spec": spec}


def _claim(storage: BackendVolume) -> dict[str, Any]:
    claim: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": storage.size}},
    }
    if storage.storage_class_name is not None:
        claim["storageClassName"] = storage.storage_class_name
    return {"metadata": {"name": DATA_VOLUME}, "spec": claim}
