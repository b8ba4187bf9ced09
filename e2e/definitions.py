"""Kinds of other projects as they publish them, without who looks after them: their part is played
by the tests.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import yaml

from e2e.cluster import binaries, paths


@cache
def http_route_crd() -> dict[str, Any]:
    """Return the CRD of HTTPRoute, of the Gateway API."""
    return _read(
        "gateway-api",
        "sigs.k8s.io/gateway-api",
        "config/crd/standard/gateway.networking.k8s.io_httproutes.yaml",
    )


@cache
def postgres_cluster_crd() -> dict[str, Any]:
    """Return the CRD of Cluster, of CloudNativePG."""
    return _read(
        "cloudnative-pg",
        "github.com/cloudnative-pg/cloudnative-pg",
        "config/crd/bases/postgresql.cnpg.io_clusters.yaml",
    )


def _read(folder: str, module: str, file: str) -> dict[str, Any]:
    """Read a file of the Go module that is pinned in a folder under e2e/cluster/modules/."""
    found = binaries.required(paths.MODULES / folder, module)
    return dict(yaml.load((found / file).read_text(), Loader=yaml.CSafeLoader))
