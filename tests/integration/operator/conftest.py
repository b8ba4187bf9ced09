"""What the operator's integration tests share: a connection of its own to the real API server."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from e2e.cluster.apiserver import ApiServer
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.kube.connection import Connection, from_kubeconfig


@pytest.fixture
def connection(api_server: ApiServer) -> Connection:
    """With full rights."""
    return from_kubeconfig(api_server.kubeconfig)


@pytest.fixture
async def client(connection: Connection) -> AsyncIterator[KubeClient]:
    """The operator's own client."""
    async with connection.session() as session:
        yield KubeClient(session, connection.server, field_manager="memorybank-operator")
