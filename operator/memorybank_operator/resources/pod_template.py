"""The bank's pod, and its revision: a hash of the template, told to the pod, which tells it back at
/ready. So an answer proves which template the answering pod was made from.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.pod import TopologySpread
from memorybank_operator.api.v1alpha1.spec import Spec
from memorybank_operator.configfiles.checksum import object_checksum, text_checksum
from memorybank_operator.configfiles.in_effect import restart_checksum
from memorybank_operator.resources import backup, names
from memorybank_operator.resources.config_map import config_name, config_of, config_text
from memorybank_operator.resources.container import (
    CONFIG_VOLUME,
    DATA_VOLUME,
    KEY_VOLUME,
    SCRATCH_VOLUME,
    build_container,
)
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.key_secret import TOKEN
from memorybank_operator.resources.labels import labels, read_labels, read_selector, selector
from memorybank_operator.resources.named_secrets import build_volumes

USER = 65532
"""User and group of a bank's processes; no user of the node."""
UNPRIVILEGED: dict[str, Any] = {
    "runAsNonRoot": True,
    "runAsUser": USER,
    "runAsGroup": USER,
    "fsGroup": USER,
    "fsGroupChangePolicy": "OnRootMismatch",
    "seccompProfile": {"type": "RuntimeDefault"},
}
"""Of every pod of a bank."""
REVISION = "MEMORY_BANK_REVISION"
"""Variable that tells the bank's own pod its revision."""
NODE = "kubernetes.io/hostname"
"""On every node: a label of its own."""
MARGIN_SECONDS = 9
"""After requests had their time the service still flushes and closes its database."""


def build_pod_template(ctx: BuildContext) -> dict[str, Any]:
    """Build the template with its revision in annotation and environment."""
    template = _template(ctx)
    revision = object_checksum(template)
    marked = copy.deepcopy(template)
    marked["metadata"]["annotations"][constants.ANNOTATION_REVISION] = revision
    variable = {"name": REVISION, "value": revision}
    marked["spec"]["containers"][0]["env"].insert(0, variable)
    return marked


def revision_of(template: dict[str, Any]) -> str:
    """Return the revision that a template carries."""
    return str(template["metadata"]["annotations"][constants.ANNOTATION_REVISION])


def _template(ctx: BuildContext) -> dict[str, Any]:
    spec = ctx.bank.spec
    service = build_container(ctx)
    return {
        "metadata": {
            "labels": spec.pod_labels | (read_labels if ctx.reads else labels)(ctx.bank),
            "annotations": spec.pod_annotations
            | _hashes(ctx)
            # Only where it is asked for: a new field must not restart the pods of all banks.
            | ({constants.ANNOTATION_RESTART: spec.restart} if spec.restart else {})
            | ({constants.ANNOTATION_DATABASE: ctx.database.fingerprint} if ctx.database else {})
            | _backup_keys(ctx),
        },
        "spec": {
            "serviceAccountName": names.service_account(ctx.bank).name,
            "automountServiceAccountToken": False,
            # A Service named memory-bank would add variables that begin with MEMORY_BANK_.
            "enableServiceLinks": False,
            "securityContext": UNPRIVILEGED,
            "terminationGracePeriodSeconds": spec.lifecycle.drain_seconds
            + spec.lifecycle.shutdown_seconds
            + MARGIN_SECONDS
            + backup.last_seconds(spec),
            **backup.build_before(spec, service),
            "containers": [service],
            "volumes": _volumes(ctx),
            **_placement(ctx),
        },
    }


def covers_all(deployment: Mapping[str, Any]) -> bool:
    """Tell whether the revision of a Deployment's pod covers all settings and Secrets, not only
    those that a running service does not take. All did before operators knew of such services.
    """
    annotations = deployment["spec"]["template"]["metadata"].get("annotations") or {}
    return constants.ANNOTATION_KEY_HASH in annotations


def key_hash(admin_key: str) -> str:
    """Return a fingerprint of the key. Not a prefix of its SHA-256, by which the service knows
    it.
    """
    return text_checksum(f"{constants.ANNOTATION_KEY_HASH}:{admin_key}")


