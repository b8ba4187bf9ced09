"""The Deployment that runs the bank's pod."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.constants import ANNOTATION_AUTOSCALED, ANNOTATION_REVISION
from memorybank_operator.resources import names
from memorybank_operator.resources.container import NAME as CONTAINER
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.labels import metadata, selector
from memorybank_operator.resources.pod_template import build_pod_template

ONE_BY_ONE = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}


def build_deployment(ctx: BuildContext) -> dict[str, Any] | None:
    """Build the Deployment, None while key, volume or a Secret are missing. SQLite has a single
    writer: the old pod stops before a new one starts. In PostgreSQL there may be several: an old
    pod stops when a new one serves.
    """
    has_volume = ctx.bank.spec.storage.has_volume
    if ctx.admin_key is None or ctx.secrets is None or (has_volume and ctx.volume_size is None):
        return None
    autoscaled = ctx.bank.spec.autoscaled is not None
    marks = {ANNOTATION_AUTOSCALED: "true"} if autoscaled else {}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(ctx.bank, names.deployment(ctx.bank), annotations=marks),
        "spec": {
            # What is left out is nobody's but the autoscaler's.
            **({} if autoscaled else {"replicas": ctx.bank.spec.pods}),
            "revisionHistoryLimit": 2,
            "strategy": {"type": "Recreate"} if has_volume else ONE_BY_ONE,
            "selector": {"matchLabels": selector(ctx.bank)},
            "template": build_pod_template(ctx),
        },
    }


def has_its_pods(bank: MemoryBank, deployment: Mapping[str, Any]) -> bool:
    """Tell whether a Deployment asks for as many pods as the bank is to have; of one with an
    autoscaler, whether for any.
    """
    asked = deployment["spec"].get("replicas", 1)
    return bool(asked) if bank.spec.autoscaled is not None else asked == bank.spec.pods


def count_to_hand_over(body: Mapping[str, Any], live: Mapping[str, Any]) -> int | None:
    """Return how many pods a Deployment asks for by our own word, which the body takes back: that
    would make it one. None when there is nothing to keep.
    """
    asked = int(live["spec"].get("replicas", 1))
    annotations = live["metadata"].get("annotations") or {}
    if "replicas" in body["spec"] or ANNOTATION_AUTOSCALED in annotations or asked <= 1:
        return None
    return asked


def revision_in(deployment: Mapping[str, Any]) -> str:
    """Return the revision of the pod in a Deployment, empty when it names none."""
    annotations = deployment["spec"]["template"]["metadata"].get("annotations") or {}
    return str(annotations.get(ANNOTATION_REVISION, ""))


def image_in(deployment: Mapping[str, Any]) -> str:
    """Return the image of the service in a Deployment, empty when somebody took it out."""
    containers = deployment["spec"]["template"]["spec"]["containers"]
    return next((str(each["image"]) for each in containers if each["name"] == CONTAINER), "")
