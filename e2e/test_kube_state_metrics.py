"""The real kube-state-metrics tells of banks by our example, with the rights that it asks for."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from e2e.bank import Bank
from e2e.cluster.apiserver import free_ports
from e2e.cluster.binaries import ensure
from e2e.cluster.paths import ROOT
from e2e.stack import Stack

pytestmark = pytest.mark.full

VALUES = yaml.safe_load((ROOT / "examples/monitoring/kube-state-metrics.yaml").read_text())
NAME = "kube-state-metrics"


@pytest.fixture
def exposition(stack: Stack, namespace: str, tmp_path: Path) -> Iterator[str]:
    """Its address."""
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"{NAME}-{namespace}"},
        "rules": VALUES["rbac"]["extraRules"],
    }
    binding = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": role["metadata"],
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole",
            "name": f"{NAME}-{namespace}",
        },
        "subjects": [{"kind": "ServiceAccount", "name": NAME, "namespace": namespace}],
    }  # fmt: skip
    stack.kubectl("-n", namespace, "create", "serviceaccount", NAME)
    stack.apply(role, binding)
    token = stack.kubectl("-n", namespace, "create", "token", NAME).strip()
    config = yaml.safe_load(stack.kubeconfig.read_text())
    for each in config["users"]:
        each["user"] = {"token": token}
    kubeconfig, states = tmp_path / "kubeconfig", tmp_path / "states.yaml"
    kubeconfig.write_text(yaml.safe_dump(config))
    states.write_text(yaml.safe_dump(VALUES["customResourceState"]["config"]))
    port, telemetry = free_ports(2)
    with (tmp_path / "log").open("w") as log, subprocess.Popen(
        [
            str(ensure(NAME)), "--custom-resource-state-only",
            f"--custom-resource-state-config-file={states}", f"--kubeconfig={kubeconfig}",
            "--host=127.0.0.1", f"--port={port}",
            "--telemetry-host=127.0.0.1", f"--telemetry-port={telemetry}",
        ],
        stdout=subprocess.DEVNULL,
        stderr=log,
    ) as process:  # fmt: skip
        yield f"http://127.0.0.1:{port}/metrics"
        process.terminate()
    stack.kubectl("delete", "clusterrole,clusterrolebinding", f"{NAME}-{namespace}")


def test_a_bank_is_told_of_from_ready_to_asleep(
    stack: Stack, namespace: str, exposition: str
) -> None:
    bank = Bank(stack, namespace, "agents")
    bank.apply()
    bank.wait_ready()

    def told() -> dict[str, dict[tuple[str, ...], float]]:
        """Values by metric, then by what tells its series of this bank apart."""
        try:
            text = httpx.get(exposition, trust_env=False).text
        except httpx.TransportError:
            return {}
        found: dict[str, dict[tuple[str, ...], float]] = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                if sample.labels.get("namespace") == namespace:
                    rest = {
                        name: value
                        for name, value in sample.labels.items()
                        if name in ("type", "status", "phase", "version")
                    }
                    found.setdefault(sample.name, {})[tuple(sorted(rest.values()))] = sample.value
        return found

    def conditions() -> dict[tuple[str, ...], float]:
        return told().get("kube_memorybank_status_condition", {})

    stack.wait("Ready as a metric", lambda: conditions().get(("Ready", "True")) == 1, describe=told)
    seen = told()
    assert seen["kube_memorybank_info"]
    assert seen["kube_memorybank_status_replicas_ready"] == {(): 1}
    assert seen["kube_memorybank_status_phase"][("Running",)] == 1
    assert seen["kube_memorybank_status_phase"][("Stopped",)] == 0
    assert seen["kube_memorybank_status_observed_generation"] == seen["kube_memorybank_generation"]
    bank.apply(hibernate=True)
    stack.wait(
        "asleep as a metric", lambda: conditions().get(("False", "Ready")) == 0, describe=told
    )
    assert told()["kube_memorybank_status_phase"][("Stopped",)] == 1
