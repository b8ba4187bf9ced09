"""What is in a bank's objects, and what makes a new pod necessary."""

from __future__ import annotations

import base64
from typing import Any

import pytest
import yaml

from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.resources import names
from memorybank_operator.resources.build import build_all
from memorybank_operator.resources.context import BuildContext, RenderSettings
from memorybank_operator.resources.image import image_of
from memorybank_operator.resources.pod_template import revision_of
from tests.operator.world import KEY, OTHER_KEY, SETTINGS, bank


def build(of: MemoryBank | None = None, **changes: Any) -> dict[str, dict[str, Any]]:
    context: dict[str, Any] = {"settings": SETTINGS, "admin_key": KEY, "volume_size": "1Gi"}
    bodies = build_all(BuildContext(of or bank(), **(context | changes)))
    return {body["kind"]: body for body in bodies}


def pod_of(objects: dict[str, dict[str, Any]]) -> dict[str, Any]:
    return dict(objects["Deployment"]["spec"]["template"]["spec"])


def revision(of: MemoryBank | None = None, **changes: Any) -> str:
    return revision_of(build(of, **changes)["Deployment"]["spec"]["template"])


def test_objects_are_made_in_the_order_of_their_names() -> None:
    of = bank()
    context = BuildContext(of, SETTINGS, admin_key=KEY, volume_size="1Gi")
    made = [(body["kind"], body["metadata"]["name"]) for body in build_all(context)]
    assert made == [tuple(child) for child in names.children(of)]


def test_what_needs_a_key_or_a_volume_is_not_made_without() -> None:
    assert set(build()) - set(build(admin_key=None)) == {"Secret", "Deployment"}
    assert set(build()) - set(build(volume_size=None)) == {"PersistentVolumeClaim", "Deployment"}


def test_everything_but_a_retained_volume_is_owned_by_the_bank() -> None:
    for kind, body in build().items():
        owners = body["metadata"].get("ownerReferences", [])
        assert [each["uid"] for each in owners] == (
            [] if kind == "PersistentVolumeClaim" else ["uid-1"]
        )


def test_the_pod_meets_the_restricted_pod_security_standard() -> None:
    pod = pod_of(build())
    [container] = pod["containers"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] == 65532
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "capabilities": {"drop": ["ALL"]},
        "readOnlyRootFilesystem": True,
    }
    assert pod["automountServiceAccountToken"] is False


def test_only_the_volume_and_a_scratch_folder_can_be_written() -> None:
    [container] = pod_of(build())["containers"]
    writable = {each["mountPath"] for each in container["volumeMounts"] if not each.get("readOnly")}
    assert writable == {"/data", "/tmp"}  # noqa: S108 - an own volume


def test_the_service_is_started_by_its_contract() -> None:
    [container] = pod_of(build())["containers"]
    assert " ".join(container["args"]) == (
        "serve --data /data --host 0.0.0.0 --port 8080 --metrics-port 9090 "
        "--config /etc/memorybank/config.yaml"
    )
    env = {each["name"]: each["value"] for each in container["env"]}
    assert env == {
        "MEMORY_BANK_REVISION": revision(),
        "MEMORY_BANK_ADMIN_KEY_FILE": "/etc/memorybank-key/token",
    }
    assert container["readinessProbe"]["httpGet"]["path"] == "/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/live"


def test_the_secret_follows_the_service_binding_convention() -> None:
    secret = build()["Secret"]
    entries = {key: base64.b64decode(value).decode() for key, value in secret["data"].items()}
    assert entries == {
        "type": "memorybank",
        "provider": "memorybank.dev",
        "uri": "http://agents.team.svc:8080",
        "host": "agents.team.svc",
        "port": "8080",
        "token": KEY,
    }
    assert secret["type"] == "servicebinding.io/memorybank"


