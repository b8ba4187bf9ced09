"""The Helm chart renders for every choice, refuses wrong values, runs the operator restricted."""

from __future__ import annotations

import json
from typing import Any

import pytest

from memorybank_operator.api import crd
from memorybank_operator.api.defaults import names, parse
from memorybank_operator.constants import FIELD_MANAGER
from memorybank_operator.kube import kinds
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.resources.alerts import operator_rules
from memorybank_operator.settings import PREFIX, Settings
from tests.integration.operator.chart import CHART, ChartRefused, helm, template


def one(documents: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    (found,) = (each for each in documents if each["kind"] == kind)
    return found


def test_helm_finds_nothing_to_complain_about() -> None:
    assert "0 chart(s) failed" in helm("lint", "--strict", str(CHART))


@pytest.mark.parametrize(
    "values",
    [
        (),
        ("watchNamespaces={team-a,team-b}",),
        ("crds.install=false",),
        ("imagePullSecrets[0].name=registry", "priorityClassName=high"),
        ("nodeSelector.disk=ssd", "podLabels.team=blue", "podAnnotations.note=x"),
        ("tolerations[0].operator=Exists", "resources.limits.memory=1Gi"),
    ],
)
def test_each_choice_renders(values: tuple[str, ...]) -> None:
    documents = template(*values)
    assert one(documents, "Deployment")
    assert any(each["kind"] == "CustomResourceDefinition" for each in documents) == (
        "crds.install=false" not in values
    )


def test_prometheus_is_told_of_the_operator_where_that_is_wanted() -> None:
    kinds_of = [each["kind"] for each in template()]
    assert not {"ServiceMonitor", "PrometheusRule"} & set(kinds_of)
    documents = template(
        "serviceMonitor.enabled=true", "serviceMonitor.labels.release=prometheus",
        "prometheusRule.enabled=true", "prometheusRule.labels.release=prometheus",
        "prometheusRule.runbookUrl=https://wiki.example.org/pages/",
    )  # fmt: skip
    monitor, rule = one(documents, "ServiceMonitor"), one(documents, "PrometheusRule")
    for each in (monitor, rule):
        assert each["metadata"]["labels"]["release"] == "prometheus"
    service = one(documents, "Service")
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {each["name"] for each in service["spec"]["ports"]}
    assert endpoint["honorLabels"], "else a bank's namespace would be the operator's"
    wanted = operator_rules(runbooks="https://wiki.example.org/pages")
    assert rule["spec"] == wanted


def test_grafana_gets_the_dashboards_where_that_is_wanted() -> None:
    assert not [each for each in template() if "dashboard" in each["metadata"]["name"]]
    documents = template("dashboards.enabled=true", "dashboards.annotations.grafana_folder=Banks")
    made = [each for each in documents if each["metadata"]["name"].endswith("-dashboard")]
    files = {each.name: each.read_text() for each in CHART.glob("dashboards/*.json")}
    shown: dict[str, str] = {}
    for each in made:
        assert each["kind"] == "ConfigMap"
        assert each["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert each["metadata"]["annotations"] == {"grafana_folder": "Banks"}
        shown |= each["data"]
    assert shown == files != {}


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("canaryInterval=0", "canaryInterval"),
        ("dashboards.label=x", "label"),
        ("watchNamespaces=team", "watchNamespaces"),
        ("logging.level=loud", "level"),
        ("replicas=-1", "replicas"),
        ("serviceMonitor.interval=often", "interval"),
        ("prometheusRule.runbookUrl=wiki", "runbookUrl"),
        ("image.repository=", "repository"),
        ("image.digest=abc", "digest"),
        ("defaults.replicas=1", "replicas"),
        ("defaults.registry=https://mirror", "registry"),
        ("defaults.storage.volume.size=1Gi", "size"),
        ("defaults.networkPolicy.allowFrom[0].name=ingress", "name"),
    ],
)
def test_a_wrong_value_is_refused_by_its_name(value: str, path: str) -> None:
    with pytest.raises(ChartRefused, match=path):
        template(value)


