"""Fixtures for tests on a real API server without a node, with a namespace for each test."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from kubernetes import client, config

from e2e.cluster import apiserver
from e2e.cluster.apiserver import ApiServer

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ESTABLISHED_SECONDS = 20


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


def establish(http: httpx.Client, definition: Mapping[str, Any]) -> None:
    """Have a CustomResourceDefinition, which may be there already, and wait until it is served."""
    created = http.post(DEFINITIONS, json=definition)
    # 409: another module was here first, with the same CRD.
    assert created.status_code in (201, 409), created.text
    path = f"{DEFINITIONS}/{definition['metadata']['name']}"
    deadline = time.monotonic() + ESTABLISHED_SECONDS
    while not _is_served(http.get(path).json()):
        assert time.monotonic() < deadline, "the CRD was not established in time"
        time.sleep(0.05)


def _is_served(definition: Mapping[str, Any]) -> bool:
    conditions = definition["status"].get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


def connect(kubeconfig: Path) -> client.ApiClient:
    """Return a client, to be closed by the caller, for what a kubeconfig file names."""
    # The library is typed but for this module.
    return config.new_client_from_config(str(kubeconfig))  # type: ignore[no-untyped-call, no-any-return]
