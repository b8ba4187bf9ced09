"""The fixtures of every integration test: a real API server and what belongs to it."""

from tests.support.apiserver import api_client, api_server, namespace, restricted

__all__ = ["api_client", "api_server", "namespace", "restricted"]
