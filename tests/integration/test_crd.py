"""The generated CRD on a real API server: what it fills in, what it refuses, and in which words."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from e2e.cluster import paths
from e2e.cluster.apiserver import ApiServer
from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.spec import Spec
from tests.integration.refusals import CHANGES, PAGE, WRONG, Banks, Refused, api, make, page

EXAMPLES = sorted((paths.ROOT / "examples").glob("*.yaml"))


@pytest.fixture(scope="module")
def http(api_server: ApiServer) -> Iterator[httpx.Client]:
    with api(api_server) as client:
        yield client


GROWS_NOT = {"enabled": False, "thresholdPercent": 80, "step": "25%"}
"""The default of spec.storage.volume.autoGrow."""


@pytest.fixture
def banks(http: httpx.Client, namespace: str) -> Banks:
    return Banks(http, namespace)


def test_a_bank_with_a_name_alone_gets_every_default(banks: Banks) -> None:
    stored = banks.create_spec(None)
    assert Spec.model_validate(stored["spec"]) == Spec()
    assert stored["spec"]["storage"] == {
        "engine": "sqlite",
        "volume": {"size": "1Gi", "accessMode": "ReadWriteOnce", "autoGrow": GROWS_NOT},
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
        "volume": {
            "size": "5Gi",
            "storageClassName": "fast",
            "accessMode": "ReadWriteOncePod",
            "autoGrow": {
                "enabled": True,
                "thresholdPercent": 70,
                "step": "2Gi",
                "maxSize": "20Gi",
            },
        },
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
    assert parsed.spec.resources is not None
    assert parsed.spec.resources.limits == {"cpu": "1", "memory": "1Gi"}
    assert parsed.status.observed_generation == -1


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_bank_is_refused_with_field_and_cure(banks: Banks, case: str) -> None:
    body, words = WRONG[case]
    with pytest.raises(Refused) as refused:
        banks.create(body)
    message = str(refused.value)
    assert all(word in message for word in words), message


@pytest.mark.parametrize("case", CHANGES)
def test_a_change_that_cannot_be_made_is_refused_with_field_and_cure(
    banks: Banks, case: str
) -> None:
    with pytest.raises(Refused) as refused:
        make(banks, CHANGES[case])
    assert CHANGES[case].words in str(refused.value)


def test_the_page_on_refusals_tells_what_the_api_server_says(http: httpx.Client) -> None:
    assert page(http) == PAGE.read_text(), "run `python -m tests.integration.refusals --write`"


def test_a_volume_may_grow_and_a_storage_class_may_be_named_later(banks: Banks) -> None:
    banks.create_spec({"storage": {"volume": {"size": "1Gi"}}})
    volume = {"size": "1025Mi", "storageClassName": "late"}
    changed = banks.change("agents", {"spec": {"storage": {"volume": volume}}})
    defaults = {"accessMode": "ReadWriteOnce", "autoGrow": GROWS_NOT}
    assert changed["spec"]["storage"]["volume"] == volume | defaults


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
