"""The Chroma server of a bank: it holds a copy of the vectors, and can lose it at any time.

It runs the official image as it is, https://docs.trychroma.com/guides/deploy/docker: its entry
point is the command `chroma`. It has no authentication, so a network policy keeps everybody but the
bank's pods away from it, whether the bank itself has one or not.
"""

from __future__ import annotations

from typing import Any

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.vector import DEFAULT_CHROMA_RESOURCES, ManagedChroma
from memorybank_operator.constants import CHROMA_PORT
from memorybank_operator.resources import names
from memorybank_operator.resources.container import CONFINED, http_probe
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.destinations import tcp
from memorybank_operator.resources.image import with_registry
from memorybank_operator.resources.labels import metadata, selector
from memorybank_operator.resources.pod_template import UNPRIVILEGED, placement

DATA_VOLUME, SCRATCH_VOLUME = "data", "tmp"
DATA_FOLDER = "/data"
HEALTH = "/api/v2/healthcheck"
STARTUP_SECONDS = 300
"""How long a start may take: collections are loaded when they are asked for, but files may have to
be mended first.
"""


def chroma_selector(bank: MemoryBank) -> dict[str, str]:
    """Return the labels that select the server's pod; they select none of the bank's own."""
    return {constants.LABEL_NAME: constants.CHROMA_NAME, constants.LABEL_BANK: bank.name}


def build_chroma_service(ctx: BuildContext) -> dict[str, Any] | None:
    """Build the headless Service: the bank connects to the pod itself."""
    if ctx.bank.spec.vector.managed_chroma is None:
        return None
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(ctx.bank, names.chroma_service(ctx.bank)),
        "spec": {
            "type": "ClusterIP",
            "clusterIP": "None",
            "selector": chroma_selector(ctx.bank),
            "ports": [
                {"name": "http", "port": CHROMA_PORT, "protocol": "TCP", "targetPort": "http"}
            ],
        },
    }


def build_chroma_policy(ctx: BuildContext) -> dict[str, Any] | None:
    """Build the NetworkPolicy: the bank's pods come in, nothing goes out."""
    if ctx.bank.spec.vector.managed_chroma is None:
        return None
    bank = {"podSelector": {"matchLabels": selector(ctx.bank)}}
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": metadata(ctx.bank, names.chroma_policy(ctx.bank)),
        "spec": {
            "podSelector": {"matchLabels": chroma_selector(ctx.bank)},
            "policyTypes": ["Ingress", "Egress"],
            "ingress": [{"from": [bank], "ports": [tcp(CHROMA_PORT)]}],
            "egress": [],
        },
    }


def build_chroma(ctx: BuildContext) -> dict[str, Any] | None:
    """Build the StatefulSet, so that never two servers write the same files. Its volume goes with
    it, but stays while the bank sleeps.
    """
    managed = ctx.bank.spec.vector.managed_chroma
    if managed is None:
        return None
    return {
        "apiVersion": "apps/v1",
        "kind": "StatefulSet",
        "metadata": metadata(ctx.bank, names.chroma(ctx.bank)),
        "spec": {
            "replicas": min(1, ctx.bank.spec.pods),
            "serviceName": names.chroma_service(ctx.bank).name,
            # One by one, a pod that cannot start would keep a mended template from replacing it.
            "podManagementPolicy": "Parallel",
            "revisionHistoryLimit": 2,
            "persistentVolumeClaimRetentionPolicy": {
                "whenDeleted": "Delete",
                "whenScaled": "Retain",
            },
            "selector": {"matchLabels": chroma_selector(ctx.bank)},
            "template": _template(ctx, managed),
            "volumeClaimTemplates": [_claim(managed)],
        },
    }


def _template(ctx: BuildContext, managed: ManagedChroma) -> dict[str, Any]:
    spec = ctx.bank.spec
    image = managed.image or with_registry(ctx.settings.chroma_image, ctx.settings.defaults)
    wanted = DEFAULT_CHROMA_RESOURCES if managed.resources is None else managed.resources
    container: dict[str, Any] = {
        "name": "chroma",
        "image": image,
        "imagePullPolicy": spec.image_pull_policy,
        "args": [
            "run",
            *("--host", "0.0.0.0"),  # noqa: S104 - reached by the pod's IP
            *("--port", str(CHROMA_PORT)),
            *("--path", DATA_FOLDER),
        ],
        "env": [{"name": "HOME", "value": "/tmp"}],  # noqa: S108 - an own volume
        "ports": [{"name": "http", "containerPort": CHROMA_PORT, "protocol": "TCP"}],
        "volumeMounts": [
            {"name": DATA_VOLUME, "mountPath": DATA_FOLDER},
            {"name": SCRATCH_VOLUME, "mountPath": "/tmp"},  # noqa: S108 - an own volume
        ],
        "securityContext": CONFINED,
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "startupProbe": http_probe(HEALTH, period=1, failures=STARTUP_SECONDS),
        "readinessProbe": http_probe(HEALTH, period=5, failures=2),
        "livenessProbe": http_probe(HEALTH, period=10, failures=6),
    }
    resources = wanted.model_dump(exclude_defaults=True)
    if resources:
        container["resources"] = resources
    return {
        # Without our managed-by label: what becomes of the pod, the StatefulSet tells.
        "metadata": {
            "labels": chroma_selector(ctx.bank)
            | {constants.LABEL_COMPONENT: constants.COMPONENT_VECTORS}
        },
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "securityContext": UNPRIVILEGED,
            "terminationGracePeriodSeconds": 30,
            "containers": [container],
            "volumes": [{"name": SCRATCH_VOLUME, "emptyDir": {"sizeLimit": "256Mi"}}],
            **placement(spec),
        },
    }


def _claim(managed: ManagedChroma) -> dict[str, Any]:
    claim: dict[str, Any] = {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": managed.storage.size}},
    }
    if managed.storage.storage_class_name is not None:
        claim["storageClassName"] = managed.storage.storage_class_name
    return {"metadata": {"name": DATA_VOLUME}, "spec": claim}
