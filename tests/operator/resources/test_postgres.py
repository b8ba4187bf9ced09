"""The objects of a bank that keeps its memories in PostgreSQL."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_operator.api.defaults import Defaults
from memorybank_operator.resources.database import read_address
from memorybank_operator.resources.effective import effective
from tests.operator.resources.test_network_policy import at, by_port, within
from tests.operator.resources.test_objects import build, pod_of, revision
from tests.operator.world import DATABASE_URL, IN_POSTGRES, bank

NODES = [
    {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {
            "matchLabels": {
                "app.kubernetes.io/name": "memorybank",
                "memorybank.dev/bank": "agents",
            }
        },
        "matchLabelKeys": ["pod-template-hash"],
    }
]


def made(spec: dict[str, Any] | None = None, *, url: str = DATABASE_URL) -> dict[str, Any]:
    of = bank(IN_POSTGRES | (spec or {}))
    return build(of, volume_size=None, database=read_address(url))


def test_there_is_no_volume() -> None:
    objects = made()
    assert "PersistentVolumeClaim" not in objects
    pod = pod_of(objects)
    assert not any("persistentVolumeClaim" in each for each in pod["volumes"])
    [container] = pod["containers"]
    assert "/data" not in {*container["args"], *(e["mountPath"] for e in container["volumeMounts"])}


def test_an_old_pod_goes_when_a_new_one_serves() -> None:
    assert made()["Deployment"]["spec"]["strategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1},
    }
    assert build()["Deployment"]["spec"]["strategy"] == {"type": "Recreate"}


@pytest.mark.parametrize(
    ("spec", "budget"),
    [
        ({}, None),
        ({"replicas": 3}, {"maxUnavailable": 1}),
        ({"replicas": 3, "podDisruptionBudget": {"minAvailable": 1}}, {"minAvailable": 1}),
    ],
)
def test_of_several_pods_a_drain_takes_one_at_a_time(
    spec: dict[str, Any], budget: dict[str, Any] | None
) -> None:
    found = made(spec).get("PodDisruptionBudget")
    assert (found is None) == (budget is None)
    assert found is None or budget is None or budget.items() <= found["spec"].items()


def test_pods_spread_over_nodes_and_another_number_of_them_restarts_none() -> None:
    assert pod_of(made())["topologySpreadConstraints"] == NODES
    assert "topologySpreadConstraints" not in pod_of(build())
    revisions = {
        revision(bank(IN_POSTGRES | {"replicas": count}), volume_size=None) for count in (1, 2, 7)
    }
    assert len(revisions) == 1


def test_who_says_how_they_spread_is_heard_the_defaults_too() -> None:
    zones = [{"topologyKey": "topology.kubernetes.io/zone"}]
    by_spec = made({"topologySpreadConstraints": zones})
    defaults = Defaults.model_validate({"topologySpreadConstraints": zones})
    by_defaults = build(effective(bank(IN_POSTGRES), defaults), volume_size=None)
    for objects in (by_spec, by_defaults):
        [spread] = pod_of(objects)["topologySpreadConstraints"]
        assert spread["topologyKey"] == "topology.kubernetes.io/zone"
    assert "topologySpreadConstraints" not in pod_of(made({"topologySpreadConstraints": []}))


def test_another_database_makes_another_pod_and_another_password_does_not() -> None:
    of = bank(IN_POSTGRES)
    revisions = [
        revision(of, volume_size=None, database=read_address(url))
        for url in (DATABASE_URL, DATABASE_URL.replace("p-not", "q-not"), f"{DATABASE_URL}2")
    ]
    assert revisions[0] == revisions[1] != revisions[2]


def test_nothing_says_who_uses_the_database() -> None:
    for kind, body in made({"networkPolicy": {"enabled": True}}).items():
        assert "p-not-a-secret" not in str(body), kind


@pytest.mark.parametrize(
    ("servers", "rules"),
    [
        ("db.data.svc:5432", [within("data")]),
        ("pooler", [within("team")]),
        ("db.example.org:6432", [by_port(6432)]),
        ("10.0.0.7", [at("10.0.0.7/32", 5432)]),
        ("10.0.0.7,10.0.0.8:5433", [at("10.0.0.7/32", 5432), at("10.0.0.8/32", 5433)]),
    ],
)
def test_a_fence_lets_the_pods_reach_the_database(
    servers: str, rules: list[dict[str, Any]]
) -> None:
    spec = {"networkPolicy": {"enabled": True}}
    policy = made(spec, url=f"postgresql://u:p@{servers}/m")["NetworkPolicy"]
    assert policy["spec"]["egress"][1:] == rules


def test_a_fence_is_left_as_it_is_while_nobody_knows_the_database() -> None:
    assert "NetworkPolicy" not in made({"networkPolicy": {"enabled": True}}, url="")
