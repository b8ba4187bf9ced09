"""The Job that works on a bank's backups: it takes a recovery point, or restores what is there and
searches it, in a pod of its own and without touching the bank.

Its pod is made from the one that the Deployment has: the same image, settings, Secrets and
destination as what replicates the bank. It has other labels, so that neither the Service nor a
disruption budget nor we take it for one of the bank's. It has no volume of the bank's own, unless
it replaces what is there: then the bank has no pod. Of a bank in PostgreSQL it has the database.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.memorybankbackup import MemoryBankBackup
from memorybank_operator.api.v1alpha1.memorybankrestore import MemoryBankRestore
from memorybank_operator.configfiles.checksum import text_checksum
from memorybank_operator.resources import names
from memorybank_operator.resources.backup import (
    SCRATCH_FOLDER,
    SCRATCH_VOLUME,
    build_destination,
)
from memorybank_operator.resources.container import DATA_FOLDER, DATA_VOLUME, KEY_FOLDER
from memorybank_operator.resources.container import NAME as SERVICE
from memorybank_operator.resources.key_secret import TOKEN
from memorybank_operator.resources.labels import (
    backup_selector,
    owner_reference,
    selector,
)
from memorybank_operator.resources.pod_template import NODE, REVISION

CONTAINER = "backup"
DEADLINE_SECONDS = 4 * 3600
CPU = "20m"
"""What a pod that works beside the bank asks of the processor: a fifth of what a bank does unless
it says otherwise. A busy node is shared out by it, so that who uses the bank hardly notices; of one
that is not busy the pod takes what there is.
"""
KEPT_SECONDS = 3600
"""What ended is kept so long, for those who read logs. What came of it is in a status by then."""
PATIENCE_SECONDS = 300
TRIES_AGAIN = 2
HOPELESS = (2, 3, 6)
"""Exit codes after which trying again changes nothing: settings or keys, nothing there, damaged."""
_SHARED = (
    "image", "imagePullPolicy", "securityContext", "resources",
)  # fmt: skip
_PLACED = (
    "serviceAccountName", "automountServiceAccountToken", "enableServiceLinks", "securityContext",
    "imagePullSecrets", "nodeSelector", "tolerations", "priorityClassName",
)  # fmt: skip


def take_name(backup: MemoryBankBackup, bank: MemoryBank) -> str:
    """Name the Job that takes a recovery point: another one for one that is made anew."""
    return f"{bank.name}-take-{text_checksum(backup.uid)[:10]}"


def restore_name(restore: MemoryBankRestore, bank: MemoryBank, operation: str) -> str:
    """Name a Job of a restore, likewise: `check`, `rewind` or `undo`."""
    return f"{bank.name}-{operation}-{text_checksum(restore.uid)[:10]}"


def build_take_job(
    bank: MemoryBank, backup: MemoryBankBackup, deployment: Mapping[str, Any], *, size: str
) -> dict[str, Any]:
    """Build the Job that takes a recovery point. It goes with the MemoryBankBackup."""
    hours = backup.spec.expire_hours
    expiry = () if hours is None else ("--expire-hours", str(hours))
    # By the id it is known again what an earlier try has taken already.
    export = () if backup.spec.export is None else ("--export",)
    arguments = ("take", backup.name, "--id", backup.uid, *expiry, *export, *_patience(bank))
    owner = _owner(constants.BACKUP_KIND, backup)
    pod = _beside(bank, deployment, arguments, size)
    return _job(bank, pod, name=take_name(backup, bank), owner=owner)


def build_verify_job(
    bank: MemoryBank, deployment: Mapping[str, Any], *, name: str, size: str
) -> dict[str, Any]:
    """Build the Job that restores the newest backup and searches it. It goes with the bank."""
    pod = _beside(bank, deployment, ("verify",), size)
    return _job(bank, pod, name=name, owner=owner_reference(bank))


def build_check_job(
    bank: MemoryBank, restore: MemoryBankRestore, deployment: Mapping[str, Any], *, size: str
) -> dict[str, Any]:
    """Build the Job that tries what is to be restored. It goes with the MemoryBankRestore."""
    pod = _beside(bank, deployment, ("verify", *_state(restore)), size)
    name = restore_name(restore, bank, "check")
    return _job(bank, pod, name=name, owner=_owner(constants.RESTORE_KIND, restore))


def build_rewind_job(
    bank: MemoryBank, restore: MemoryBankRestore, deployment: Mapping[str, Any], *, size: str
) -> dict[str, Any]:
    """Build the Job that replaces the bank's database, which no pod has."""
    arguments = ("rewind", restore.uid, *_state(restore))
    pod = _in_place(bank, deployment, arguments, size)
    name, owner = restore_name(restore, bank, "rewind"), _owner(constants.RESTORE_KIND, restore)
    return _job(bank, pod, name=name, owner=owner, component=constants.COMPONENT_REWIND)


def build_undo_job(
    bank: MemoryBank, restore: MemoryBankRestore, deployment: Mapping[str, Any], *, size: str
) -> dict[str, Any]:
    """Build the Job that puts back what was there before, likewise."""
    pod = _in_place(bank, deployment, ("undo", restore.uid), size)
    name, owner = restore_name(restore, bank, "undo"), _owner(constants.RESTORE_KIND, restore)
    return _job(bank, pod, name=name, owner=owner, component=constants.COMPONENT_REWIND)


def job_labels(bank: MemoryBank, component: str = constants.COMPONENT_BACKUP) -> dict[str, str]:
    """Return the labels of these Jobs and of their pods."""
    return {
        **backup_selector(bank),
        constants.LABEL_COMPONENT: component,
        constants.LABEL_MANAGED_BY: constants.FIELD_MANAGER,
    }


