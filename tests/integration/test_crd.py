"""The generated CRD on a real API server: what it fills in, what it refuses, and in which words."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from e2e.cluster import paths
from e2e.cluster.apiserver import ApiServer
from memorybank_operator import constants
from memorybank_operator.api import crd
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.spec import Spec
from memorybank_operator.kube.connection import from_kubeconfig

EXAMPLES = sorted((paths.ROOT / "examples").glob("*.yaml"))


@pytest.fixture(scope="module")
def http(api_server: ApiServer) -> Iterator[httpx.Client]:
    """The plain API, so that a refusal is seen as every client gets it."""
    connection = from_kubeconfig(api_server.kubeconfig)
    with httpx.Client(
        base_url=connection.server, verify=connection.ssl, trust_env=False, timeout=30
    ) as client:
        definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
        created = client.post(definitions, json=crd.build())
        # 409: another module was here first, with the same CRD.
        assert created.status_code in (201, 409), created.text
        deadline = time.monotonic() + 20
        while not _is_served(client.get(f"{definitions}/{crd.NAME}").json()):
            assert time.monotonic() < deadline, "the CRD was not established in time"
            time.sleep(0.05)
        yield client


def _is_served(definition: dict[str, Any]) -> bool:
    conditions = definition["status"].get("conditions") or ()
    return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)


class Refused(Exception):
    """The API server did not take it; the text is its message."""


class Banks:
    """MemoryBanks of one namespace, as a user with the right to do everything sees them."""

    def __init__(self, http: httpx.Client, namespace: str) -> None:
        self._http = http
        self._root = f"/apis/{constants.API_VERSION}/namespaces/{namespace}/{crd.PLURAL}"

    def create(self, manifest: dict[str, Any]) -> dict[str, Any]:
        return self._send("POST", "", manifest, "application/json")

    def create_spec(self, spec: dict[str, Any] | None, *, name: str = "agents") -> dict[str, Any]:
        return self.create(bank(spec, name=name))

    def change(self, path: str, changes: dict[str, Any]) -> dict[str, Any]:
        return self._send("PATCH", f"/{path}", changes, "application/merge-patch+json")

    def table(self) -> dict[str, Any]:
        accept = {"Accept": "application/json;as=Table;v=v1;g=meta.k8s.io"}
        return dict(self._http.get(self._root, headers=accept).json())

    def _send(self, verb: str, path: str, body: dict[str, Any], media: str) -> dict[str, Any]:
        answer = self._http.request(
            verb,
            self._root + path,
            params={"fieldValidation": "Strict"},  # as kubectl does
            content=json.dumps(body),
            headers={"Content-Type": media},
        )
        if answer.status_code in (400, 422):
            raise Refused(answer.json()["message"])
        assert answer.is_success, answer.text
        return dict(answer.json())


@pytest.fixture
def banks(http: httpx.Client, namespace: str) -> Banks:
    return Banks(http, namespace)


def bank(spec: dict[str, Any] | None, *, name: str = "agents") -> dict[str, Any]:
    manifest: dict[str, Any] = {
        "apiVersion": constants.API_VERSION,
        "kind": constants.KIND,
        "metadata": {"name": name},
    }
    return manifest if spec is None else manifest | {"spec": spec}


def test_a_bank_with_a_name_alone_gets_every_default(banks: Banks) -> None:
    stored = banks.create_spec(None)
    assert Spec.model_validate(stored["spec"]) == Spec()
    assert stored["spec"]["storage"] == {
        "engine": "sqlite",
        "volume": {"size": "1Gi", "accessMode": "ReadWriteOnce"},
    }
    assert stored["status"] == {"observedGeneration": -1}


def test_a_bank_with_an_empty_spec_equals_one_without(banks: Banks) -> None:
    without, empty = banks.create_spec(None, name="without"), banks.create_spec({}, name="empty")
    assert without["spec"] == empty["spec"]


def test_what_a_half_filled_section_leaves_out_is_filled_in(banks: Banks) -> None:
    stored = banks.create_spec({"storage": {"volume": {"size": "5Gi"}}, "logging": {}})
    assert stored["spec"]["storage"]["engine"] == "sqlite"
    assert stored["spec"]["storage"]["volume"]["accessMode"] == "ReadWriteOnce"
    assert stored["spec"]["logging"] == {"level": "info", "format": "json"}


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.name)
def test_an_example_is_taken_as_it_is(banks: Banks, file: Path) -> None:
    documents = yaml.safe_load_all(file.read_text())
    for manifest in [each for each in documents if each["kind"] == constants.KIND]:
        assert banks.create(manifest)["metadata"]["name"] == manifest["metadata"]["name"]


def test_own_resources_replace_the_whole_default(banks: Banks) -> None:
    stored = banks.create_spec({"resources": {"limits": {"memory": "200Mi", "cpu": 1}}})
    assert stored["spec"]["resources"] == {"limits": {"memory": "200Mi", "cpu": 1}}


FULL: dict[str, Any] = {
    "image": "registry.example:5000/team/memorybank-app@sha256:" + "0" * 64,
    "imagePullPolicy": "Always",
    "imagePullSecrets": [{"name": "registry"}],
    "replicas": 0,
    "paused": True,
    "storage": {
        "engine": "sqlite",
        "volume": {"size": "5Gi", "storageClassName": "fast", "accessMode": "ReadWriteOncePod"},
    },
    "auth": {"adminKeySecretRef": {"name": "my-key", "key": "token"}},
    "limits": {"maxBodyBytes": 4096},
    "logging": {"level": "debug", "format": "text"},
    "resources": {"requests": {"cpu": "500m"}, "limits": {"cpu": 1, "memory": "1Gi"}},
    "nodeSelector": {"kubernetes.io/arch": "amd64"},
    "tolerations": [{"key": "gpu", "operator": "Exists", "effect": "NoSchedule"}],
    "affinity": {"nodeAffinity": {"anything": ["goes", 1]}},
    "priorityClassName": "important",
    "podLabels": {"team": "memory"},
    "podAnnotations": {"example.org/note": "on"},
    "env": [
        {"name": "TZ", "value": "UTC"},
        {"name": "PROXY", "valueFrom": {"secretKeyRef": {"name": "proxy", "key": "url"}}},
    ],
    "serviceAccount": {"annotations": {"cloud.example/role": "reader"}},
    "deletionPolicy": "Delete",
}


def test_every_field_is_kept_as_written_and_read_back_by_the_models(banks: Banks) -> None:
    stored = banks.create_spec(FULL)
    kept = {key: stored["spec"][key] for key in FULL}
    kept["env"][1]["valueFrom"]["secretKeyRef"].pop("optional")
    assert kept == FULL
    parsed = MemoryBank.parse(stored)
    assert parsed.spec.storage.volume.size == "5Gi"
    assert parsed.spec.resources.limits == {"cpu": "1", "memory": "1Gi"}
    assert parsed.status.observed_generation == -1


JWT = {"issuer": "i", "audience": ["a"], "jwksUrl": "https://login.example.org/keys"}
LONG_NAME = "a-name-of-forty-one-characters-is-too-long"

WRONG: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {
    "unknown field": (bank({"engine": "sqlite"}), ('unknown field "spec.engine"',)),
    "misspelt field": (
        bank({"storage": {"volume": {"sice": "2Gi"}}}),
        ('unknown field "spec.storage.volume.sice"',),
    ),
    "wrong type": (bank({"replicas": "three"}), ("spec.replicas", "integer")),
    "text for a switch": (bank({"paused": "yes"}), ("spec.paused", "boolean")),
    "bad quantity": (
        bank({"storage": {"volume": {"size": "lots"}}}),
        ("spec.storage.volume.size", "such as 1Gi"),
    ),
    "tiny volume": (
        bank({"storage": {"volume": {"size": "1Ki"}}}),
        ("spec.storage.volume.size", "at least 10Mi"),
    ),
    "negative volume": (
        bank({"storage": {"volume": {"size": "-1Gi"}}}),
        ("spec.storage.volume.size", "at least 10Mi"),
    ),
    "replicas on sqlite": (
        bank({"replicas": 3}),
        ("spec.replicas", "set it to 1, or to 0 to stop the bank"),
    ),
    "negative replicas": (bank({"replicas": -1}), ("spec.replicas", "greater than or equal to 0")),
    "other engine": (
        bank({"storage": {"engine": "oracle"}}),
        ("spec.storage.engine", 'supported values: "sqlite"'),
    ),
    "empty image": (bank({"image": ""}), ("spec.image", "leave it out for the operator's default")),
    "image with a space": (bank({"image": "a b"}), ("spec.image", "registry.example/")),
    "version and image": (
        bank({"image": "a:1", "version": "1"}),
        ("spec.version", "remove one of them"),
    ),
    "version that is no tag": (bank({"version": "a/b"}), ("spec.version", "such as 0.1.0")),
    "too long a name": (bank({}, name=LONG_NAME), ("metadata.name", "at most 40 characters")),
    "name that begins with a digit": (
        bank(None, name="1bank"),
        ("metadata.name", "begin with a letter"),
    ),
    "name with a dot": (bank(None, name="team.bank"), ("metadata.name", "letters, digits and '-'")),
    "empty storage class": (
        bank({"storage": {"volume": {"storageClassName": ""}}}),
        ("spec.storage.volume.storageClassName", "write the name of an object"),
    ),
    "access mode for many nodes": (
        bank({"storage": {"volume": {"accessMode": "ReadWriteMany"}}}),
        ("spec.storage.volume.accessMode", '"ReadWriteOnce"'),
    ),
    "key reference to the operator's own Secret": (
        bank({"auth": {"adminKeySecretRef": {"name": "agents-key"}}}),
        ("spec.auth.adminKeySecretRef", "another name"),
    ),
    "key reference without a name": (
        bank({"auth": {"adminKeySecretRef": {"key": "token"}}}),
        ("spec.auth.adminKeySecretRef.name", "Required value"),
    ),
    "body limit of nothing": (
        bank({"limits": {"maxBodyBytes": 0}}),
        ("spec.limits.maxBodyBytes", "greater than or equal to 1024"),
    ),
    "burst of no rate": (
        bank({"limits": {"burst": 5}}),
        ("spec.limits.burst", "set requestsPerMinute as well"),
    ),
    "burst of no tenant's rate": (
        bank({"limits": {"requestsPerMinute": 9, "tenantBurst": 5}}),
        ("spec.limits.tenantBurst", "set tenantRequestsPerMinute as well"),
    ),
    "origin with a path": (
        bank({"cors": {"allowedOrigins": ["https://notes.example.org/app"]}}),
        ("spec.cors.allowedOrigins[0]", "without a path"),
    ),
    "host with a port": (
        bank({"security": {"allowedHosts": ["memory.example.org:8080"]}}),
        ("spec.security.allowedHosts[0]", "without port"),
    ),
    "public address with a path": (
        bank({"security": {"publicUrl": "https://example.org/memory"}}),
        ("spec.security.publicUrl", "without a path"),
    ),
    "tokens of nobody": (
        bank({"auth": {"jwt": {"audience": ["a"], "jwksUrl": "https://a.example/keys"}}}),
        ("spec.auth.jwt.issuer", "Required value"),
    ),
    "tokens for nobody": (
        bank({"auth": {"jwt": JWT | {"audience": []}}}),
        ("spec.auth.jwt.audience", "at least 1 items"),
    ),
    "keys of a provider at no address": (
        bank({"auth": {"jwt": JWT | {"jwksUrl": "login.example.org"}}}),
        ("spec.auth.jwt.jwksUrl", "write http:// or https://"),
    ),
    "tokens by two means": (
        bank({"auth": {"jwt": JWT | {"secretRef": {"name": "a", "key": "b"}}}}),
        ("spec.auth.jwt", "set either spec.auth.jwt.jwksUrl"),
    ),
    "model for the built-in embedder": (
        bank({"embedding": {"model": "other"}}),
        ("spec.embedding.provider", "are for the providers ollama and openai"),
    ),
    "embedding service without a model": (
        bank({"embedding": {"provider": "openai"}}),
        ("spec.embedding.provider", "must name the model"),
    ),
    "ollama without an address": (
        bank({"embedding": {"provider": "ollama", "model": "m"}}),
        ("spec.embedding.provider", "spec.embedding.ollama.url must say"),
    ),
    "key of an embedding service within its address": (
        bank({"embedding": {"openai": {"baseUrl": "https://user:key@models.example.org/v1"}}}),
        ("spec.embedding.openai.baseUrl", "without user"),
    ),
    "encryption without a key ring": (
        bank({"encryption": {"enabled": True}}),
        ("spec.encryption.enabled", "must name the Secret that holds the key ring"),
    ),
    "role that every bank has": (
        bank({"auth": {"roles": {"admin": ["read"]}}}),
        ("spec.auth.roles", "name yours differently"),
    ),
    "role with a strange name": (
        bank({"auth": {"roles": {"The Boss": ["read"]}}}),
        ("spec.auth.roles", "lower-case letters"),
    ),
    "role with an unknown right": (
        bank({"auth": {"roles": {"curator": ["own"]}}}),
        ("spec.auth.roles.curator[0]", '"read", "write", "delete", "admin"'),
    ),
    "audit of an unknown event": (
        bank({"audit": {"events": ["everything"]}}),
        ("spec.audit.events[0]", '"auth"'),
    ),
    "threshold that forgets everything": (
        bank({"forgetting": {"threshold": 0.9}}),
        ("spec.forgetting.threshold", "below 0.2"),
    ),
    "half-life of an unknown type": (
        bank({"forgetting": {"halfLifeDays": {"dream": 3}}}),
        ("spec.forgetting.halfLifeDays", "error_solution"),
    ),
    "job that never rests": (
        bank({"forgetting": {"intervalHours": 0}}),
        ("spec.forgetting.intervalHours", "greater than or equal to 1"),
    ),
    "unknown way with secrets": (
        bank({"writeGate": {"secrets": "hide"}}),
        ("spec.writeGate.secrets", '"mask"'),
    ),
    "stop without an end": (
        bank({"lifecycle": {"shutdownSeconds": 7200}}),
        ("spec.lifecycle.shutdownSeconds", "less than or equal to 3600"),
    ),
    "spread over nothing": (
        bank({"topologySpreadConstraints": [{"topologyKey": "a zone"}]}),
        ("spec.topologySpreadConstraints[0].topologyKey", "topology.kubernetes.io/zone"),
    ),
    "unknown log level": (
        bank({"logging": {"level": "loud"}}),
        ("spec.logging.level", '"warning"'),
    ),
    "request above its limit": (
        bank({"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}}),
        ("spec.resources", "lower spec.resources.requests"),
    ),
    "cpu that is no quantity": (
        bank({"resources": {"limits": {"cpu": "fast"}}}),
        ("spec.resources.limits", "such as 250m"),
    ),
    "variable of the operator": (
        bank({"env": [{"name": "MEMORY_BANK_REVISION", "value": "1"}]}),
        ("spec.env[0].name", "remove the variable"),
    ),
    "variable twice": (
        bank({"env": [{"name": "A", "value": "1"}, {"name": "A", "value": "2"}]}),
        ("spec.env[1]", "Duplicate value"),
    ),
    "variable with two values": (
        bank(
            {
                "env": [
                    {
                        "name": "A",
                        "value": "1",
                        "valueFrom": {"secretKeyRef": {"name": "b", "key": "c"}},
                    }
                ]
            }
        ),
        ("spec.env[0]", "set either value or valueFrom"),
    ),
    "variable from two sources": (
        bank(
            {
                "env": [
                    {
                        "name": "A",
                        "valueFrom": {
                            "secretKeyRef": {"name": "b", "key": "c"},
                            "configMapKeyRef": {"name": "b", "key": "c"},
                        },
                    }
                ]
            }
        ),
        ("spec.env[0].valueFrom", "set either secretKeyRef or configMapKeyRef"),
    ),
    "variable with a strange name": (
        bank({"env": [{"name": "A-B", "value": "1"}]}),
        ("spec.env[0].name", "letters, digits and '_'"),
    ),
    "label of the operator": (
        bank({"podLabels": {"memorybank.dev/bank": "other"}}),
        ("spec.podLabels", "the operator's: use others"),
    ),
    "label that is none": (
        bank({"podLabels": {"team": "not a label"}}),
        ("spec.podLabels", "write a label value"),
    ),
    "annotation with a strange key": (
        bank({"podAnnotations": {"a key": "x"}}),
        ("spec.podAnnotations", "prefix/name"),
    ),
    "toleration of everything by mistake": (
        bank({"tolerations": [{"effect": "NoSchedule"}]}),
        ("spec.tolerations[0]", "must have operator Exists"),
    ),
    "toleration with a value too many": (
        bank({"tolerations": [{"key": "a", "operator": "Exists", "value": "b"}]}),
        ("spec.tolerations[0]", "has no value"),
    ),
    "toleration for a while of a lasting effect": (
        bank({"tolerations": [{"key": "a", "tolerationSeconds": 5, "effect": "NoSchedule"}]}),
        ("spec.tolerations[0]", "needs effect NoExecute"),
    ),
    "unknown deletion policy": (
        bank({"deletionPolicy": "Keep"}),
        ("spec.deletionPolicy", '"Retain", "Delete"'),
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_bank_is_refused_with_field_and_cure(banks: Banks, case: str) -> None:
    manifest, words = WRONG[case]
    with pytest.raises(Refused) as refused:
        banks.create(manifest)
    message = str(refused.value)
    assert all(word in message for word in words), message


CHANGES: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "a smaller volume": (
        {"storage": {"volume": {"size": "2Gi"}}},
        {"storage": {"volume": {"size": "1900Mi"}}},
        "spec.storage.volume.size cannot be smaller than the volume is",
    ),
    "another storage class": (
        {"storage": {"volume": {"storageClassName": "a"}}},
        {"storage": {"volume": {"storageClassName": "b"}}},
        "spec.storage.volume.storageClassName cannot change once it is set",
    ),
    "the storage class removed": (
        {"storage": {"volume": {"storageClassName": "a"}}},
        {"storage": {"volume": {"storageClassName": None}}},
        "spec.storage.volume.storageClassName cannot change once it is set",
    ),
    "another access mode": (
        {},
        {"storage": {"volume": {"accessMode": "ReadWriteOncePod"}}},
        "spec.storage.volume.accessMode cannot change",
    ),
    "encryption switched on": (
        {},
        {"encryption": {"enabled": True, "keySecretRef": {"name": "ring", "key": "ring.json"}}},
        "spec.encryption.enabled cannot change",
    ),
    "encryption switched off": (
        {"encryption": {"enabled": True, "keySecretRef": {"name": "ring", "key": "ring.json"}}},
        {"encryption": {"enabled": False}},
        "spec.encryption.enabled cannot change",
    ),
    "another engine": ({}, {"storage": {"engine": "postgres"}}, 'supported values: "sqlite"'),
}


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_that_cannot_be_made_is_refused_with_field_and_cure(
    banks: Banks, case: str
) -> None:
    before, after, words = CHANGES[case]
    banks.create_spec(before)
    with pytest.raises(Refused) as refused:
        banks.change("agents", {"spec": after})
    assert words in str(refused.value)


def test_a_volume_may_grow_and_a_storage_class_may_be_named_later(banks: Banks) -> None:
    banks.create_spec({"storage": {"volume": {"size": "1Gi"}}})
    volume = {"size": "1025Mi", "storageClassName": "late"}
    changed = banks.change("agents", {"spec": {"storage": {"volume": volume}}})
    assert changed["spec"]["storage"]["volume"] == volume | {"accessMode": "ReadWriteOnce"}


def test_a_growth_that_did_not_happen_can_be_taken_back(banks: Banks) -> None:
    banks.create_spec({"storage": {"volume": {"size": "1Gi"}}})
    banks.change("agents", {"spec": {"storage": {"volume": {"size": "3Gi"}}}})
    banks.change("agents/status", {"status": {"storage": {"capacity": "2Gi"}}})
    with pytest.raises(Refused) as refused:
        banks.change("agents", {"spec": {"storage": {"volume": {"size": "1Gi"}}}})
    assert "see status.storage.capacity" in str(refused.value)
    changed = banks.change("agents", {"spec": {"storage": {"volume": {"size": "2Gi"}}}})
    assert changed["spec"]["storage"]["volume"]["size"] == "2Gi"


def test_a_retained_volume_may_be_larger_than_the_spec_asks_for(banks: Banks) -> None:
    banks.create_spec({"storage": {"volume": {"size": "1Gi"}}})
    banks.change("agents/status", {"status": {"storage": {"capacity": "8Gi"}}})
    assert banks.change("agents", {"spec": {"paused": True}})["spec"]["paused"]


def test_a_name_of_forty_characters_is_taken(banks: Banks) -> None:
    assert banks.create_spec(None, name="a" * 40)["metadata"]["generation"] == 1


def test_scaling_changes_the_replicas_and_stays_within_the_rules(banks: Banks) -> None:
    banks.create_spec(None)
    banks.change("agents/status", {"status": {"selector": "a=b", "replicas": 1}})
    scale = banks.change("agents/scale", {"spec": {"replicas": 0}})
    assert scale["spec"] == {}  # Kubernetes shows zero replicas as none
    assert scale["status"] == {"replicas": 1, "selector": "a=b"}
    with pytest.raises(Refused) as refused:
        banks.change("agents/scale", {"spec": {"replicas": 2}})
    assert "0 to stop the bank" in str(refused.value)


def test_kubectl_get_shows_what_people_look_for(banks: Banks) -> None:
    banks.create_spec(None)
    ready = {
        "type": "Ready",
        "status": "False",
        "reason": "Unschedulable",
        "message": "No node fits.",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
        "observedGeneration": 1,
    }
    status = {"conditions": [ready], "version": "0.1.0", "url": "http://agents.team.svc:8080"}
    banks.change("agents/status", {"status": status})
    table = banks.table()
    columns = {each["name"]: each["priority"] for each in table["columnDefinitions"]}
    narrow = [name for name, priority in columns.items() if priority == 0]
    assert narrow == ["Name", "Ready", "Reason", "Version", "URL", "Age"]
    row = dict(zip(columns, table["rows"][0]["cells"], strict=True))
    assert row["Ready"] == "False"
    assert row["Reason"] == "Unschedulable"
    assert row["URL"] == "http://agents.team.svc:8080"
    assert row["Engine"] == "sqlite"
