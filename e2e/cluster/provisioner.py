"""Provisions, expands and frees the volumes of the default StorageClass of a local cluster.

    python -m e2e.cluster.provisioner --kubeconfig FILE --directory DIR --node NODE

A volume is a folder of the node, as a `local` PersistentVolume: the kubelet applies fsGroup to
those (it does not to hostPath volumes). In a class with the parameter `medium: memory` the folder
is a file system of its own in the node's memory, as large as the volume, and really gets full; the
size of other volumes is recorded, not enforced.
"""

from __future__ import annotations

import argparse
import json
import logging
import shutil
import subprocess
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path

from kubernetes import client, config
from kubernetes.utils.quantity import parse_quantity
from typing_extensions import override

from e2e.cluster.leveled import Controller, Object

PROVISIONER = "memorybank.dev/local"
# https://kubernetes.io/docs/reference/labels-annotations-taints/
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
SELECTED_NODE = "volume.kubernetes.io/selected-node"
HOSTNAME = "kubernetes.io/hostname"

log = logging.getLogger("volume-provisioner")


@dataclass(frozen=True)
class Provision:
    """Make a folder and the PersistentVolume that offers it to one claim."""

    volume: Object
    in_memory: bool = False

    @property
    def name(self) -> str:
        """The volume's name."""
        return str(self.volume["metadata"]["name"])


@dataclass(frozen=True)
class Expand:
    """Record a larger size, first in the volume, then in the claim."""

    name: str
    namespace: str
    claim: str
    size: str
    in_memory: Path | None = None
    """Where its file system is mounted, if it has one of its own."""


@dataclass(frozen=True)
class Free:
    """Remove a folder, then the volume whose claim is gone."""

    name: str
    path: Path


Action = Provision | Expand | Free


def plan(
    claims: list[Object],
    volumes: list[Object],
    classes: list[Object],
    *,
    directory: Path,
    node: str,
) -> list[Action]:
    """Return what has to be done so that claims, volumes and folders agree. Pure."""
    ours = {
        each["metadata"]["name"]: each for each in classes if each["provisioner"] == PROVISIONER
    }
    by_name = {each["metadata"]["name"]: each for each in volumes}
    actions: list[Action] = []
    for claim in claims:
        storage_class = ours.get(claim["spec"].get("storageClassName", ""))
        if storage_class is None or "deletionTimestamp" in claim["metadata"]:
            continue
        name = volume_name(claim)
        if name not in by_name:
            if wants_volume(claim, storage_class, node):
                volume = new_volume(claim, storage_class, directory, node)
                actions.append(Provision(volume, in_memory=is_in_memory(storage_class)))
        elif wants_expansion(claim, storage_class):
            metadata = claim["metadata"]
            mounted = directory / name if is_in_memory(storage_class) else None
            actions.append(
                Expand(name, metadata["namespace"], metadata["name"], requested(claim), mounted)
            )
    # The folder follows from the name: a path that someone edited is never deleted.
    freed = (each["metadata"]["name"] for each in volumes if is_free(each))
    return [*actions, *(Free(name, directory / name) for name in freed)]


def is_in_memory(storage_class: Object) -> bool:
    """Tell whether volumes of a class have file systems of their own."""
    return bool((storage_class.get("parameters") or {}).get("medium") == "memory")


def volume_name(claim: Object) -> str:
    """Return the name of a claim's volume: the same on every attempt, so none is made twice."""
    return f"pvc-{claim['metadata']['uid']}"


def requested(claim: Object) -> str:
    """Return the size that a claim asks for."""
    return str(claim["spec"]["resources"]["requests"]["storage"])


def wants_volume(claim: Object, storage_class: Object, node: str) -> bool:
    """Tell whether a claim without a volume is to get one now, on this node."""
    if claim["spec"].get("volumeName") or claim["spec"].get("volumeMode") == "Block":
        return False
    if storage_class.get("volumeBindingMode") != "WaitForFirstConsumer":
        return True
    selected: str | None = claim["metadata"].get("annotations", {}).get(SELECTED_NODE)
    return selected == node


