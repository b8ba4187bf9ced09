"""charts/memorybank: a list of tenants becomes banks and keys, by the real helm and API server."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from e2e.cluster.apiserver import ApiServer
from e2e.cluster.binaries import DEFAULT_KUBERNETES
from memorybank_operator.api.v1alpha1.spec import Spec
from tests.integration.operator.chart import ChartRefused, helm
from tests.integration.refusals import api
from tests.repo.checkout import ROOT
from tests.support.apiserver import establish

CHART = ROOT / "charts/memorybank"
EXAMPLE = CHART / "examples/tenants.yaml"


@pytest.fixture(scope="module")
def http(api_server: ApiServer) -> Iterator[httpx.Client]:
    with api(api_server) as client:
        for file in ROOT.glob("crds/memorybank.dev_*.yaml"):
            establish(client, yaml.safe_load(file.read_text()))
        yield client


@pytest.fixture
def release(api_server: ApiServer, namespace: str) -> tuple[str, ...]:
    return (
        "upgrade", "--install", "tenants", str(CHART), "--namespace", namespace,
        "--kubeconfig", str(api_server.kubeconfig),
    )  # fmt: skip


def stored(http: httpx.Client, namespace: str, plural: str) -> dict[str, Any]:
    """The specs of what is in a namespace, by name."""
    path = f"/apis/memorybank.dev/v1alpha1/namespaces/{namespace}/{plural}"
    return {each["metadata"]["name"]: each["spec"] for each in http.get(path).json()["items"]}


def rendered(values: dict[str, Any], tmp_path: Path) -> list[dict[str, Any]]:
    """What helm makes of values."""
    file = tmp_path / "values.yaml"
    file.write_text(json.dumps(values))
    output = helm(
        "template", "tenants", str(CHART), "--kube-version", DEFAULT_KUBERNETES, "-f", str(file)
    )
    return [each for each in yaml.safe_load_all(output) if each]


def spec_of(values: dict[str, Any], tmp_path: Path) -> Spec:
    """The spec of the first bank."""
    return Spec.model_validate(rendered(values, tmp_path)[0]["spec"])


def test_each_tenant_gets_a_bank_and_its_keys(
    http: httpx.Client, release: tuple[str, ...], namespace: str
) -> None:
    said = helm(*release, "-f", str(EXAMPLE))
    assert "wait --for=condition=Ready mb customer1 customer2 internal" in said
    banks = stored(http, namespace, "memorybanks")
    hosts = {
        name: each.get("expose", {}).get("ingress", {}).get("host") for name, each in banks.items()
    }
    assert hosts == {
        "customer1": "customer1.example.org", "customer2": "customer2.example.org",
        "internal": None,
    }  # fmt: skip
    sizes = {name: each["storage"]["volume"]["size"] for name, each in banks.items()}
    assert sizes == {"customer1": "20Gi", "customer2": "5Gi", "internal": "5Gi"}
    assert banks["customer2"]["resources"]["requests"] == {"cpu": "500m"}
    assert all(each["limits"]["requestsPerMinute"] == 600 for each in banks.values())
    keys = stored(http, namespace, "memorybankkeys")
    assert {name: (each["bankRef"]["name"], each["role"]) for name, each in keys.items()} == {
        "customer1-app": ("customer1", "developer"),
        "customer2-app": ("customer2", "developer"),
        "customer2-reports": ("customer2", "readonly"),
        "internal-app": ("internal", "developer"),
    }


def test_a_change_reaches_one_bank_and_is_taken_back(
    http: httpx.Client, release: tuple[str, ...], namespace: str
) -> None:
    helm(*release, "-f", str(EXAMPLE))
    before = stored(http, namespace, "memorybanks")
    helm(*release, "-f", str(EXAMPLE), "--set", "tenants[1].spec.hibernate=true")
    after = stored(http, namespace, "memorybanks")
    assert after["customer2"]["hibernate"]
    assert {name for name in before if before[name] != after[name]} == {"customer2"}
    helm("rollback", "tenants", "1", *release[4:])
    assert stored(http, namespace, "memorybanks") == before


def test_what_a_tenant_says_of_itself_wins(tmp_path: Path) -> None:
    spec = spec_of(
        {
            "tenants": [
                {
                    "id": "a",
                    "persistence": {"size": "2Gi"},
                    "spec": {"storage": {"volume": {"size": "3Gi"}}, "hibernate": True},
                }
            ],
            "persistence": {"size": "1Gi", "storageClass": "fast"},
            "spec": {"hibernate": False, "deletionProtection": True},
        },
        tmp_path,
    )
    assert (spec.storage.volume.size, spec.storage.volume.storage_class_name) == ("3Gi", "fast")
    assert (spec.hibernate, spec.deletion_protection) == (True, True)


def test_a_tenant_without_keys_of_its_own_may_have_none(tmp_path: Path) -> None:
    [bank] = rendered({"tenants": [{"id": "a", "keys": []}]}, tmp_path)
    assert bank["kind"] == "MemoryBank"


def test_an_empty_list_makes_nothing(tmp_path: Path) -> None:
    assert rendered({}, tmp_path) == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"tenants": [{"id": "a"}, {"id": "a"}]}, "the id a occurs twice"),
        ({"tenants": [{"id": "A b"}]}, "/tenants/0/id"),
        ({"tenants": [{"id": "a", "apiKey": "mb_x"}]}, "apiKey"),
        ({"tenants": [{"domain": "a.example"}]}, "id"),
        ({"tenants": [{"id": "a", "keys": [{"role": "admin"}]}]}, "name"),
        ({"persistence": {"enabled": True}}, "enabled"),
        ({"ingress": {"domain": "*.example.org"}}, "/ingress/domain"),
    ],
)
def test_wrong_values_are_refused_by_name(
    values: dict[str, Any], words: str, tmp_path: Path
) -> None:
    with pytest.raises(ChartRefused, match=words):
        rendered(values, tmp_path)


def test_what_only_the_api_server_can_judge_is_refused_by_its_sentence(
    http: httpx.Client, release: tuple[str, ...]
) -> None:
    with pytest.raises(ChartRefused, match=r"spec\.image must be the reference of an image"):
        helm(*release, "-f", str(EXAMPLE), "--set", "spec.image=not an image")
