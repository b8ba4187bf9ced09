"""The Ollama server of a bank, and who brings its model in.

It runs the official image as it is, https://docs.ollama.com/docker: its entry point is the command
`ollama`. In the container beside it the memory service's own image has it pull the model, or gives
it a file to make the model of; that container is ready while the model answers, and so the pod is.
"""

from __future__ import annotations

from typing import Any

from memorybank_operator.api.v1alpha1.ollama import (
    DEFAULT_OLLAMA_RESOURCES,
    ManagedOllama,
    ModelFile,
)
from memorybank_operator.api.v1alpha1.pod import Resources
from memorybank_operator.constants import MODEL_PORT, OLLAMA_PORT
from memorybank_operator.resources.backend import OLLAMA
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.destinations import Rule, dns, rules_to
from memorybank_operator.resources.image import image_of, with_registry
from memorybank_operator.resources.probe import http_probe
from memorybank_operator.resources.stateful import (
    DATA_FOLDER,
    DATA_VOLUME,
    SCRATCH,
    Server,
    build_container,
    build_server,
)

KEEPER = "model"
"""The container that brings the model in."""
KEEPER_RESOURCES = Resources(requests={"cpu": "10m", "memory": "64Mi"}, limits={"memory": "256Mi"})
IMPORT_VOLUME, IMPORT_FOLDER, COPIED_FILE = "import", "/import", "model.gguf"
REGISTRY = "registry.ollama.ai"
"""Of models whose name begins with no other one."""
HTTPS = 443
HEALTH = "/api/version"
STARTUP_SECONDS = 120


def build_ollama(ctx: BuildContext) -> tuple[dict[str, Any], ...]:
    """Build its objects; none where the bank has no such server."""
    managed = ctx.bank.spec.embedding.managed_ollama
    if managed is None:
        return ()
    source = managed.model_file
    server = Server(
        (_ollama(ctx, managed), _keeper(ctx, source)),
        managed.storage,
        before=_copying(ctx, source),
        volumes=_import_volume(source),
        egress=_registry(ctx) if source is None else (),
        # Another model is brought in while the bank still uses the one before.
        serves_unready=True,
    )
    return build_server(ctx, OLLAMA, server)


def registry_of(model: str) -> tuple[str, int]:
    """Return host and port that a model is pulled from: [HOST[:PORT]/NAMESPACE/]NAME."""
    server, _, rest = model.partition("/")
    host, _, port = (server if "/" in rest else REGISTRY).partition(":")
    return host, int(port) if port.isdecimal() else HTTPS


def _ollama(ctx: BuildContext, managed: ManagedOllama) -> dict[str, Any]:
    return build_container(
        ctx.bank.spec,
        name=OLLAMA.name,
        image=managed.image or with_registry(ctx.settings.ollama_image, ctx.settings.defaults),
        resources=DEFAULT_OLLAMA_RESOURCES if managed.resources is None else managed.resources,
        args=["serve"],
        env=[
            {"name": "HOME", "value": "/tmp"},  # noqa: S108 - an own volume
            {"name": "OLLAMA_HOST", "value": f"0.0.0.0:{OLLAMA_PORT}"},
            {"name": "OLLAMA_MODELS", "value": f"{DATA_FOLDER}/models"},
        ],
        ports=[{"name": "http", "containerPort": OLLAMA_PORT, "protocol": "TCP"}],
        mounts=[{"name": DATA_VOLUME, "mountPath": DATA_FOLDER}, SCRATCH],
        probes={
            "startupProbe": http_probe(HEALTH, period=1, failures=STARTUP_SECONDS),
            "readinessProbe": http_probe(HEALTH, period=5, failures=2),
            "livenessProbe": http_probe(HEALTH, period=10, failures=6),
        },
    )


def _keeper(ctx: BuildContext, source: ModelFile | None) -> dict[str, Any]:
    embedding = ctx.bank.spec.embedding
    assert embedding.ollama is not None  # noqa: S101 - of it comes what is built here
    found = None if source is None else f"{IMPORT_FOLDER}/{_file(source)}"
    imported = [{"name": IMPORT_VOLUME, "mountPath": IMPORT_FOLDER, "readOnly": True}]
    return build_container(
        ctx.bank.spec,
        name=KEEPER,
        image=image_of(ctx.bank.spec, ctx.settings),
        resources=KEEPER_RESOURCES,
        args=[
            *("model", "keep", str(embedding.model)),
            *("--url", f"http://127.0.0.1:{OLLAMA_PORT}"),
            f"--keep-alive={embedding.ollama.keep_alive}",  # -1 would pass for an option
            *(("--file", found) if found is not None else ()),
            *("--host", "0.0.0.0"),  # noqa: S104 - the kubelet reaches it by the pod's IP
            *("--port", str(MODEL_PORT)),
        ],
        ports=[{"name": KEEPER, "containerPort": MODEL_PORT, "protocol": "TCP"}],
        mounts=[*(imported if source is not None else ()), SCRATCH],
        probes={
            "startupProbe": http_probe("/live", port=KEEPER, period=1, failures=STARTUP_SECONDS),
            "readinessProbe": http_probe("/ready", port=KEEPER, period=2, failures=2),
            "livenessProbe": http_probe("/live", port=KEEPER, period=10, failures=3),
        },
    )


def _file(source: ModelFile) -> str:
    return COPIED_FILE if source.volume is None else source.volume.path


def _copying(ctx: BuildContext, source: ModelFile | None) -> tuple[dict[str, Any], ...]:
    """Build the container that copies the file out of its image, as volumes of images are not to be
    had from all clusters.
    """
    if source is None or source.image is None:
        return ()
    copying = build_container(
        ctx.bank.spec,
        name="model-file",
        image=source.image.reference,
        resources=KEEPER_RESOURCES,
        command=["cp", source.image.path, f"{IMPORT_FOLDER}/{COPIED_FILE}"],
        mounts=[{"name": IMPORT_VOLUME, "mountPath": IMPORT_FOLDER}],
    )
    return (copying,)


def _import_volume(source: ModelFile | None) -> tuple[dict[str, Any], ...]:
    if source is None:
        return ()
    if source.volume is None:
        return ({"name": IMPORT_VOLUME, "emptyDir": {}},)
    claim = {"claimName": source.volume.claim_name, "readOnly": True}
    return ({"name": IMPORT_VOLUME, "persistentVolumeClaim": claim},)


def _registry(ctx: BuildContext) -> tuple[Rule, ...]:
    """Return what a server that pulls connects to. Registries send on to other hosts for the
    files, and a network policy knows no names: so everybody at the registry's port.
    """
    registry = registry_of(str(ctx.bank.spec.embedding.model))
    return (dns(), *rules_to([registry], ctx.bank, ctx.settings.cluster_domain))
