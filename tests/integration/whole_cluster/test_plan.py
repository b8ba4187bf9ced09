"""`kubectl memorybank plan` on a real API server, as somebody types it. What it foretells is held
to what an operator does in tests/integration/operator/test_foreseen.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from memorybank_operator import constants
from memorybank_operator.plugin.doctor.needs import DEFAULT_STORAGE_CLASS
from tests.integration.refusals import Banks
from tests.integration.test_kubectl_plugin import Run, banks, environment, http, run
from tests.integration.whole_cluster.test_doctor import Cluster, cluster

__all__ = ["banks", "cluster", "environment", "http", "run"]


def bank(name: str = "agents", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": constants.API_VERSION,
        "kind": constants.KIND,
        "metadata": {"name": name},
        "spec": spec,
    }


@pytest.fixture
def equipped(cluster: Cluster) -> None:
    """There is an operator, and somebody who provides volumes."""
    cluster.operator()
    standard = {
        "metadata": {"name": "standard", "annotations": {DEFAULT_STORAGE_CLASS: "true"}},
        "provisioner": "example.org/none",
    }
    cluster.make("/apis/storage.k8s.io/v1/storageclasses", standard, goes=True)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "banks.yaml"


@pytest.mark.usefixtures("equipped")
def test_what_a_file_would_make_is_listed_and_nothing_is_made(
    http: httpx.Client, namespace: str, run: Run, file: Path
) -> None:
    other = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-somebody"}}
    file.write_text(yaml.safe_dump_all([bank(), other, bank("second", podLabels={"team": "a"})]))
    done = run("plan", "-f", str(file))
    assert done.returncode == 0, done.stderr
    first, second = done.stdout.split("\n\n")
    assert first.startswith(f"{namespace}/agents is new: ")
    assert second.startswith(f"{namespace}/second is new: ")
    assert "  create Deployment agents\n" in first
    assert "  create Secret agents-key\n" in first
    assert "mb_" not in done.stdout
    path = f"/apis/{constants.API_VERSION}/namespaces/{namespace}/memorybanks"
    assert http.get(path).json()["items"] == []


@pytest.mark.usefixtures("equipped")
def test_a_bank_that_is_there_is_compared_field_by_field(
    banks: Banks, run: Run, file: Path
) -> None:
    banks.create_spec({"podLabels": {"team": "a"}, "hibernate": True}, name="agents")
    file.write_text(yaml.safe_dump(bank(hibernate=True)))
    done = run("plan", "-f", str(file), "-o", "json")
    assert done.returncode == 0, done.stderr
    [plan] = json.loads(done.stdout)["plans"]
    assert plan["new"] is False
    assert {each["action"] for each in plan["changes"]} == {"create"}, "nobody made its objects"


@pytest.mark.usefixtures("equipped")
def test_what_the_api_server_refuses_is_refused_with_the_field(run: Run, file: Path) -> None:
    file.write_text(yaml.safe_dump(bank(replicas=7)))
    done = run("plan", "-f", str(file))
    assert (done.returncode, done.stdout) == (3, "")
    assert "spec.replicas" in done.stderr


@pytest.mark.usefixtures("equipped")
def test_a_bank_that_would_lack_something_ends_with_1(run: Run, file: Path) -> None:
    file.write_text(yaml.safe_dump(bank(auth={"adminKeySecretRef": {"name": "mine"}})))
    done = run("plan", "-f", str(file))
    assert done.returncode == 1
    assert "Missing: spec.auth.adminKeySecretRef.name: Secret mine does not exist" in done.stdout


def test_without_an_operator_nobody_can_tell(run: Run, file: Path) -> None:
    file.write_text(yaml.safe_dump(bank()))
    done = run("plan", "-f", str(file))
    assert (done.returncode, done.stdout) == (3, "")
    assert "kubectl memorybank doctor" in done.stderr


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (None, "No such file or directory"),
        ("kind: [", "is no YAML in line 1"),
        ("kind: ConfigMap\n", "there is no MemoryBank"),
        (f"kind: MemoryBank\napiVersion: {constants.API_VERSION}\n", "lacks metadata.name"),
    ],
)
def test_a_file_without_a_bank_ends_with_2(
    run: Run, file: Path, text: str | None, said: str
) -> None:
    if text is not None:
        file.write_text(text)
    done = run("plan", "-f", str(file))
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
