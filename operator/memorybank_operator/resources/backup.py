"""What a pod has so that its bank is replicated, and restored when its volume is empty.

Before the service starts, `backup-prepare` finds the database on the volume or restores it, and
writes the configuration of `litestream`, which runs beside the service: it is started before, and
stopped when the service has ended, so that nothing is left that did not arrive. What copies the
backups to further destinations is started before that, and so stopped after it.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from memorybank_operator.api.v1alpha1.backup import (
    BACKUP_RESOURCES,
    COPY_RESOURCES,
    Backup,
    Destination,
)
from memorybank_operator.api.v1alpha1.spec import Spec
from memorybank_operator.configfiles.app_config import (
    BACKUP_FOLDER,
    COPY_FOLDERS,
    RESTORE_FOLDER,
    RUN_FOLDER,
)
from memorybank_operator.configfiles.secret_files import OF_BACKUPS, OF_COPIES, Mounted
from memorybank_operator.constants import BACKUP_METRICS_PORT
from memorybank_operator.resources.probe import http_probe

PREPARE, SIDECAR, COPIER = "backup-prepare", "litestream", "backup-copies"
METRICS = "backup-metrics"
"""Name of the port."""
RUN_VOLUME, BACKUP_VOLUME, RESTORE_VOLUME = "backup-run", "backup", "restore"
SCRATCH_VOLUME, SCRATCH_FOLDER = "scratch", "/scratch"
"""Room for copies of a bank that is not on a volume."""
LAST_SYNC_SECONDS = 20
"""What the last sync may take, when the service has ended."""
LAST_COPY_SECONDS = 15
"""What bringing that to the copies may take, after it."""
STARTUP_SECONDS = 60
SHARED = frozenset({"data", "tmp", RUN_VOLUME, BACKUP_VOLUME, Mounted.BACKUP_CA})
"""Volumes of the service that the sidecar has, too: no keys of the bank, and no settings. The keys
of its bucket are in the file that was prepared for it.
"""
COPY_VOLUMES = ("copy-1", "copy-2", "copy-3")
"""Of copies on volumes, in the order of the spec."""
OF_COPIER = frozenset(
    {"config", "tmp", RUN_VOLUME, BACKUP_VOLUME, *COPY_VOLUMES, *OF_BACKUPS}
    | {use for files in OF_COPIES for use in files}
)
"""Volumes of the service that what copies has, too: neither the bank nor any of its keys."""
ADMIN_KEY = "MEMORY_BANK_ADMIN_KEY_FILE"
CERTIFICATES = "SSL_CERT_FILE"
"""Names the file of certificates for programs in Go, besides the folder of the image."""
NOT_TAKEN = "AWS_CA_BUNDLE"
"""Likewise for others of Amazon's programs; Litestream fails wherever it is set."""


def build_before(spec: Spec, service: dict[str, Any]) -> dict[str, Any]:
    """Build the containers that start before that of the service, as a part of the pod's spec;
    nothing for a bank without backups. One in PostgreSQL has what it begins with made ready, and is
    not replicated.
    """
    if spec.replicated is not None:
        copier = [_copier(spec.replicated, service)] if spec.replicated.copies else []
        return {"initContainers": [_prepare(service), *copier, _sidecar(spec, service)]}
    if not _begins(spec):
        return {}
    prepare = _prepare(service)
    return {"initContainers": [with_scratch(prepare)]}


def last_seconds(spec: Spec) -> int:
    """Return what is needed after the service has ended until all that it wrote has arrived."""
    if spec.replicated is None:
        return 0
    return LAST_SYNC_SECONDS + (LAST_COPY_SECONDS if spec.replicated.copies else 0)


def build_mounts(spec: Spec) -> list[dict[str, Any]]:
    """Build the mounts that all containers of the pod have."""
    claims = _mounts(_claims_of_pod(spec))
    run = [{"name": RUN_VOLUME, "mountPath": RUN_FOLDER}]
    return [*(run if spec.replicated is not None else []), *claims]


def build_volumes(spec: Spec) -> list[dict[str, Any]]:
    """Build the volumes of these mounts."""
    run = [{"name": RUN_VOLUME, "emptyDir": {"medium": "Memory", "sizeLimit": "1Mi"}}]
    scratch = [{"name": SCRATCH_VOLUME, "emptyDir": {}}]
    return [
        *(run if spec.replicated is not None else []),
        *(scratch if spec.replicated is None and _begins(spec) else []),
        *_volumes(_claims_of_pod(spec)),
    ]


