"""A bank with servers of PostgreSQL of its own. CloudNativePG's kind is real, and so are a server
and what keeps others from it; who would run the servers is played by the test.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from e2e import postgres
from e2e.bank import Bank
from e2e.cluster.paths import ROOT
from e2e.definitions import postgres_cluster_crd
from e2e.namespaces import restricted_namespace
from e2e.postgres import Postgres, put_address
from e2e.stack import Stack

EXAMPLE = ROOT / "examples/postgres-cluster.yaml"
KIND = "clusters.postgresql.cnpg.io"
CLUSTER = "agents-postgres"
FACT = "The tide gauge is read at six in the morning."
QUESTION = "When does somebody look at the level of the sea?"


@pytest.fixture
def bank(stack: Stack) -> Iterator[Bank]:
    """The bank of the example, in a cluster without CloudNativePG."""
    manifest: dict[str, Any] = yaml.safe_load(EXAMPLE.read_text())
    definition = postgres_cluster_crd()
    with restricted_namespace(stack, "clusters") as namespace:
        try:
            yield Bank(stack, namespace, manifest["metadata"]["name"], manifest["spec"])
        finally:
            stack.kubectl("delete", "crd", definition["metadata"]["name"], "--ignore-not-found")


def answer(bank: Bank, server: Postgres) -> None:
    """Make user, database and Secret, and say that the servers answer, as CloudNativePG does."""
    put_address(bank, f"{CLUSTER}-app", "uri", server.make_database("app"))
    condition = {
        "type": "Ready", "status": "True", "reason": "ClusterIsReady", "message": "",
        "lastTransitionTime": "2026-01-01T12:00:00Z",
    }  # fmt: skip
    status = {"phase": "Cluster in healthy state", "conditions": [condition]}
    bank.stack.kubectl(
        "-n", bank.namespace, "patch", KIND, CLUSTER, "--subresource=status", "--type=merge",
        "--patch", json.dumps({"status": status}),
    )  # fmt: skip


def test_a_bank_waits_for_its_own_servers_and_leaves_them_behind(bank: Bank) -> None:
    stack, namespace = bank.stack, bank.namespace

    def cluster() -> dict[str, Any]:
        return stack.get(KIND, CLUSTER, namespace) or {}

    def hibernation() -> str:
        return str(cluster()["metadata"]["annotations"]["cnpg.io/hibernation"])

    bank.apply()
    told = bank.wait_not_ready("CloudNativePGNotInstalled")
    assert "spec.storage.postgres.urlSecretRef" in told["message"], "and what else would do"
    stack.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(postgres_cluster_crd()))
    bank.wait_not_ready("DatabaseStarting")  # by operators that started anew
    assert cluster()["spec"]["instances"] == 3
    assert bank.child("deployment") is None

    answer(bank, postgres.serve(stack, namespace, {"cnpg.io/cluster": CLUSTER}))
    bank.wait_ready()
    bank.remember(FACT)
    assert bank.recall(QUESTION) == [FACT]

    bank.apply(hibernate=True)
    bank.wait_not_ready("Hibernated")
    assert hibernation() == "on"
    bank.apply()
    bank.wait_ready()
    assert hibernation() == "off"
    assert bank.recall(QUESTION) == [FACT]

    kept = cluster()["metadata"]["uid"]
    stack.kubectl("-n", namespace, "delete", "mb", bank.name, "--timeout=180s")
    stack.wait("no pods", lambda: not bank.pods(), describe=bank.pods)
    assert cluster()["metadata"]["uid"] == kept
    bank.apply()
    bank.wait_ready()
    assert cluster()["metadata"]["uid"] == kept
    assert bank.recall(QUESTION) == [FACT]
