"""The claim of the volume that holds the bank's data."""

from __future__ import annotations

from typing import Any

from memorybank_operator.constants import (
    ANNOTATION_BANK_UID,
    ANNOTATION_GROWN_FROM,
    ANNOTATION_STORAGE_CLASS,
)
from memorybank_operator.resources import names
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.labels import metadata


def build_volume_claim(ctx: BuildContext) -> dict[str, Any] | None:
    """Build the PersistentVolumeClaim, None while no volume can be had, or none is needed. Under
    Retain nobody owns it, so it outlives the bank.
    """
    if ctx.volume_size is None or not ctx.bank.spec.storage.has_volume:
        return None
    volume = ctx.bank.spec.storage.volume
    annotations = {ANNOTATION_BANK_UID: ctx.bank.uid}
    if ctx.grown_from:
        annotations[ANNOTATION_GROWN_FROM] = ctx.grown_from
    spec: dict[str, Any] = {
        "accessModes": [volume.access_mode],
        "resources": {"requests": {"storage": ctx.volume_size}},
    }
    if volume.storage_class_name is not None:
        spec["storageClassName"] = volume.storage_class_name
    elif ctx.storage_class is not None:
        spec["storageClassName"] = ctx.storage_class
        annotations[ANNOTATION_STORAGE_CLASS] = ctx.storage_class
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": metadata(
            ctx.bank,
            names.volume_claim(ctx.bank),
            annotations=annotations,
            owned=ctx.bank.spec.deletion_policy == "Delete",
        ),
        "spec": spec,
    }
