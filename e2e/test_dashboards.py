"""Every query of every dashboard, asked of a real Prometheus that reads a real bank and a real
operator.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
import yaml

from e2e import prometheus
from e2e.backups import bank_on_volume, wait_backed_up
from e2e.bank import Bank
from e2e.cluster.paths import ROOT
from e2e.stack import OPERATOR_NAMESPACE, Stack

pytestmark = pytest.mark.full

CHART = ROOT / "charts/memorybank-operator"
BOARDS = sorted(CHART.glob("dashboards/*.json"))
LABELS = {"release": "prometheus"}
SECONDS = 300
RATE = "1m"
"""In place of what Grafana says for so many scrapes."""

ABSENT = {
    "memorybank-backups": {
        "In trouble", "Last trial", "Loss", "Oldest trial", "Read replicas behind",
        "Time to restore",
    },
    "memorybank-bank": {"Consolidation"},
    "memorybank-fleet": {"Errors", "Not ready", "Not ready, by reason"},
    "memorybank-operator": {"Errors"},
}  # fmt: skip
"""Panels about what has not happened to this bank: they are empty."""


@pytest.fixture(scope="module")
def watched(stack: Stack) -> Iterator[Bank]:
    """A bank in use, which Prometheus reads, as it does the operator."""
    prometheus.install(stack)
    monitor = stack.helm(
        "template", "memorybank-operator", str(CHART), "--namespace", OPERATOR_NAMESPACE,
        "--kube-version", "1.34.0", "--show-only", "templates/monitoring.yaml",
        "--set", "serviceMonitor.enabled=true,serviceMonitor.interval=5s",
        "--set", "serviceMonitor.labels.release=prometheus",
    )  # fmt: skip
    [described] = [each for each in yaml.safe_load_all(monitor) if each]
    stack.apply(described)
    with bank_on_volume(stack) as bank:
        bank.apply(monitoring={"serviceMonitor": {"labels": LABELS, "interval": "5s"}})
        ends = datetime.now(UTC) + timedelta(days=3)
        stack.apply(
            {
                "apiVersion": "memorybank.dev/v1alpha1",
                "kind": "MemoryBankKey",
                "metadata": {"name": "guest", "namespace": bank.namespace},
                "spec": {
                    "bankRef": {"name": bank.name},
                    "role": "readonly",
                    "expiresAt": ends.strftime("%Y-%m-%dT%H:%M:%SZ"),
                },
            }
        )
        bank.wait_ready()
        yield bank
    stack.kubectl("-n", OPERATOR_NAMESPACE, "delete", "servicemonitor", "memorybank-operator")


def use(client: httpx.Client) -> None:
    """Do a little of everything that agents do."""
    call = {
        "jsonrpc": "2.0", "id": 1, "method": "tools/call",
        "params": {"name": "recall", "arguments": {"query": "lift"}},
    }  # fmt: skip
    for path, body in (
        ("/v1/memories", {"content": "The lift is inspected in May."}),
        ("/v1/search", {"query": "When is the lift inspected?"}),
        ("/v1/tasks", {"title": "Inspect the lift"}),
        ("/mcp", call),
    ):
        headers = {"Accept": "application/json, text/event-stream"}
        answer = client.post(path, json=body, headers=headers)
        assert answer.is_success, answer.text
        assert "error" not in answer.json(), answer.text


def asked(expression: str, bank: Bank) -> str:
    """A query as Grafana would send it."""
    return (
        expression.replace("$__rate_interval", RATE)
        .replace("$namespace", bank.namespace)
        .replace("$bank", bank.name)
    )


def variables(board: dict[str, Any], bank: Bank) -> Iterator[str]:
    """What the choices of a dashboard come from."""
    for each in board["templating"]["list"]:
        if each["type"] == "query":
            match = re.fullmatch(r"label_values\((.*), \w+\)", each["query"])
            assert match
            yield asked(match[1], bank)


def test_every_panel_gets_an_answer_of_a_prometheus_that_reads_a_bank(watched: Bank) -> None:
    wait_backed_up(watched)
    boards = {each.stem: json.loads(each.read_text()) for each in BOARDS}
    with (
        watched.stack.port_forward(
            "service/prometheus-operated", 9090, prometheus.NAMESPACE
        ) as port,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as server,
        watched.http() as client,
    ):

        def says(query: str) -> list[Any]:
            answer = server.get("/api/v1/query", params={"query": query})
            assert answer.is_success, (query, answer.text)
            return list(answer.json()["data"]["result"])

        def empty() -> dict[str, set[str]]:
            use(client)
            return {
                name: {
                    panel["title"]
                    for panel in board["panels"]
                    if panel["type"] != "row"
                    and not any(says(asked(target["expr"], watched)) for target in panel["targets"])
                }
                for name, board in boards.items()
            }

        watched.stack.wait(
            "an answer for every panel but those about what has not happened",
            lambda: empty() == ABSENT,
            seconds=SECONDS,
            describe=empty,
        )
        for board in boards.values():
            for query in variables(board, watched):
                assert says(query), query
