"""Fixtures for tests on a real API server without a node, with a namespace for each test."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from kubernetes import client, config

from e2e.cluster import apiserver
from e2e.cluster.apiserver import ApiServer


@pytest.fixture(scope="session")
def api_server() -> Iterator[ApiServer]:
    """A fresh etcd and kube-apiserver; its `kubeconfig` is a file that gives full rights."""
    with apiserver.api_server() as server:
        yield server


@pytest.fixture(scope="session")
def api_client(api_server: ApiServer) -> Iterator[client.ApiClient]:
    """A client with full rights."""
    with connect(api_server.kubeconfig) as connected:
        yield connected


@pytest.fixture
def namespace(api_client: client.ApiClient) -> str:
    """A namespace that no other test uses. It goes when the API server goes."""
    return _make_namespace(api_client)


@pytest.fixture
def restricted(api_client: client.ApiClient) -> str:
    """Another one, that takes pods of the `restricted` Pod Security Standard alone, and did so from
    its first moment on: of a label that comes later, the API server hears by a watch of its own.
    """
    return _make_namespace(api_client, {"pod-security.kubernetes.io/enforce": "restricted"})


def _make_namespace(api_client: client.ApiClient, labels: dict[str, str] | None = None) -> str:
    name = f"test-{uuid.uuid4().hex[:10]}"
    client.CoreV1Api(api_client).create_namespace(
        client.V1Namespace(metadata=client.V1ObjectMeta(name=name, labels=labels))
    )
    return name


def connect(kubeconfig: Path) -> client.ApiClient:
    """Return a client, to be closed by the caller, for what a kubeconfig file names."""
    # The library is typed but for this module.
    return config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call, no-any-return]
