"""The Job that works on a bank's backups: it takes a recovery point, or restores what is there and
searches it, in a pod of its own and without touching the bank.

Its pod is made from the one that the Deployment has: the same image, settings, Secrets and
destination as what replicates the bank. It has other labels, so that neither the Service nor a
disruption budget nor we take it for one of the bank's, and no volume of the bank's own.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.memorybankbackup import MemoryBankBackup
from memorybank_operator.configfiles.checksum import text_checksum
from memorybank_operator.resources import names
from memorybank_operator.resources.container import DATA_VOLUME, KEY_FOLDER
from memorybank_operator.resources.container import NAME as SERVICE
from memorybank_operator.resources.key_secret import TOKEN
from memorybank_operator.resources.labels import (
    backup_selector,
    owner_reference,
    selector,
)
from memorybank_operator.resources.pod_template import NODE, REVISION

CONTAINER = "backup"
SCRATCH_VOLUME, SCRATCH_FOLDER = "scratch", "/scratch"
DEADLINE_SECONDS = 4 * 3600
KEPT_SECONDS = 3600
"""What ended is kept so long, for those who read logs. What came of it is in a status by then."""
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
    return f"{bank.name}-take-{text_checksum(backup.metadata.uid)[:10]}"


def build_take_job(
    bank: MemoryBank, backup: MemoryBankBackup, deployment: Mapping[str, Any], *, size: str
) -> dict[str, Any]:
    """Build the Job that takes a recovery point. It goes with the MemoryBankBackup."""
    hours = backup.spec.expire_hours
    expiry = () if hours is None else ("--expire-hours", str(hours))
    owner = {
        "apiVersion": constants.API_VERSION,
        "kind": constants.BACKUP_KIND,
        "name": backup.name,
        "uid": backup.metadata.uid,
        "controller": True,
    }
    # By the id it is known again what an earlier try has taken already.
    arguments = ("take", backup.name, "--id", backup.metadata.uid, *expiry)
    name = take_name(backup, bank)
    return _job(bank, deployment, name=name, owner=owner, arguments=arguments, size=size)


def build_verify_job(
    bank: MemoryBank, deployment: Mapping[str, Any], *, name: str, size: str
) -> dict[str, Any]:
    """Build the Job that restores the newest backup and searches it. It goes with the bank."""
    owner = owner_reference(bank)
    return _job(bank, deployment, name=name, owner=owner, arguments=("verify",), size=size)


def job_labels(bank: MemoryBank) -> dict[str, str]:
    """Return the labels of these Jobs and of their pods."""
    return backup_selector(bank) | {constants.LABEL_MANAGED_BY: constants.FIELD_MANAGER}


def _job(
    bank: MemoryBank,
    deployment: Mapping[str, Any],
    *,
    name: str,
    owner: dict[str, Any],
    arguments: Sequence[str],
    size: str,
) -> dict[str, Any]:
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "namespace": bank.namespace,
            "labels": job_labels(bank),
            "ownerReferences": [owner],
        },
        "spec": {
            "backoffLimit": TRIES_AGAIN,
            "activeDeadlineSeconds": DEADLINE_SECONDS,
            "ttlSecondsAfterFinished": KEPT_SECONDS,
            "podFailurePolicy": {"rules": _rules()},
            "template": {
                "metadata": {"labels": job_labels(bank)},
                "spec": _pod(bank, deployment["spec"]["template"]["spec"], arguments, size),
            },
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


def _pod(
    bank: MemoryBank, served: Mapping[str, Any], arguments: Sequence[str], size: str
) -> dict[str, Any]:
    service = next(each for each in served["containers"] if each["name"] == SERVICE)
    scratch = {"name": SCRATCH_VOLUME, "emptyDir": {"sizeLimit": size}}
    mount = {"name": SCRATCH_VOLUME, "mountPath": SCRATCH_FOLDER}
    return {
        **{field: copy.deepcopy(served[field]) for field in _PLACED if field in served},
        "restartPolicy": "Never",
        **_near(bank),
        "containers": [
            {
                "name": CONTAINER,
                "args": [
                    "backup", *arguments, *_configuration(service["args"]),
                    *("--scratch", SCRATCH_FOLDER),
                    *("--url", names.http_url(bank)),
                    *("--token-file", f"{KEY_FOLDER}/{TOKEN}"),
                ],
                **{field: copy.deepcopy(service[field]) for field in _SHARED if field in service},
                "env": [each for each in service["env"] if each["name"] != REVISION],
                "volumeMounts": [*_without(DATA_VOLUME, service["volumeMounts"]), mount],
                # Its report, or the last lines of the log of what ended without one.
                "terminationMessagePolicy": "FallbackToLogsOnError",
            }
        ],
        "volumes": [*_without(DATA_VOLUME, served["volumes"]), scratch],
    }  # fmt: skip


def _near(bank: MemoryBank) -> dict[str, Any]:
    """Prefer the node of the bank where backups are on a volume, which may be there alone."""
    backup = bank.spec.backup
    if backup is None or backup.destination.volume is None:
        return {}
    term = {"labelSelector": {"matchLabels": selector(bank)}, "topologyKey": NODE}
    preferred = [{"weight": 100, "podAffinityTerm": term}]
    return {
        "affinity": {"podAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}
    }


def _configuration(arguments: Sequence[str]) -> Iterable[str]:
    """Return the option of the service that names its settings."""
    return arguments[arguments.index("--config") :][:2]


def _without(volume: str, entries: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [copy.deepcopy(dict(each)) for each in entries if each["name"] != volume]