def _owner(kind: str, of: MemoryBankBackup | MemoryBankRestore) -> dict[str, Any]:
    return {
        "apiVersion": constants.API_VERSION,
        "kind": kind,
        "name": of.name,
        "uid": of.uid,
        "controller": True,
    }


def _state(restore: MemoryBankRestore) -> tuple[str, ...]:
    """Return the options that name the state which is asked for; none for the newest."""
    spec = restore.spec
    if spec.timestamp is not None:
        return ("--at", spec.timestamp)
    if spec.epoch is not None:
        return ("--epoch", spec.epoch)
    return () if spec.backup is None else ("--point", spec.backup.name)


def _job(
    bank: MemoryBank,
    pod: dict[str, Any],
    *,
    name: str,
    owner: dict[str, Any],
    component: str = constants.COMPONENT_BACKUP,
) -> dict[str, Any]:
    labels = job_labels(bank, component)
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": bank.namespace,
            "labels": labels,
            "ownerReferences": [owner],
        },
        "spec": {
            "backoffLimit": TRIES_AGAIN,
            "activeDeadlineSeconds": DEADLINE_SECONDS,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "podFailurePolicy": {"rules": _rules()},
            "template": {"metadata": {"labels": labels}, "spec": pod},
        },
    }


def _rules() -> list[dict[str, Any]]:
    """Return what a pod's end means: one that the cluster moved away does not count as a try."""
    codes = {"containerName": CONTAINER, "operator": "In", "values": list(HOPELESS)}
    moved = {"type": "DisruptionTarget", "status": "True"}
    return [
        {"action": "FailJob", "onExitCodes": codes},
        {"action": "Ignore", "onPodConditions": [moved]},
    ]


def _beside(
    bank: MemoryBank, deployment: Mapping[str, Any], arguments: Sequence[str], size: str
) -> dict[str, Any]:
    """Build a pod that works beside the bank: on room of its own, and asks it what it holds."""
    served = deployment["spec"]["template"]["spec"]
    asked = (
        *("--url", names.http_url(bank)),
        *("--token-file", f"{KEY_FOLDER}/{TOKEN}"),
    )
    # A bank in PostgreSQL is not asked: its database is.
    more = ("--scratch", SCRATCH_FOLDER, *(asked if bank.spec.replicated is not None else ()))
    pod = _pod(served, (*arguments, *_configuration(served), *more), without=DATA_VOLUME)
    resources = pod["containers"][0].setdefault("resources", {})
    resources["requests"] = resources.get("requests", {}) | {"cpu": CPU}
    return _with_room(bank, pod, size) | _near(bank)


def _in_place(
    bank: MemoryBank, deployment: Mapping[str, Any], arguments: Sequence[str], size: str
) -> dict[str, Any]:
    """Build a pod that works on the bank's own volume, or on its database in PostgreSQL."""
    served = deployment["spec"]["template"]["spec"]
    if bank.spec.storage.has_volume:
        more = ("--data", DATA_FOLDER, *_configuration(served))
        return _pod(served, (*arguments, *more), without="")
    more = (*_configuration(served), "--scratch", SCRATCH_FOLDER)
    return _with_room(bank, _pod(served, (*arguments, *more), without=""), size)


def _with_room(bank: MemoryBank, pod: dict[str, Any], size: str) -> dict[str, Any]:
    """Return a pod that has room for copies, and the destinations that the bank's pod has not. A
    `size` that nobody knows is no limit.
    """
    mounts, volumes = build_destination(bank.spec)
    scratch = {"name": SCRATCH_VOLUME, "mountPath": SCRATCH_FOLDER}
    pod["containers"][0]["volumeMounts"] += [*mounts, scratch]
    room = {"sizeLimit": size} if size else {}
    kept = [each for each in pod["volumes"] if each["name"] != SCRATCH_VOLUME]
    pod["volumes"] = [*kept, *volumes, {"name": SCRATCH_VOLUME, "emptyDir": room}]
    return pod


def _pod(served: Mapping[str, Any], arguments: Sequence[str], *, without: str) -> dict[str, Any]:
    service = _service(served)
    return {
        **{field: copy.deepcopy(served[field]) for field in _PLACED if field in served},
        "restartPolicy": "Never",
        "containers": [
            {
                "name": CONTAINER,
                "args": ["backup", *arguments],
                **{field: copy.deepcopy(service[field]) for field in _SHARED if field in service},
                "env": [each for each in service["env"] if each["name"] != REVISION],
                "volumeMounts": _without(without, service["volumeMounts"]),
                # Its report, or the last lines of the log of what ended without one.
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }
        ],
        "volumes": _without(without, served["volumes"]),
    }


def _service(served: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the container of the memory service."""
    found: Mapping[str, Any] = next(
        each for each in served["containers"] if each["name"] == SERVICE
    )
    return found


def _near(bank: MemoryBank) -> dict[str, Any]:
    """Prefer the node of the bank where backups are on a volume, which may be there alone."""
    backup = bank.spec.backed_up
    if backup is None or not backup.volumes:
        return {}
    term = {"labelSelector": {"matchLabels": selector(bank)}, "topologyKey": NODE}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {
        "affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    }


def _patience(bank: MemoryBank) -> Sequence[str]:
    """Return the option that waits for the word of a bank that is deleted: its pod may be on its
    way back, and its volume goes by that word.
    """
    awaited = bank.is_leaving and bank.spec.pods
    return ("--wait", str(PATIENCE_SECONDS)) if awaited else ()


def _configuration(served: Mapping[str, Any]) -> Sequence[str]:
    """Return the option of the service that names its settings."""
    arguments: Sequence[str] = _service(served)["args"]
    return arguments[arguments.index("--config") :][:2]


def _without(volume: str, entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [copy.deepcopy(dict(each)) for each in entries if each["name"] != volume]
