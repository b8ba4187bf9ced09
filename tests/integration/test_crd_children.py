"""What is rendered, on a real API server: it is taken, and once it is there nothing is left to do,
whatever the server filled in.
"""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, Phase, given, settings

from e2e.cluster.apiserver import ApiServer
from e2e.definitions import (
    http_route_crd,
    postgres_cluster_crd,
    prometheus_rule_crd,
    service_monitor_crd,
)
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.constants import FIELD_MANAGER
from memorybank_operator.kube import kinds
from memorybank_operator.kube.connection import from_kubeconfig
from memorybank_operator.reconcile.observed import ChildKey, KubeObject, Observed
from memorybank_operator.reconcile.plan import plan
from memorybank_operator.reconcile.steps import Apply, Create, Plan
from memorybank_operator.resources import names
from tests.operator.strategies import specs
from tests.operator.world import BACKED_UP, CLASSES, KEY, RING, SETTINGS, World, bank
from tests.support.apiserver import establish

FULL: dict[str, Any] = {
    "image": "registry.example:5000/team/memorybank-app@sha256:" + "0" * 64,
    "imagePullSecrets": [{"name": "registry"}],
    "storage": {"volume": {"size": "0.5Gi", "storageClassName": "standard"}},
    "resources": {"requests": {"cpu": "0.5", "memory": "1e9"}, "limits": {"cpu": 1}},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "gpu", "operator": "Exists"}, {"key": "a", "value": "b"}],
    "affinity": {
        "podAntiAffinity": {
            "preferredDuringSchedulingIgnoredDuringExecution": [
                {
                    "weight": 1,
                    "podAffinityTerm": {
                        "topologyKey": "kubernetes.io/hostname",
                        "labelSelector": {"matchLabels": {"app": "x"}},
                    },
                }
            ]
        }
    },
    "priorityClassName": "important",
    **BACKED_UP,
    "podLabels": {"team": "memory"},
    "podAnnotations": {"example.org/note": "on"},
    "env": [
        {"name": "EMPTY", "value": ""},
        {"name": "TZ", "value": "UTC"},
        {"name": "PROXY", "valueFrom": {"secretKeyRef": {"name": "proxy", "key": "url"}}},
        {
            "name": "MODE",
            "valueFrom": {"configMapKeyRef": {"name": "modes", "key": "m", "optional": True}},
        },
    ],
    "serviceAccount": {"annotations": {"cloud.example/role": "reader"}},
    "expose": {"gateway": {"parentRefs": [{"name": "public"}], "hostnames": ["a.example"]}},
    "deletionPolicy": "Delete",
}


class Cluster:
    """One namespace of the API server, written to as the operator does."""

    def __init__(self, http: httpx.Client, namespace: str) -> None:
        self._http = http
        self.namespace = namespace

    def bank(self, spec: dict[str, Any], **metadata: Any) -> MemoryBank:
        return bank(spec, namespace=self.namespace, **metadata)

    def execute(self, planned: Plan) -> None:
        for step in planned.steps:
            assert isinstance(step, Apply | Create)
            self.apply(step.body)

    def apply(self, body: KubeObject, *, manager: str = FIELD_MANAGER) -> None:
        kind, name = kinds.by_kind(body["kind"]), body["metadata"]["name"]
        answer = self._http.patch(
            kind.item(self.namespace, name),
            params={"fieldManager": manager, "force": "true", "fieldValidation": "Strict"},
            headers={"Content-Type": "application/apply-patch+yaml"},
            content=as_yaml(body),
        )
        assert answer.is_success, answer.text

    def observed(self, of: MemoryBank) -> Observed:
        live = {child: self.get(child) for child in names.children(of)}
        children = {child: body for child, body in live.items() if body is not None}
        return Observed(
            children=children, storage_classes=CLASSES, named_secrets=World().named_secrets
        )

    def get(self, child: ChildKey) -> dict[str, Any] | None:
        kind = kinds.by_kind(child.kind)
        answer = self._http.get(kind.item(self.namespace, child.name))
        return None if answer.status_code == 404 else dict(answer.json())

    def delete(self, child: ChildKey) -> None:
        # Nobody is here to remove the claim's finalizer, which waits for pods.
        kind = kinds.by_kind(child.kind)
        item = kind.item(self.namespace, child.name)
        self._http.patch(
            item,
            headers={"Content-Type": "application/merge-patch+json"},
            content=json.dumps({"metadata": {"finalizers": None}}),
        )
        self._http.delete(item)

    def plan(self, of: MemoryBank) -> Plan:
        return plan(of, self.observed(of), SETTINGS, lambda: KEY, lambda: RING)

    def converge(self, of: MemoryBank) -> Plan:
        for _ in range(2):
            self.execute(self.plan(of))
        return self.plan(of)


