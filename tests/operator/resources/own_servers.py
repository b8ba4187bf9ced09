"""What is built of a server of a bank's own."""

from __future__ import annotations

from typing import Any

from memorybank_operator.resources.backend import Backend
from memorybank_operator.resources.build import build_all
from memorybank_operator.resources.context import BuildContext, RenderSettings
from tests.operator.world import KEY, SETTINGS, bank

Spec = dict[str, Any]


def build(spec: Spec, settings: RenderSettings = SETTINGS) -> dict[tuple[str, str], dict[str, Any]]:
    """Return all objects of the bank, by kind and name."""
    context = BuildContext(bank(spec), settings, admin_key=KEY, volume_size="1Gi")
    return {(each["kind"], each["metadata"]["name"]): each for each in build_all(context)}


def server_of(backend: Backend, spec: Spec, settings: RenderSettings = SETTINGS) -> dict[str, Any]:
    """Return the spec of its StatefulSet."""
    found: dict[str, Any] = build(spec, settings)[backend.server(bank(spec))]["spec"]
    return found


def pod_of(backend: Backend, spec: Spec, settings: RenderSettings = SETTINGS) -> dict[str, Any]:
    """Return the spec of its pod."""
    found: dict[str, Any] = server_of(backend, spec, settings)["template"]["spec"]
    return found
