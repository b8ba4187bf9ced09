"""The Chroma server that belongs to a bank."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import yaml

from memorybank_operator.api.defaults import Defaults
from memorybank_operator.resources import names
from memorybank_operator.resources.backend import CHROMA
from tests.operator.resources.own_servers import build, pod_of, server_of
from tests.operator.world import SETTINGS, bank

OWN: dict[str, Any] = {"vector": {"provider": "chroma", "chroma": {"managed": {}}}}


server = partial(server_of, CHROMA)
pod = partial(pod_of, CHROMA)


@pytest.mark.parametrize(
    "vector",
    [
        {},
        {"provider": "chroma", "chroma": {"url": "http://chroma.vectors.svc:8000"}},
        {"provider": "embedded", "chroma": {"managed": {}}},
    ],
)
def test_a_bank_has_none_unless_it_is_asked_for_and_used(vector: dict[str, Any]) -> None:
    assert not set(CHROMA.children(bank())) & build({"vector": vector}).keys()


def test_the_bank_is_told_its_address() -> None:
    file = build(OWN)[names.config_map(bank())]["data"]["config.yaml"]
    url = "http://agents-chroma.team.svc:8000"
    assert yaml.safe_load(file)["vector"]["chroma"] == {"url": url, "collections": "team_agents"}


def test_its_pod_is_none_of_the_banks() -> None:
    objects = build(OWN)
    service = objects[names.service(bank())]["spec"]["selector"]
    labels = server(OWN)["template"]["metadata"]["labels"]
    assert not service.items() <= labels.items()
    own = objects[CHROMA.service(bank())]["spec"]["selector"]
    assert own.items() <= labels.items()
    of_the_bank = objects[names.deployment(bank())]["spec"]["template"]["metadata"]["labels"]
    assert not own.items() <= of_the_bank.items()
    assert "app.kubernetes.io/managed-by" not in labels, "the operator watches no pods of Chroma"


def test_only_the_banks_pods_come_in_and_nothing_goes_out() -> None:
    objects = build(OWN)
    policy = objects[CHROMA.policy(bank())]["spec"]
    selector = objects[names.deployment(bank())]["spec"]["selector"]
    assert policy["ingress"] == [
        {"from": [{"podSelector": selector}], "ports": [{"port": 8000, "protocol": "TCP"}]}
    ]
    assert (policy["policyTypes"], policy["egress"]) == (["Ingress", "Egress"], [])
    assert policy["podSelector"] == server(OWN)["selector"]


def test_a_bank_with_a_fence_reaches_it_and_no_other_pod() -> None:
    fenced = build(OWN | {"networkPolicy": {"enabled": True}})[names.network_policy(bank())]
    _, rule = fenced["spec"]["egress"]
    assert rule == {
        "ports": [{"port": 8000, "protocol": "TCP"}],
        "to": [{"podSelector": server(OWN)["selector"]}],
    }


def test_it_sleeps_with_the_bank_and_keeps_its_volume_until_it_goes() -> None:
    sleeping = OWN | {"hibernate": True}
    assert [server(each)["replicas"] for each in (OWN, sleeping)] == [1, 0]
    assert server(OWN)["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Delete",
        "whenScaled": "Retain",
    }


def test_it_meets_the_restricted_pod_security_standard() -> None:
    made = pod(OWN)
    [container] = made["containers"]
    assert made["securityContext"]["runAsNonRoot"] is True
    assert made["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert made["automountServiceAccountToken"] is False


def test_the_image_is_that_of_the_spec_or_the_operators_from_the_registry_of_the_defaults() -> None:
    mirror = replace(
        SETTINGS, defaults=Defaults.model_validate({"registry": "mirror.example:5000"})
    )
    chosen = {"vector": {"provider": "chroma", "chroma": {"managed": {"image": "team/chroma:2"}}}}
    images = [
        pod(OWN)["containers"][0]["image"],
        pod(OWN, replace(SETTINGS, chroma_image="registry.example/chroma:1.6"))["containers"][0][
            "image"
        ],
        pod(OWN, mirror)["containers"][0]["image"],
        pod(chosen, mirror)["containers"][0]["image"],
    ]
    assert images == [
        "chromadb/chroma:1.5.9",
        "registry.example/chroma:1.6",
        "mirror.example:5000/chromadb/chroma:1.5.9",
        "team/chroma:2",
    ]


def test_volume_and_resources_are_those_of_the_spec() -> None:
    managed = {
        "storage": {"size": "5Gi", "storageClassName": "fast"},
        "resources": {"limits": {"memory": "4Gi"}},
    }
    spec = {"vector": {"provider": "chroma", "chroma": {"managed": managed}}}
    [claim] = server(spec)["volumeClaimTemplates"]
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "5Gi"}},
        "storageClassName": "fast",
    }
    assert pod(spec)["containers"][0]["resources"] == {"limits": {"memory": "4Gi"}}
    assert "storageClassName" not in server(OWN)["volumeClaimTemplates"][0]["spec"]


def test_it_runs_where_the_bank_may_run() -> None:
    placed = pod(OWN | {"nodeSelector": {"disk": "ssd"}, "imagePullSecrets": [{"name": "mirror"}]})
    assert placed["nodeSelector"] == {"disk": "ssd"}
    assert placed["imagePullSecrets"] == [{"name": "mirror"}]


def test_its_size_restarts_no_pod_of_the_bank() -> None:
    managed = {"resources": {"limits": {"memory": "4Gi"}}}
    larger = {"vector": {"provider": "chroma", "chroma": {"managed": managed}}}
    templates = [build(each)[names.deployment(bank())] for each in (OWN, larger)]
    assert templates[0]["spec"] == templates[1]["spec"]
