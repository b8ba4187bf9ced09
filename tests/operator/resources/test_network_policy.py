"""Whom a bank's network policy lets in, and whom it lets the pod reach."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from memorybank_operator.api.defaults import Defaults
from memorybank_operator.reconcile.observed import ChildKey
from memorybank_operator.resources.backup_job import job_labels
from memorybank_operator.resources.destinations import egress_rules
from memorybank_operator.resources.effective import fenced
from memorybank_operator.resources.labels import selector
from tests.operator.resources.test_objects import build
from tests.operator.world import BACKED_UP, SETTINGS, bank, running

IN = {"networkPolicy": {"enabled": True}}
ANYBODY = {"ports": [{"port": 443, "protocol": "TCP"}]}


def within(namespace: str) -> dict[str, Any]:
    selector = {"matchLabels": {"kubernetes.io/metadata.name": namespace}}
    return {"ports": [{"protocol": "TCP"}], "to": [{"namespaceSelector": selector}]}


def at(block: str, port: int) -> dict[str, Any]:
    return {"ports": [{"port": port, "protocol": "TCP"}], "to": [{"ipBlock": {"cidr": block}}]}


def by_port(*ports: int) -> dict[str, Any]:
    return {"ports": [{"port": port, "protocol": "TCP"} for port in ports]}


def policy(spec: dict[str, Any], **settings: Any) -> dict[str, Any]:
    made = build(bank(spec), settings=replace(SETTINGS, **settings))
    return dict(made["NetworkPolicy"]["spec"])


def test_a_bank_has_none_unless_it_is_asked_for() -> None:
    assert "NetworkPolicy" not in build()
    assert "NetworkPolicy" not in build(bank({"networkPolicy": {"enabled": False}}))


def test_it_lets_nobody_in_but_an_operator_within_the_cluster() -> None:
    assert policy(IN)["ingress"] == []
    assert policy(IN)["policyTypes"] == ["Ingress", "Egress"]
    [rule] = policy(IN, operator_namespace="system")["ingress"]
    assert rule == {
        "from": [
            {
                "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "system"}},
                "podSelector": {"matchLabels": {"app.kubernetes.io/name": "memorybank-operator"}},
            }
        ],
        "ports": [{"port": 8080, "protocol": "TCP"}],
    }


def test_the_pod_of_a_bank_that_needs_nobody_reaches_dns_alone() -> None:
    [rule] = policy(IN)["egress"]
    assert {each["port"] for each in rule["ports"]} == {53}


@pytest.mark.parametrize(
    ("url", "rules"),
    [
        ("https://api.example.org/v1", [by_port(443)]),
        ("http://api.example.org", [by_port(80)]),
        ("http://api.example.org:8000", [by_port(8000)]),
        ("http://ollama:11434", [within("team")]),
        ("http://ollama.models.svc:11434", [within("models")]),
        ("http://ollama.models.svc.cluster.local:11434", [within("models")]),
        ("http://Ollama.Models.SVC.cluster.local.:11434", [within("models")]),
        ("http://ollama-0.ollama.models.svc:11434", [within("models")]),
        ("http://ollama.models:11434", [by_port(11434), within("models")]),
        ("http://192.0.2.7:4318", [at("192.0.2.7/32", 4318)]),
        ("http://[2001:db8::1]", [at("2001:db8::1/128", 80)]),
    ],
)
def test_an_address_becomes_what_a_network_policy_can_say_of_it(
    url: str, rules: list[dict[str, Any]]
) -> None:
    of = bank({"embedding": {"provider": "ollama", "model": "m", "ollama": {"url": url}}})
    assert egress_rules(of, "cluster.local") == rules


def test_every_address_that_the_spec_names_can_be_reached() -> None:
    jwt = {"issuer": "i", "audience": ["a"], "jwksUrl": "https://login.example.org/keys"}
    env = [
        {"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": "http://collector.tracing.svc:4318"},
        {"name": "HTTPS_PROXY", "value": "http://192.0.2.9:3128"},
        {"name": "TZ", "value": "UTC"},
        {"name": "BAD", "value": "http://host:99999999/"},
        {"name": "WORSE", "value": "http://["},
        {"name": "SECRET", "valueFrom": {"secretKeyRef": {"name": "a", "key": "b"}}},
    ]
    openai = {"provider": "openai", "model": "m", "openai": {"baseUrl": "http://models:9000/v1"}}
    chroma = {"provider": "chroma", "chroma": {"url": "http://chroma.vectors.svc:8000"}}
    of = bank({"auth": {"jwt": jwt}, "env": env, "embedding": openai, "vector": chroma})
    assert egress_rules(of, "cluster.local") == [
        by_port(443),
        within("team"),
        within("tracing"),
        within("vectors"),
        at("192.0.2.9/32", 3128),
    ]


@pytest.mark.parametrize(
    ("s3", "rules"),
    [
        ({}, [by_port(443)]),
        ({"secretRef": {"name": "bucket"}}, [by_port(443)]),
        (
            {"endpoint": "http://s3.data.svc:9000", "secretRef": {"name": "bucket"}},
            [within("data")],
        ),
        (
            {"endpoint": "http://192.0.2.7:9000", "secretRef": {"name": "bucket"}},
            [at("192.0.2.7/32", 9000)],
        ),
        # By the identity of the pod, which Amazon tells.
        ({"endpoint": "http://s3.data.svc:9000"}, [by_port(443), within("data")]),
    ],
)
def test_the_bucket_of_the_backups_can_be_reached(
    s3: dict[str, Any], rules: list[dict[str, Any]]
) -> None:
    of = bank({"backup": {"destination": {"s3": {"bucket": "memories", **s3}}}})
    assert egress_rules(of, "cluster.local") == rules


def test_the_buckets_of_copies_can_be_reached() -> None:
    copies = [
        {"name": name, "s3": {"bucket": "copies", "endpoint": url, "secretRef": {"name": "bucket"}}}
        for name, url in (("a", "http://192.0.2.7:9000"), ("b", "https://s3.example.net:8443"))
    ]
    on_a_volume = {"destination": {"volume": {"claimName": "backups"}}}
    of = bank({"backup": on_a_volume | {"copies": copies}})
    assert egress_rules(of, "cluster.local") == [by_port(8443), at("192.0.2.7/32", 9000)]


def test_who_may_read_metrics_may_read_those_of_the_backups() -> None:
    peers = [{"namespace": "mon", "ports": ["metrics"]}, {"namespace": "apps"}]
    fence = {"networkPolicy": {"enabled": True, "allowFrom": peers}}
    backup = {"backup": {"destination": {"volume": {"claimName": "backups"}}}}
    for spec, ports in ((fence, {9090}), (fence | backup, {9090, 9091})):
        opened = [{each["port"] for each in rule["ports"]} for rule in policy(spec)["ingress"]]
        of_backups = [{8080}] if "backup" in spec else []
        assert opened == [*of_backups, {8080}, ports]


def test_what_works_on_backups_reaches_the_bank_and_the_destination_and_nobody_reaches_it() -> None:
    spec = {"networkPolicy": {"enabled": True}} | BACKED_UP
    world = running(bank(spec))
    fence = world.children[ChildKey("NetworkPolicy", "agents-backup")]["spec"]
    labels = fence["podSelector"]["matchLabels"]
    assert labels.items() <= job_labels(bank(spec)).items()
    assert not selector(bank(spec)).items() <= job_labels(bank(spec)).items()
    assert fence["ingress"] == []
    assert {"podSelector": {"matchLabels": selector(bank(spec))}} in [
        peer for rule in fence["egress"] for peer in rule.get("to", [])
    ]
    of_bank = policy(spec)
    assert {"podSelector": {"matchLabels": labels}} in of_bank["ingress"][0]["from"]
    for rule in of_bank["egress"]:
        assert rule in fence["egress"], "the destination"
    assert ChildKey("NetworkPolicy", "agents-backup") not in running(bank(BACKED_UP)).children


def test_a_service_that_the_bank_does_not_use_cannot_be_reached() -> None:
    chroma = {"chroma": {"url": "http://chroma.vectors.svc:8000"}}
    of = bank({"embedding": {"openai": {"baseUrl": "http://models:9000/v1"}}, "vector": chroma})
    assert egress_rules(of, "cluster.local") == []


def test_the_defaults_let_more_in_and_decide_where_the_spec_says_nothing() -> None:
    ingress, monitoring = {"namespace": "ingress"}, {"namespace": "mon", "ports": ["metrics"]}
    given = {"networkPolicy": {"enabled": True, "allowFrom": [ingress, monitoring]}}
    defaults = Defaults.model_validate(given)
    plain = fenced(bank(), defaults).spec.network_policy
    assert plain.enabled
    assert [each.namespace for each in plain.allow_from] == ["ingress", "mon"]
    own = {"networkPolicy": {"allowFrom": [{"podLabels": {"a": "b"}}, ingress]}}
    assert [
        each.namespace for each in fenced(bank(own), defaults).spec.network_policy.allow_from
    ] == [None, "ingress", "mon"]
    open_one = bank({"networkPolicy": {"enabled": False}})
    assert not fenced(open_one, defaults).spec.network_policy.enabled
    assert not fenced(bank(), Defaults()).spec.network_policy.enabled


def test_a_network_policy_restarts_no_pod() -> None:
    with_one, without = build(bank(IN)), build()
    assert with_one["Deployment"] == without["Deployment"]
