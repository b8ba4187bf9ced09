"""The container of the memory service."""

from __future__ import annotations

from typing import Any

from memorybank_operator.api.v1alpha1.pod import BUILT_IN_RESOURCES, EnvVar
from memorybank_operator.constants import HTTP_PORT, METRICS_PORT
from memorybank_operator.resources import backup
from memorybank_operator.resources.config_map import FILE
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.image import image_of
from memorybank_operator.resources.key_secret import TOKEN
from memorybank_operator.resources.named_secrets import build_mounts
from memorybank_operator.resources.probe import http_probe

NAME = "memorybank"
DATA_FOLDER = "/data"
SCRATCH_FOLDER = "/tmp"  # noqa: S108 - an own volume
CONFIG_FOLDER = "/etc/memorybank"
KEY_FOLDER = "/etc/memorybank-key"

DATA_VOLUME, CONFIG_VOLUME, KEY_VOLUME, SCRATCH_VOLUME = "data", "config", "key", "tmp"

STARTUP_SECONDS = 300
"""How long a start may take: indexes are built anew from the database."""


CONFINED: dict[str, Any] = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
}
"""Of every container of a bank's pods."""


def build_container(ctx: BuildContext) -> dict[str, Any]:
    """Build the container, without what names the pod's revision."""
    spec = ctx.bank.spec
    has_volume = spec.storage.has_volume
    container: dict[str, Any] = {
        "name": NAME,
        "image": image_of(spec, ctx.settings),
        "imagePullPolicy": spec.image_pull_policy,
        "args": [
            "serve",
            *("--data", DATA_FOLDER if has_volume else SCRATCH_FOLDER),
            *("--host", "0.0.0.0"),  # noqa: S104 - the kubelet and the Service reach it by the pod's IP
            *("--port", str(HTTP_PORT)),
            *("--metrics-port", str(METRICS_PORT)),
            *("--config", f"{CONFIG_FOLDER}/{FILE}"),
        ],
        "env": [
            {"name": "MEMORY_BANK_ADMIN_KEY_FILE", "value": f"{KEY_FOLDER}/{TOKEN}"},
            *(_variable(each) for each in spec.env),
        ],
        "ports": [
            {"name": "http", "containerPort": HTTP_PORT, "protocol": "TCP"},
            {"name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP"},
        ],
        "volumeMounts": [
            *([{"name": DATA_VOLUME, "mountPath": DATA_FOLDER}] if has_volume else ()),
            {"name": CONFIG_VOLUME, "mountPath": CONFIG_FOLDER, "readOnly": True},
            {"name": KEY_VOLUME, "mountPath": KEY_FOLDER, "readOnly": True},
            *build_mounts(ctx.bank),
            *backup.build_mounts(spec),
            {"name": SCRATCH_VOLUME, "mountPath": SCRATCH_FOLDER},
        ],
        "securityContext": CONFINED,
        # The last lines of the log say why it ended; status passes them on.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        **_probes(),
    }
    wanted = BUILT_IN_RESOURCES if spec.resources is None else spec.resources
    resources = wanted.model_dump(exclude_defaults=True)
    if resources:
        container["resources"] = resources
    return container


def _variable(variable: EnvVar) -> dict[str, Any]:
    # Defaults are left out, as the API server does.
    return variable.model_dump(exclude_defaults=True)


def _probes() -> dict[str, Any]:
    return {
        "startupProbe": http_probe("/live", period=1, failures=STARTUP_SECONDS),
        "readinessProbe": http_probe("/ready", period=5, failures=2),
        "livenessProbe": http_probe("/live", period=10, failures=3),
    }
