"""The Chroma server of a bank: it holds a copy of the vectors, and can lose it at any time.

It runs the official image as it is, https://docs.trychroma.com/guides/deploy/docker: its entry
point is the command `chroma`.
"""

from __future__ import annotations

from typing import Any

from memorybank_operator.api.v1alpha1.vector import DEFAULT_CHROMA_RESOURCES
from memorybank_operator.constants import CHROMA_PORT
from memorybank_operator.resources.backend import CHROMA
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.image import with_registry
from memorybank_operator.resources.probe import http_probe
from memorybank_operator.resources.stateful import (
    DATA_FOLDER,
    DATA_VOLUME,
    SCRATCH,
    Server,
    build_container,
    build_server,
)

HEALTH = "/api/v2/healthcheck"
STARTUP_SECONDS = 300
"""How long a start may take: collections are loaded when they are asked for, but files may have to
be mended first.
"""


def build_chroma(ctx: BuildContext) -> tuple[dict[str, Any], ...]:
    """Build its objects; none where the bank has no such server."""
    managed = ctx.bank.spec.vector.managed_chroma
    if managed is None:
        return ()
    container = build_container(
        ctx.bank.spec,
        name=CHROMA.name,
        image=managed.image or with_registry(ctx.settings.chroma_image, ctx.settings.defaults),
        resources=DEFAULT_CHROMA_RESOURCES if managed.resources is None else managed.resources,
        args=[
            "run",
            *("--host", "0.0.0.0"),  # noqa: S104 - reached by the pod's IP
            *("--port", str(CHROMA_PORT)),
            *("--path", DATA_FOLDER),
        ],
        env=[{"name": "HOME", "value": "/tmp"}],  # noqa: S108 - an own volume
        ports=[{"name": "http", "containerPort": CHROMA_PORT, "protocol": "TCP"}],
        mounts=[{"name": DATA_VOLUME, "mountPath": DATA_FOLDER}, SCRATCH],
        probes={
            "startupProbe": http_probe(HEALTH, period=1, failures=STARTUP_SECONDS),
            "readinessProbe": http_probe(HEALTH, period=5, failures=2),
            "livenessProbe": http_probe(HEALTH, period=10, failures=6),
        },
    )
    return build_server(ctx, CHROMA, Server((container,), managed.storage))
