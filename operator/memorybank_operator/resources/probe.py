"""How the kubelet asks a container."""

from __future__ import annotations

from typing import Any


def http_probe(path: str, *, period: int, failures: int, port: str = "http") -> dict[str, Any]:
    """Build a probe of a named port, each `period` seconds."""
    return {
        "httpGet": {"path": path, "port": port, "scheme": "HTTP"},
        "periodSeconds": period,
        "timeoutSeconds": 5,
        "failureThreshold": failures,
    }