def build_destination(spec: Spec) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Build the mounts and the volumes by which a Job has destinations that the pod has not."""
    of_pod = _claims_of_pod(spec)
    claims = {name: claim for name, claim in _claims(spec).items() if name not in of_pod}
    return _mounts(claims), _volumes(claims)


def with_scratch(container: dict[str, Any]) -> dict[str, Any]:
    """Return a container with room for copies of a bank, where it makes temporary files."""
    mount = {"name": SCRATCH_VOLUME, "mountPath": SCRATCH_FOLDER}
    return container | {
        "env": [*container["env"], {"name": "TMPDIR", "value": SCRATCH_FOLDER}],
        "volumeMounts": [*container["volumeMounts"], mount],
    }


def _begins(spec: Spec) -> bool:
    """Tell whether the bank begins with a backup."""
    return spec.backed_up is not None and spec.restore is not None


def _mounts(claims: Mapping[str, str]) -> list[dict[str, Any]]:
    folders = {
        BACKUP_VOLUME: BACKUP_FOLDER,
        RESTORE_VOLUME: RESTORE_FOLDER,
        **dict(zip(COPY_VOLUMES, COPY_FOLDERS, strict=True)),
    }
    return [{"name": name, "mountPath": folders[name]} for name in claims]


def _volumes(claims: Mapping[str, str]) -> list[dict[str, Any]]:
    return [
        {"name": name, "persistentVolumeClaim": {"claimName": claim}}
        for name, claim in claims.items()
    ]


def _claims_of_pod(spec: Spec) -> dict[str, str]:
    """Return the claims that the bank's pods have. Pods that share a database are on several nodes,
    where a volume may not be: they have only what they begin with.
    """
    claims = _claims(spec)
    if spec.replicated is not None or spec.followed is not None:
        return claims
    if spec.backed_up is None or spec.restore is None:
        return {}
    source = BACKUP_VOLUME if spec.restore.destination is None else RESTORE_VOLUME
    return {name: claim for name, claim in claims.items() if name == source}


def _claims(spec: Spec) -> dict[str, str]:
    """Return the claims of destinations, by the volumes that they are in the pod."""
    copies = () if spec.backed_up is None else spec.backed_up.copies
    destinations: dict[str, Destination | None] = {
        BACKUP_VOLUME: None if spec.backed_up is None else spec.backed_up.destination,
        RESTORE_VOLUME: None if spec.source is None else spec.source[1],
        **dict(zip(COPY_VOLUMES, copies, strict=False)),
    }
    return {
        name: each.volume.claim_name
        for name, each in destinations.items()
        if each is not None and each.volume is not None
    }


def _prepare(service: dict[str, Any]) -> dict[str, Any]:
    """Build the container that has what the service has, and ends."""
    shared = (
        "image", "imagePullPolicy", "env", "volumeMounts", "securityContext",
        "terminationMessagePolicy", "resources",
    )  # fmt: skip
    return {
        "name": PREPARE,
        "args": ["backup", "prepare", *_options(service, "--data", "--config")],
        **{field: copy.deepcopy(service[field]) for field in shared if field in service},
    }


def _copier(wanted: Backup, service: dict[str, Any]) -> dict[str, Any]:
    """Build the container that copies, which is to have what it needs for that and no more."""
    resources = COPY_RESOURCES if wanted.copy_resources is None else wanted.copy_resources
    return {
        "name": COPIER,
        "restartPolicy": "Always",
        "image": service["image"],
        "imagePullPolicy": service["imagePullPolicy"],
        "args": ["backup", "mirror", *_options(service, "--config")],
        "env": [each for each in service["env"] if each["name"] != ADMIN_KEY],
        "volumeMounts": [each for each in service["volumeMounts"] if each["name"] in OF_COPIER],
        "securityContext": service["securityContext"],
        "terminationMessagePolicy": service["terminationMessagePolicy"],
        "resources": resources.model_dump(exclude_defaults=True),
    }


def _options(service: dict[str, Any], *names: str) -> list[str]:
    """Return options of the service's own command, with what they say."""
    arguments: list[str] = service["args"]
    return [part for name in names for part in arguments[arguments.index(name) :][:2]]


def _sidecar(spec: Spec, service: dict[str, Any]) -> dict[str, Any]:
    assert spec.backed_up is not None  # noqa: S101 - of it comes what is built here
    s3 = spec.backed_up.destination.s3
    wanted = BACKUP_RESOURCES if spec.backed_up.resources is None else spec.backed_up.resources
    resources = wanted.model_dump(exclude_defaults=True)
    variables = [
        each.model_dump(exclude_defaults=True) for each in spec.env if each.name != NOT_TAKEN
    ]
    if s3 is not None and s3.ca_secret_ref is not None:
        variables = [each for each in variables if each["name"] != CERTIFICATES]
        variables.append({"name": CERTIFICATES, "value": Mounted.BACKUP_CA.file})
    return {
        "name": SIDECAR,
        "restartPolicy": "Always",
        "image": service["image"],
        "imagePullPolicy": service["imagePullPolicy"],
        "command": ["memorybank", "backup", "replicate", "--run-dir", RUN_FOLDER],
        **({"env": variables} if variables else {}),
        "ports": [{"name": METRICS, "containerPort": BACKUP_METRICS_PORT, "protocol": "TCP"}],
        "volumeMounts": [each for each in service["volumeMounts"] if each["name"] in SHARED],
        "securityContext": service["securityContext"],
        "terminationMessagePolicy": service["terminationMessagePolicy"],
        "startupProbe": http_probe("/metrics", port=METRICS, period=1, failures=STARTUP_SECONDS),
        **({"resources": resources} if resources else {}),
    }