def wants_expansion(claim: Object, storage_class: Object) -> bool:
    """Tell whether a bound claim asks for more than it has."""
    capacity = claim.get("status", {}).get("capacity", {}).get("storage")
    if capacity is None or not storage_class.get("allowVolumeExpansion"):
        return False
    return quantity(requested(claim)) > quantity(capacity)


def quantity(text: str) -> Decimal:
    """Return the number that a Kubernetes quantity such as 64Mi stands for."""
    # The client library has types, but not in this module.
    number: Decimal = parse_quantity(text)  # type: ignore[no-untyped-call]
    return number


def is_free(volume: Object) -> bool:
    """Tell whether a volume of ours has lost its claim and is to be deleted."""
    return (
        volume["metadata"].get("annotations", {}).get(PROVISIONED_BY) == PROVISIONER
        and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
        and volume.get("status", {}).get("phase") in ("Released", "Failed")
    )


def new_volume(claim: Object, storage_class: Object, directory: Path, node: str) -> Object:
    """Return the PersistentVolume for a claim."""
    metadata, name = claim["metadata"], volume_name(claim)
    on_node = {"key": HOSTNAME, "operator": "In", "values": [node]}
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {"name": name, "annotations": {PROVISIONED_BY: PROVISIONER}},
        "spec": {
            "capacity": {"storage": requested(claim)},
            "accessModes": claim["spec"]["accessModes"],
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
            "storageClassName": storage_class["metadata"]["name"],
            "local": {"path": str(directory / name)},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": metadata["namespace"],
                "name": metadata["name"],
                "uid": metadata["uid"],
            },
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [on_node]}]}},
        },
    }


class Provisioner(Controller):
    """Does what the plan says, whenever something changed."""

    def __init__(self, connection: client.ApiClient, *, directory: Path, node: str) -> None:
        self._core = client.CoreV1Api(connection)
        super().__init__(
            (
                self._core.list_persistent_volume_claim_for_all_namespaces,
                self._core.list_persistent_volume,
                client.StorageV1Api(connection).list_storage_class,
            )
        )
        self._directory = directory
        self._node = node

    @override
    def reconcile(self) -> None:
        claims, volumes, classes = (
            json.loads(listing(_preload_content=False).data)["items"] for listing in self._listings
        )
        for action in plan(claims, volumes, classes, directory=self._directory, node=self._node):
            self._carry_out(action)

    def _carry_out(self, action: Action) -> None:
        match action:
            case Provision(volume, in_memory):
                # Root's, as a freshly formatted disk: fsGroup opens it to a pod's own group.
                path = Path(volume["spec"]["local"]["path"])
                path.mkdir(mode=0o755, exist_ok=True)
                if in_memory and not path.is_mount():
                    mount(path, volume["spec"]["capacity"]["storage"], "mode=755")
                self._core.create_persistent_volume(volume)  # type: ignore[arg-type]  # JSON is taken as it is
            case Expand(name, namespace, claim, size, in_memory):
                if in_memory is not None:
                    mount(in_memory, size, "remount")
                capacity = {"capacity": {"storage": size}}
                self._core.patch_persistent_volume(name, {"spec": capacity})
                self._core.patch_namespaced_persistent_volume_claim_status(
                    claim, namespace, {"status": {**capacity, "conditions": None}}
                )
            case Free(name, path):
                if path.is_mount():
                    subprocess.run(["umount", path], check=True)
                if path.exists():
                    shutil.rmtree(path)
                self._core.delete_persistent_volume(name)
        log.info("%s %s", type(action).__name__.lower(), action.name)


def mount(path: Path, size: str, option: str) -> None:
    """Mount a file system in memory of this size, or make the one that is mounted so large."""
    options = f"size={int(quantity(size))},{option}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "volume", path], check=True)


def main() -> None:
    """Run until killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kubeconfig", required=True)
    parser.add_argument("--directory", required=True, type=Path)
    parser.add_argument("--node", required=True)
    arguments = parser.parse_args()
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s", level=logging.INFO)
    # The client library has types, but not in this module.
    connection = config.new_client_from_config(arguments.kubeconfig)  # type: ignore[no-untyped-call]
    Provisioner(connection, directory=arguments.directory, node=arguments.node).run()


if __name__ == "__main__":
    main()
