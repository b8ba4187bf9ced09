"""The configuration file of the memory service."""

from __future__ import annotations

from typing import Any

from memorybank_operator.configfiles.app_config import AppConfig, app_config, render
from memorybank_operator.reconcile.observed import ChildKey
from memorybank_operator.resources import names
from memorybank_operator.resources.backend import CHROMA, OLLAMA
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.labels import metadata

FILE = "config.yaml"


def build_config_map(ctx: BuildContext) -> dict[str, Any] | None:
    """Build the ConfigMap, None while a Secret is missing that the file would point to: the pod
    that runs may start again at any time, by the file that is there.
    """
    if ctx.secrets is None:
        return None
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": metadata(ctx.bank, config_name(ctx)),
        "data": {FILE: config_text(ctx)},
    }


def config_name(ctx: BuildContext) -> ChildKey:
    """Name the ConfigMap that the pods have."""
    return (names.read_replicas_config if ctx.reads else names.config_map)(ctx.bank)


def config_text(ctx: BuildContext) -> str:
    """Return the file's content."""
    return render(config_of(ctx))


def config_of(ctx: BuildContext) -> AppConfig:
    """Return the file as a model."""
    hosts = names.read_hosts if ctx.reads else names.hosts
    return app_config(
        ctx.bank,
        hosts=hosts(ctx.bank, ctx.settings.cluster_domain),
        addresses=ctx.addresses,
        own_chroma=CHROMA.url(ctx.bank),
        own_ollama=OLLAMA.url(ctx.bank),
        primary_url=names.http_url(ctx.bank) if ctx.reads else None,
    )