def _hashes(ctx: BuildContext) -> dict[str, str]:
    if ctx.takes_changes:
        # What the running service takes is not part of it: that must not restart a pod.
        return {constants.ANNOTATION_CONFIG_HASH: restart_checksum(config_of(ctx))}
    return {
        constants.ANNOTATION_CONFIG_HASH: text_checksum(config_text(ctx)),
        constants.ANNOTATION_KEY_HASH: key_hash(ctx.admin_key or ""),
    } | ({constants.ANNOTATION_SECRETS_HASH: ctx.secrets} if ctx.secrets else {})


def _backup_keys(ctx: BuildContext) -> dict[str, str]:
    if ctx.bank.spec.backup is None or not ctx.backup_keys:
        return {}
    return {constants.ANNOTATION_BACKUP_KEYS: ctx.backup_keys}


def _volumes(ctx: BuildContext) -> list[dict[str, Any]]:
    data: dict[str, Any] = {"name": DATA_VOLUME}
    if ctx.reads:
        data["emptyDir"] = {}
    else:
        data["persistentVolumeClaim"] = {"claimName": names.volume_claim(ctx.bank).name}
    return [
        *([data] if ctx.bank.spec.storage.has_volume else ()),
        {"name": CONFIG_VOLUME, "configMap": {"name": config_name(ctx).name}},
        {
            "name": KEY_VOLUME,
            "secret": {
                "secretName": names.key_secret(ctx.bank).name,
                "items": [{"key": TOKEN, "path": TOKEN}],
                "defaultMode": 0o440,
            },
        },
        *build_volumes(ctx.bank),
        *backup.build_volumes(ctx.bank.spec),
        {"name": SCRATCH_VOLUME, "emptyDir": {"sizeLimit": "64Mi"}},
    ]


def _placement(ctx: BuildContext) -> dict[str, Any]:
    """Return what the spec says about where the pod runs; what it leaves out is left out."""
    spec = ctx.bank.spec
    fields = {
        "affinity": spec.affinity or _beside_the_bank(ctx),
        "topologySpreadConstraints": [
            _spread(ctx, each) for each in spec.topology_spread_constraints
        ]
        or _spread_over_nodes(ctx),
    }
    return placement(spec) | {name: value for name, value in fields.items() if value}


def placement(spec: Spec) -> dict[str, Any]:
    """Return what every pod of the bank has of what the spec says about nodes and registries."""
    fields = {
        "imagePullSecrets": [{"name": each.name} for each in spec.image_pull_secrets],
        "nodeSelector": spec.node_selector,
        "tolerations": [each.model_dump(exclude_none=True) for each in spec.tolerations],
        "priorityClassName": spec.priority_class_name,
    }
    return {name: value for name, value in fields.items() if value}


def _spread_over_nodes(ctx: BuildContext) -> list[dict[str, Any]]:
    """Return what keeps pods that share a database on different nodes, where nobody says anything
    else. It is the same for any number of pods: another number restarts none.
    """
    spec = ctx.bank.spec
    if (
        spec.storage.has_volume and not ctx.reads
    ) or "topology_spread_constraints" in spec.model_fields_set:
        return []
    nodes = TopologySpread(topology_key=NODE, when_unsatisfiable="ScheduleAnyway")
    # Pods of the revision before are on their way out, and do not count.
    return [_spread(ctx, nodes) | {"matchLabelKeys": ["pod-template-hash"]}]


def _beside_the_bank(ctx: BuildContext) -> dict[str, Any]:
    """Return what has read replicas run where the bank does if their copy comes from a volume: most
    can be mounted on one node alone.
    """
    source = ctx.bank.spec.source if ctx.reads else None
    if source is None or source[1].volume is None:
        return {}
    term = {"topologyKey": NODE, "labelSelector": {"matchLabels": selector(ctx.bank)}}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}


def _spread(ctx: BuildContext, constraint: TopologySpread) -> dict[str, Any]:
    counted = constraint.label_selector
    pods = (read_selector if ctx.reads else selector)(ctx.bank)
    return {
        "maxSkew": constraint.max_skew,
        "topologyKey": constraint.topology_key,
        "whenUnsatisfiable": constraint.when_unsatisfiable,
        "labelSelector": {"matchLabels": counted.match_labels if counted else pods},
    }