def test_the_image_is_named_by_its_tag_or_its_digest() -> None:
    digest = "sha256:" + "0a" * 32

    def image(*values: str) -> str:
        (container,) = one(template(*values), "Deployment")["spec"]["template"]["spec"][
            "containers"
        ]
        return str(container["image"])

    assert image("image.tag=2.0") == "memorybank-operator:2.0"
    assert image("image.tag=2.0", f"image.digest={digest}") == f"memorybank-operator@{digest}"


def test_every_variable_that_the_chart_sets_is_a_setting() -> None:
    (container,) = one(template(), "Deployment")["spec"]["template"]["spec"]["containers"]
    names = {each["name"] for each in container["env"]}
    assert names <= {PREFIX + field.upper() for field in Settings.model_fields}


def test_values_reach_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    values = ("watchNamespaces={a,b}", "canaryInterval=7", "logging.level=debug", "appImage=x:1")
    (container,) = one(template(*values), "Deployment")["spec"]["template"]["spec"]["containers"]
    for each in container["env"]:
        monkeypatch.setenv(each["name"], each["value"])
    loaded = Settings()
    assert loaded.namespaces == ("a", "b")
    assert (loaded.canary_interval, loaded.log_level, loaded.app_image) == (7.0, "debug", "x:1")


DEFAULTS = (
    "defaults.registry=mirror.example:5000",
    "defaults.imagePullSecrets[0].name=mirror",
    "defaults.storage.volume.storageClassName=fast",
    "defaults.resources.limits.memory=1Gi",
    "defaults.nodeSelector.disk=ssd",
    "defaults.tolerations[0].operator=Exists",
    "defaults.topologySpreadConstraints[0].topologyKey=zone",
    "defaults.priorityClassName=high",
    "defaults.networkPolicy.allowFrom[0].namespace=ingress",
    "defaults.expose.ingress.className=nginx",
)


@pytest.mark.parametrize(
    "values", [(), DEFAULTS, ("defaults.image=a:1",), ("defaults.version=2-x",)]
)
def test_defaults_become_the_document_that_the_operator_is_told_to_read(
    values: tuple[str, ...],
) -> None:
    documents = template(*values)
    metadata = one(documents, "ConfigMap")["metadata"]
    (container,) = one(documents, "Deployment")["spec"]["template"]["spec"]["containers"]
    told = {each["name"]: each["value"] for each in container["env"]}[f"{PREFIX}DEFAULTS"]
    assert told == f"{metadata['namespace']}/{metadata['name']}"
    assert Settings(defaults=told).defaults == told
    said = parse(one(documents, "ConfigMap")["data"]).model_dump(exclude_defaults=True)
    assert len(said) == len(values)


def test_the_chart_knows_every_default() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    assert set(schema["properties"]["defaults"]["properties"]) == set(names())


def test_the_crds_stay_when_the_chart_is_removed() -> None:
    crds = [each for each in template() if each["kind"] == "CustomResourceDefinition"]
    assert {each["metadata"]["name"] for each in crds} == {
        each["metadata"]["name"] for each in crd.build_all()
    }
    for each in crds:
        assert each["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


async def test_a_restricted_namespace_takes_the_operators_pod(
    client: KubeClient, restricted: str
) -> None:
    pod = one(template(), "Deployment")["spec"]["template"]
    made = await client.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**pod["metadata"], "name": FIELD_MANAGER, "namespace": restricted},
            "spec": pod["spec"],
        }
    )
    assert made["kind"] == kinds.POD.kind


async def test_the_api_server_takes_every_object(client: KubeClient, namespace: str) -> None:
    for document in template():
        if document["kind"] in ("Deployment", "Service", "ServiceAccount"):
            document["metadata"]["namespace"] = namespace
            await client.apply(document)