def test_the_configuration_allows_every_name_of_the_service() -> None:
    text = build()["ConfigMap"]["data"]["config.yaml"]
    assert yaml.safe_load(text) == {
        "environment": "production",
        "embedding": {"provider": "builtin"},
        "security": {
            "allowed_hosts": [
                "agents",
                "agents.team",
                "agents.team.svc",
                "agents.team.svc.cluster.local",
            ]
        },
        "limits": {"max_body_bytes": 1048576},
        "logging": {"level": "info", "format": "json"},
    }


def test_labels_of_the_spec_cannot_take_the_place_of_ours() -> None:
    of = bank({"podLabels": {"team": "memory", "memorybank.dev/bank": "other"}})
    labels = build(of)["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert labels["team"] == "memory"
    assert labels["memorybank.dev/bank"] == "agents"


def test_what_the_spec_says_about_placement_reaches_the_pod() -> None:
    spec = {
        "nodeSelector": {"a": "b"},
        "tolerations": [{"key": "gpu", "operator": "Exists"}],
        "affinity": {"podAntiAffinity": {}},
        "priorityClassName": "high",
        "imagePullSecrets": [{"name": "registry"}],
    }
    pod = pod_of(build(bank(spec)))
    assert {key: pod[key] for key in spec} == spec
    assert not spec.keys() & pod_of(build()).keys()


@pytest.mark.parametrize(
    ("spec", "default", "image"),
    [
        ({}, "app:1", "app:1"),
        ({"image": "own:2"}, "app:1", "own:2"),
        ({"version": "2"}, "app:1", "app:2"),
        ({"version": "2"}, "app", "app:2"),
        ({"version": "2"}, "registry:5000/team/app", "registry:5000/team/app:2"),
        ({"version": "2"}, "registry:5000/team/app:1", "registry:5000/team/app:2"),
        ({"version": "2"}, "team/app@sha256:abc", "team/app:2"),
        ({"version": "2"}, "team/app:1@sha256:abc", "team/app:2"),
    ],
)
def test_the_image_is_the_specs_or_the_default_in_the_specs_version(
    spec: dict[str, Any], default: str, image: str
) -> None:
    settings = RenderSettings(app_image=default, cluster_domain="cluster.local")
    assert image_of(bank(spec).spec, settings) == image


@pytest.mark.parametrize(
    "spec",
    [
        {"image": "other:1"},
        {"lifecycle": {"drainSeconds": 7}},
        {"cache": {"embeddings": 0}},
        {"security": {"publicUrl": "https://memory.example.org"}},
        {"env": [{"name": "A", "value": "1"}]},
        {"resources": {"limits": {"memory": "1Gi"}}},
        {"podAnnotations": {"example.org/a": "b"}},
    ],
)
def test_what_the_pod_sees_makes_a_new_revision(spec: dict[str, Any]) -> None:
    assert revision(bank(spec)) != revision()


@pytest.mark.parametrize(
    "spec",
    [
        {"replicas": 0},
        {"deletionPolicy": "Delete"},
        {"serviceAccount": {}},
        {"logging": {"level": "debug"}},
        {"limits": {"maxBodyBytes": 4096}},
        {"security": {"allowedHosts": ["memory.example.org"]}},
        {"cors": {"allowedOrigins": ["https://notes.example.org"]}},
        {"forgetting": {"enabled": True}},
        {"consolidation": {"enabled": True}},
        {"writeGate": {"secrets": "refuse"}},
    ],
)
def test_what_the_running_pod_takes_or_does_not_see_makes_none(spec: dict[str, Any]) -> None:
    assert revision(bank(spec)) == revision()


def test_another_key_makes_none_as_the_running_pod_takes_it() -> None:
    assert revision(admin_key=OTHER_KEY) == revision()


def test_the_longest_names_fit() -> None:
    of = bank(name="a" * 40, namespace="n" * 63)
    assert max(len(child.name) for child in names.children(of)) == 47
    assert names.http_url(of) == f"http://{'a' * 40}.{'n' * 63}.svc:8080"
