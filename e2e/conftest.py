"""One cluster with the operator for all tests; one `restricted` namespace for each test."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import yaml

from e2e.backups import bucket_server
from e2e.bank import Bank
from e2e.cluster.paths import ROOT
from e2e.namespaces import restricted_namespace
from e2e.object_store import ObjectStore
from e2e.stack import OPERATOR_NAMESPACE, Stack

EXAMPLE = ROOT / "examples/memorybank.yaml"
CLUSTER = os.environ.get("MEMORYBANK_E2E_CLUSTER", "memorybank-test")


@pytest.fixture(scope="session")
def stack() -> Stack:
    """The cluster with images loaded and the operator installed."""
    stack = Stack.up(CLUSTER)
    stack.install_operator()
    return stack


def ready_bank(stack: Stack, namespace: str) -> Bank:
    """Create the bank of the first example and wait until it is Ready."""
    spec = yaml.safe_load(EXAMPLE.read_text())["spec"]
    bank = Bank(stack, namespace, "agents", spec)
    bank.apply()
    bank.wait_ready()
    return bank


@pytest.fixture
def namespace(stack: Stack, request: pytest.FixtureRequest) -> Iterator[str]:
    """A namespace for one test."""
    with restricted_namespace(stack, request.node.name.removeprefix("test_")) as name:
        yield name


@pytest.fixture
def bank(stack: Stack, namespace: str) -> Bank:
    """A Ready bank for one test, which may break it."""
    return ready_bank(stack, namespace)


@pytest.fixture(scope="module")
def shared_bank(stack: Stack, request: pytest.FixtureRequest) -> Iterator[Bank]:
    """A Ready bank for the tests of one module, which leave it as it is."""
    with restricted_namespace(stack, request.module.__name__.rpartition("test_")[2]) as name:
        yield ready_bank(stack, name)


@pytest.fixture(scope="module")
def store(stack: Stack) -> Iterator[ObjectStore]:
    """A server of S3 with a bucket, for the tests of one module."""
    with bucket_server(stack) as made:
        yield made


@pytest.fixture(autouse=True)
def operator_log_has_no_traceback(stack: Stack) -> Iterator[None]:
    """Whatever a test does to a bank, the operator never shows a traceback."""
    yield
    log = stack.kubectl(
        "-n", OPERATOR_NAMESPACE, "logs", "--selector=app.kubernetes.io/name=memorybank-operator",
        "--since=10m", "--tail=-1", check=False,
    )  # fmt: skip
    assert "Traceback" not in log, log
