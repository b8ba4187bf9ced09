"""The Gateway API as its project publishes it, without a controller: who reads a route is played by
the tests.
"""

from __future__ import annotations

from typing import Any

import yaml

from e2e.cluster import binaries, paths

MODULE = "sigs.k8s.io/gateway-api"
ROUTES = "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml"


def http_route_crd() -> dict[str, Any]:
    """Return the CRD of HTTPRoute, from the Go module that is pinned."""
    folder = binaries.required(paths.MODULES / "gateway-api", MODULE)
    return dict(yaml.safe_load((folder / ROUTES).read_text()))
