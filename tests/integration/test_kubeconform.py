"""What charts, bases and examples hold is what Kubernetes' and our own kinds have, by the real
kubeconform. The schemas are those of a real API server, with our definitions and those of the
projects that banks can use.
"""

from __future__ import annotations

import subprocess
import time
from pathlib import Path

import httpx
import pytest
import yaml

from e2e.cluster.apiserver import ApiServer
from e2e.cluster.binaries import DEFAULT_KUBERNETES, ensure
from e2e.definitions import (
    http_route_crd,
    postgres_cluster_crd,
    prometheus_rule_crd,
    service_monitor_crd,
)
from scripts.kustomize_base import install
from tests.integration.operator.chart import CHART, helm
from tests.integration.refusals import api
from tests.repo.checkout import ROOT
from tests.support.apiserver import establish
from tests.support.openapi import TEMPLATE, write_schemas

BANKS = ROOT / "charts/memorybank"
PUBLISHED_SECONDS = 60
LEAST_KINDS = 100
VALUES = {
    "defaults": (),
    "observed": (
        "serviceMonitor.enabled=true", "prometheusRule.enabled=true", "dashboards.enabled=true",
    ),
    "some-namespaces": ("watchNamespaces={team-a,team-b}", "replicas=1"),
    "private": (
        "imagePullSecrets[0].name=registry", "image.digest=sha256:" + "a" * 64,
        "defaults.registry=mirror.example:5000",
    ),
    "placed": (
        "nodeSelector.disk=ssd", "tolerations[0].operator=Exists", "priorityClassName=high",
        "resources.limits.memory=1Gi", "podLabels.team=blue", "podAnnotations.note=x",
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def schemas(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the schema of each kind."""
    folder = tmp_path_factory.mktemp("schemas")
    ours = [yaml.safe_load(each.read_text()) for each in ROOT.glob("crds/memorybank.dev_*.yaml")]
    others = [
        http_route_crd(), postgres_cluster_crd(), prometheus_rule_crd(), service_monitor_crd()
    ]  # fmt: skip
    with api(api_server) as http:
        for each in (*ours, *others):
            establish(http, each)
        kinds = {each["spec"]["names"]["kind"] for each in (*ours, *others)}
        assert write_schemas(published(http, kinds), folder) > LEAST_KINDS
    return folder


def published(http: httpx.Client, kinds: set[str]) -> dict[str, object]:
    """The API server's own description, once these kinds are in it: it is written anew a moment
    after a definition comes.
    """
    deadline = time.monotonic() + PUBLISHED_SECONDS
    while True:
        found: dict[str, dict[str, dict[str, object]]] = http.get("/openapi/v2").json()
        if kinds <= {name.rpartition(".")[2] for name in found["definitions"]}:
            return dict(found)
        assert time.monotonic() < deadline, "the definitions are not published"
        time.sleep(0.2)


def conform(schemas: Path, manifests: str) -> str:
    """Run it; return what it says, empty when all is well."""
    done = subprocess.run(  # noqa: S603 - our own program
        [
            str(ensure("kubeconform")), "-strict", "-summary=false",
            "-schema-location", f"{schemas}/{TEMPLATE}", "-",
        ],
        input=manifests, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


@pytest.mark.parametrize("values", VALUES.values(), ids=VALUES)
def test_the_operators_chart_makes_what_kubernetes_knows(
    schemas: Path, values: tuple[str, ...]
) -> None:
    settings = [word for value in values for word in ("--set", value)]
    made = helm("template", "operator", str(CHART), "--kube-version", DEFAULT_KUBERNETES, *settings)
    assert conform(schemas, without_definitions(made)) == ""


@pytest.mark.parametrize("file", sorted(BANKS.glob("examples/*.yaml")), ids=lambda each: each.stem)
def test_the_tenants_chart_makes_banks(schemas: Path, file: Path) -> None:
    made = helm(
        "template", "tenants", str(BANKS), "--kube-version", DEFAULT_KUBERNETES,
        "--values", str(file),
    )  # fmt: skip
    assert "kind: MemoryBank" in made
    assert conform(schemas, made) == ""


def test_the_single_file_is_whole(schemas: Path) -> None:
    assert conform(schemas, without_definitions(install())) == ""


@pytest.mark.parametrize("file", sorted(ROOT.glob("examples/*.yaml")), ids=lambda each: each.stem)
def test_every_example_is_right(schemas: Path, file: Path) -> None:
    assert conform(schemas, file.read_text()) == ""


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ("kind: Service\napiVersion: v1\nspec: {prots: []}\n", "prots"),
        (
            "kind: MemoryBank\napiVersion: memorybank.dev/v1alpha1\nspec: {replicsa: 1}\n",
            "replicsa",
        ),
        ("kind: Unknown\napiVersion: v1\n", "could not find schema"),
    ],
)
def test_what_is_wrong_is_found(schemas: Path, manifest: str, said: str) -> None:
    assert said in conform(schemas, manifest)


def without_definitions(manifests: str) -> str:
    """Leave out CustomResourceDefinitions, whose schemas refer to themselves without an end; the
    API server has just taken them.
    """
    documents = [each for each in yaml.safe_load_all(manifests) if each]
    others = [each for each in documents if each["kind"] != "CustomResourceDefinition"]
    assert others
    return yaml.safe_dump_all(others)
