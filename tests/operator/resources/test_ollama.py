"""The Ollama server that belongs to a bank, and who brings its model in."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

import pytest
import yaml

from memorybank_operator.api.defaults import Defaults
from memorybank_operator.resources import names
from memorybank_operator.resources.backend import CHROMA, OLLAMA
from memorybank_operator.resources.context import RenderSettings
from memorybank_operator.resources.ollama import registry_of
from tests.operator.resources.own_servers import build, pod_of, server_of
from tests.operator.world import SETTINGS, bank

ON_A_CLAIM = {"modelFile": {"volume": {"claimName": "models", "path": "gguf/minilm.gguf"}}}
IN_AN_IMAGE = {"modelFile": {"image": {"reference": "team/minilm:1", "path": "/minilm.gguf"}}}


def using(model: str = "all-minilm", /, **managed: Any) -> dict[str, Any]:
    return {
        "embedding": {"provider": "ollama", "model": model, "ollama": {"managed": managed}},
    }


OWN = using()


server = partial(server_of, OLLAMA)
pod = partial(pod_of, OLLAMA)


def containers(spec: dict[str, Any], settings: RenderSettings = SETTINGS) -> dict[str, Any]:
    made = pod(spec, settings)
    return {each["name"]: each for each in (*made.get("initContainers", ()), *made["containers"])}


def egress(spec: dict[str, Any]) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = build(spec)[OLLAMA.policy(bank(spec))]["spec"]["egress"]
    return found


@pytest.mark.parametrize(
    "embedding",
    [
        {},
        {"provider": "ollama", "model": "m", "ollama": {"url": "http://ollama.models.svc:11434"}},
        {"provider": "builtin", "ollama": {"managed": {}}},
    ],
)
def test_a_bank_has_none_unless_it_is_asked_for_and_used(embedding: dict[str, Any]) -> None:
    assert not set(OLLAMA.children(bank())) & build({"embedding": embedding}).keys()


def test_the_bank_is_told_its_address() -> None:
    file = build(OWN)[names.config_map(bank())]["data"]["config.yaml"]
    assert yaml.safe_load(file)["embedding"]["ollama"]["url"] == (
        "http://agents-ollama.team.svc:11434"
    )


def test_its_pod_is_none_of_the_banks_nor_of_its_other_servers() -> None:
    objects = build(OWN | {"vector": {"provider": "chroma", "chroma": {"managed": {}}}})
    labels = server(OWN)["template"]["metadata"]["labels"]
    for each in (names.service(bank()), CHROMA.service(bank())):
        assert not objects[each]["spec"]["selector"].items() <= labels.items()
    own = objects[OLLAMA.service(bank())]["spec"]["selector"]
    assert own.items() <= labels.items()
    assert "app.kubernetes.io/managed-by" not in labels, "the operator watches no pods of Ollama"


def test_the_bank_reaches_it_while_it_loads_another_model() -> None:
    service = build(OWN)[OLLAMA.service(bank())]["spec"]
    assert (service["clusterIP"], service["publishNotReadyAddresses"]) == ("None", True)


def test_only_the_banks_pods_come_in() -> None:
    objects = build(OWN)
    policy = objects[OLLAMA.policy(bank())]["spec"]
    selector = objects[names.deployment(bank())]["spec"]["selector"]
    assert policy["ingress"] == [
        {"from": [{"podSelector": selector}], "ports": [{"port": 11434, "protocol": "TCP"}]}
    ]
    assert policy["podSelector"] == server(OWN)["selector"]


@pytest.mark.parametrize(
    ("model", "registry", "rule"),
    [
        ("all-minilm", ("registry.ollama.ai", 443), {"ports": [{"port": 443, "protocol": "TCP"}]}),
        (
            "team/embed:1",
            ("registry.ollama.ai", 443),
            {"ports": [{"port": 443, "protocol": "TCP"}]},
        ),
        (
            "models.example.org:5000/team/embed",
            ("models.example.org", 5000),
            {"ports": [{"port": 5000, "protocol": "TCP"}]},
        ),
        (
            "models.registry.svc/team/embed",
            ("models.registry.svc", 443),
            {
                "ports": [{"protocol": "TCP"}],
                "to": [
                    {
                        "namespaceSelector": {
                            "matchLabels": {"kubernetes.io/metadata.name": "registry"}
                        }
                    }
                ],
            },
        ),
    ],
)
def test_a_server_that_pulls_reaches_names_and_the_registry(
    model: str, registry: tuple[str, int], rule: dict[str, Any]
) -> None:
    assert registry_of(model) == registry
    names_, *found = egress(using(model))
    assert {each["port"] for each in names_["ports"]} == {53}
    assert found == [rule]


@pytest.mark.parametrize("source", [ON_A_CLAIM, IN_AN_IMAGE])
def test_nothing_goes_out_of_a_server_that_has_a_file(source: dict[str, Any]) -> None:
    assert egress(using("minilm", **source)) == []


def test_a_bank_with_a_fence_reaches_it() -> None:
    fenced = build(OWN | {"networkPolicy": {"enabled": True}})[names.network_policy(bank())]
    _, rule = fenced["spec"]["egress"]
    assert rule == {
        "ports": [{"port": 11434, "protocol": "TCP"}],
        "to": [{"podSelector": server(OWN)["selector"]}],
    }


def test_who_brings_the_model_in_is_of_the_banks_image_and_knows_what_the_spec_says() -> None:
    spec = using("minilm", **ON_A_CLAIM)
    spec["embedding"]["ollama"]["keepAlive"] = "-1"
    keeper = containers(spec)["model"]
    assert keeper["image"] == SETTINGS.app_image
    assert keeper["args"] == [
        "model", "keep", "minilm", "--url", "http://127.0.0.1:11434", "--keep-alive=-1",
        "--file", "/import/gguf/minilm.gguf", "--host", "0.0.0.0", "--port", "8081",  # noqa: S104  # a pod's
    ]  # fmt: skip
    assert "--file" not in containers(OWN)["model"]["args"]


def test_the_pod_is_ready_when_the_model_answers() -> None:
    probe = containers(OWN)["model"]["readinessProbe"]["httpGet"]
    [port] = containers(OWN)["model"]["ports"]
    assert (probe["path"], probe["port"]) == ("/ready", port["name"])
    assert port["containerPort"] == 8081


def test_a_file_on_a_claim_is_only_read() -> None:
    spec = using("minilm", **ON_A_CLAIM)
    volume = next(each for each in pod(spec)["volumes"] if each["name"] == "import")
    assert volume["persistentVolumeClaim"] == {"claimName": "models", "readOnly": True}
    mounts = [
        each for each in containers(spec)["model"]["volumeMounts"] if each["name"] == "import"
    ]
    assert mounts == [{"name": "import", "mountPath": "/import", "readOnly": True}]
    assert "initContainers" not in pod(spec)


def test_a_file_in_an_image_is_copied_by_that_image() -> None:
    spec = using("minilm", **IN_AN_IMAGE)
    copying = containers(spec)["model-file"]
    assert copying["image"] == "team/minilm:1"
    assert copying["command"] == ["cp", "/minilm.gguf", "/import/model.gguf"]
    assert "/import/model.gguf" in containers(spec)["model"]["args"]
    volume = next(each for each in pod(spec)["volumes"] if each["name"] == "import")
    assert volume == {"name": "import", "emptyDir": {}}


@pytest.mark.parametrize("source", [{}, ON_A_CLAIM, IN_AN_IMAGE])
def test_it_meets_the_restricted_pod_security_standard(source: dict[str, Any]) -> None:
    made = pod(using("minilm", **source))
    assert made["securityContext"]["runAsNonRoot"] is True
    assert made["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for each in (*made.get("initContainers", ()), *made["containers"]):
        assert each["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "capabilities": {"drop": ["ALL"]},
            "readOnlyRootFilesystem": True,
        }
    assert made["automountServiceAccountToken"] is False


def test_the_image_is_that_of_the_spec_or_the_operators_from_the_registry_of_the_defaults() -> None:
    mirror = replace(
        SETTINGS, defaults=Defaults.model_validate({"registry": "mirror.example:5000"})
    )
    chosen = using("m", image="team/ollama:2")
    other = replace(SETTINGS, ollama_image="registry.example/ollama:1")
    images = [
        containers(*each)["ollama"]["image"]
        for each in ((OWN, SETTINGS), (OWN, other), (OWN, mirror), (chosen, mirror))
    ]
    assert images == [
        "ollama/ollama:0.17.4",
        "registry.example/ollama:1",
        "mirror.example:5000/ollama/ollama:0.17.4",
        "team/ollama:2",
    ]


def test_volume_and_resources_are_those_of_the_spec() -> None:
    spec = using(
        "m",
        storage={"size": "50Gi", "storageClassName": "fast"},
        resources={"limits": {"memory": "8Gi"}},
    )
    [claim] = server(spec)["volumeClaimTemplates"]
    assert claim["spec"] == {
        "accessModes": ["ReadWriteOnce"],
        "resources": {"requests": {"storage": "50Gi"}},
        "storageClassName": "fast",
    }
    assert containers(spec)["ollama"]["resources"] == {"limits": {"memory": "8Gi"}}


def test_it_sleeps_with_the_bank_and_keeps_its_volume_until_it_goes() -> None:
    assert [server(each)["replicas"] for each in (OWN, OWN | {"hibernate": True})] == [1, 0]
    assert server(OWN)["persistentVolumeClaimRetentionPolicy"] == {
        "whenDeleted": "Delete",
        "whenScaled": "Retain",
    }


def test_its_size_and_source_restart_no_pod_of_the_bank() -> None:
    larger = using("all-minilm", resources={"limits": {"memory": "8Gi"}}, **ON_A_CLAIM)
    templates = [build(each)[names.deployment(bank())] for each in (OWN, larger)]
    assert templates[0]["spec"] == templates[1]["spec"]