def as_yaml(body: KubeObject) -> str:
    """JSON that is YAML as well, which knows no surrogate pairs."""
    pairs = re.compile(r"\\ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}")

    def long_escape(pair: re.Match[str]) -> str:
        character: str = json.loads(f'"{pair[0]}"')
        return f"\\U{ord(character):08x}"

    return pairs.sub(long_escape, json.dumps(body))


@pytest.fixture(scope="module")
def http(api_server: ApiServer) -> Iterator[httpx.Client]:
    connection = from_kubeconfig(api_server.kubeconfig)
    with httpx.Client(
        base_url=connection.server, verify=connection.ssl, trust_env=False, timeout=30
    ) as client:
        for definition in (
            http_route_crd, postgres_cluster_crd, service_monitor_crd, prometheus_rule_crd,
        ):  # fmt: skip
            establish(client, definition())
        yield client


@pytest.fixture
def cluster(http: httpx.Client, namespace: str) -> Cluster:
    return Cluster(http, namespace)


@pytest.mark.parametrize("spec", [{}, FULL], ids=["empty spec", "every field"])
def test_once_applied_nothing_is_left_to_do(cluster: Cluster, spec: dict[str, Any]) -> None:
    planned = cluster.converge(cluster.bank(spec))
    assert planned.steps == ()
    assert planned.notes == ()
    assert planned.problems == ()


@settings(
    max_examples=15,
    deadline=None,
    phases=(Phase.generate,),
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(specs)
def test_whatever_the_spec_once_applied_nothing_is_left_to_do(
    cluster: Cluster, spec: dict[str, Any]
) -> None:
    resources = spec.get("resources", {})
    if resources.get("requests", {}).keys() & resources.get("limits", {}).keys():
        spec = spec | {"resources": {}}  # a request above its limit is refused by the CRD
    of = cluster.bank(spec)
    for child in names.children(of):
        cluster.delete(child)
    assert cluster.converge(of).steps == ()


def test_a_field_that_is_no_longer_rendered_goes(cluster: Cluster) -> None:
    cluster.converge(cluster.bank(FULL))
    plain = cluster.bank({"storage": FULL["storage"], "deletionPolicy": "Retain"}, generation=2)
    assert cluster.converge(plain).steps == ()
    deployment = cluster.get(names.deployment(plain))
    assert deployment is not None
    pod = deployment["spec"]["template"]["spec"]
    assert "nodeSelector" not in pod
    assert "priorityClassName" not in pod
    assert "initContainers" not in pod
    assert [each["name"] for each in pod["containers"][0]["env"]] == [
        "MEMORY_BANK_REVISION",
        "MEMORY_BANK_ADMIN_KEY_FILE",
    ]
    claim = cluster.get(names.volume_claim(plain))
    assert claim is not None
    assert "ownerReferences" not in claim["metadata"], "retained from now on"


def test_what_somebody_else_changed_is_put_back(cluster: Cluster) -> None:
    of = cluster.bank({})
    cluster.converge(of)
    changed = copy.deepcopy(cluster.get(names.deployment(of)))
    assert changed is not None
    changed["metadata"] = {"name": "agents", "namespace": cluster.namespace}
    del changed["status"]
    changed["spec"]["replicas"] = 0
    changed["spec"]["template"]["spec"]["containers"][0]["image"] = "other:1"
    cluster.apply(changed, manager="somebody")
    [step] = cluster.plan(of).steps
    assert isinstance(step, Apply)
    assert step.drift == ("spec.replicas", "spec.template.spec.containers[memorybank].image")
    assert cluster.converge(of).steps == ()


@pytest.mark.parametrize("spec", [{}, BACKED_UP])
def test_the_pod_is_taken_where_restricted_pod_security_is_enforced(
    http: httpx.Client, restricted: str, spec: dict[str, Any]
) -> None:
    cluster = Cluster(http, restricted)
    of = cluster.bank(spec)
    cluster.converge(of)
    deployment = cluster.get(names.deployment(of))
    assert deployment is not None
    template = deployment["spec"]["template"]
    pod = {"apiVersion": "v1", "kind": "Pod", **template}
    pod["metadata"] = template["metadata"] | {"name": "agents", "namespace": cluster.namespace}
    cluster.apply(pod)
    careless = copy.deepcopy(pod)
    careless["metadata"]["name"] = "careless"
    del careless["spec"]["securityContext"]["seccompProfile"]
    with pytest.raises(AssertionError, match="violates PodSecurity"):
        cluster.apply(careless)
