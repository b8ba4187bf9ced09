"""How clients outside of the cluster reach the bank by a Gateway,
https://gateway-api.sigs.k8s.io/api-types/httproute/.
"""

from __future__ import annotations

from typing import Any

from memorybank_operator.api.v1alpha1.edge import ParentReference
from memorybank_operator.constants import HTTP_PORT
from memorybank_operator.resources import names
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.labels import metadata

GROUP = "gateway.networking.k8s.io"


def build_http_route(ctx: BuildContext) -> dict[str, Any] | None:
    """Build the HTTPRoute, None where none is asked for or nobody knows the kind."""
    gateway, name = ctx.bank.spec.expose.gateway, names.http_route(ctx.bank)
    if gateway is None or name.kind not in ctx.settings.installed:
        return None
    service = names.service(ctx.bank).name
    rule: dict[str, Any] = {
        "matches": [{"path": {"type": "PathPrefix", "value": "/"}}],
        "backendRefs": [{"kind": "Service", "name": service, "port": HTTP_PORT, "weight": 1}],
    }
    if gateway.timeout_seconds is not None:
        rule["timeouts"] = {"request": f"{gateway.timeout_seconds}s"}
    return {
        "apiVersion": f"{GROUP}/v1",
        "kind": name.kind,
        "metadata": metadata(ctx.bank, name, annotations=gateway.annotations),
        "spec": {
            "parentRefs": [_parent(each) for each in gateway.parent_refs],
            "hostnames": list(gateway.hostnames),
            "rules": [rule],
        },
    }


def _parent(reference: ParentReference) -> dict[str, Any]:
    named = {
        "namespace": reference.namespace,
        "sectionName": reference.section_name,
        "port": reference.port,
    }
    said = {key: value for key, value in named.items() if value is not None}
    return {"group": GROUP, "kind": "Gateway", "name": reference.name, **said}
