"""Storage as a test plays it: classes of its own, and claims that say what a driver would say.

No controller for volumes runs beside the API server, so it is the test that binds a claim, and that
says how far its growth is, in the words of Kubernetes' own resizer. The API server judges all of it
as it does in a cluster: which claims may grow, and how far one may be taken back.
"""

from __future__ import annotations

import contextlib
from typing import Any

from memorybank_operator.constants import (
    ANNOTATION_REVISION,
    FIELD_MANAGER,
    LABEL_BANK,
    LABEL_MANAGED_BY,
)
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import with_status
from tests.integration.operator.world import Object, World


async def make_class(world: World, name: str, *, expandable: bool) -> None:
    """Make a storage class, unless another test did."""
    with contextlib.suppress(errors.Conflict):
        await world.client.create(
            {
                "apiVersion": "storage.k8s.io/v1",
                "kind": "StorageClass",
                "metadata": {"name": name},
                "provisioner": "example.org/none",
                "allowVolumeExpansion": expandable,
            }
        )


async def claim(world: World, name: str = "agents") -> Object:
    """Return a bank's claim."""
    return await world.must(kinds.VOLUME_CLAIM, f"{name}-data")


async def asked(world: World) -> str:
    """Return what the claim asks for."""
    return str((await claim(world))["spec"]["resources"]["requests"]["storage"])


async def say(world: World, capacity: str, **status: Any) -> None:
    """Make this the status of the claim, which is bound."""
    await world.client.apply_status(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": {"name": "agents-data", "namespace": world.namespace},
            "status": {"phase": "Bound", "capacity": {"storage": capacity}, **status},
        }
    )


async def run_pod(world: World) -> None:
    """Make a pod of the bank that runs, as far as the operator is to find somebody to ask."""
    metadata = {
        "name": "agents-0",
        "namespace": world.namespace,
        "labels": {LABEL_BANK: "agents", LABEL_MANAGED_BY: FIELD_MANAGER},
        "annotations": {ANNOTATION_REVISION: "any"},
    }
    containers = [{"name": "memorybank", "image": "x"}]
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata}
    made = await world.client.create(body | {"spec": {"containers": containers}})
    running = {"name": "memorybank", "image": "x", "imageID": "x", "restartCount": 0}
    status = {
        "phase": "Running",
        "podIP": "192.0.2.1",
        "podIPs": [{"ip": "192.0.2.1"}],
        "containerStatuses": [running | {"ready": False, "started": True}],
    }
    await world.client.apply_status(with_status(made, status))


def saying(kind: str, message: str = "") -> list[Object]:
    """Return the conditions of a claim of which this one holds."""
    at = "2026-01-01T00:00:00Z"
    return [{"type": kind, "status": "True", "message": message, "lastTransitionTime": at}]
