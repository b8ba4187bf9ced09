"""What the packet filter of a local cluster is told of network policies."""

from __future__ import annotations

from typing import Any

import pytest

from e2e.cluster.policies import EGRESS, ENTRY, INGRESS, chain_name, chains, script, selects

NAMESPACES = {"a": {"kubernetes.io/metadata.name": "a", "team": "x"}, "b": {"team": "y"}}


def pod(name: str, namespace: str, address: str, **labels: str) -> dict[str, Any]:
    return {
        "metadata": {"name": name, "namespace": namespace, "uid": name, "labels": labels},
        "spec": {"containers": [{"ports": [{"name": "http", "containerPort": 8080}]}]},
        "status": {"podIP": address, "phase": "Running"},
    }


PODS = [
    pod("server", "a", "10.0.0.1", app="server"),
    pod("near", "a", "10.0.0.2", app="agent"),
    pod("far", "b", "10.0.0.3", app="agent"),
]


def policy(**spec: Any) -> dict[str, Any]:
    selected = {"podSelector": {"matchLabels": {"app": "server"}}}
    return {"metadata": {"name": "p", "namespace": "a"}, "spec": selected | spec}


def inwards(*rules: dict[str, Any]) -> list[str]:
    """What may come in to the server."""
    made = chains(PODS, NAMESPACES, [policy(policyTypes=["Ingress"], ingress=list(rules))])
    return made[chain_name("server", INGRESS)]


def test_without_a_policy_everything_passes() -> None:
    [rule] = chains(PODS, NAMESPACES, [])[ENTRY]
    assert rule.endswith("-j RETURN")


def test_a_policy_is_about_the_pods_that_it_selects_in_the_direction_that_it_names() -> None:
    made = chains(PODS, NAMESPACES, [policy(policyTypes=["Ingress"])])
    name = chain_name("server", INGRESS)
    assert made.keys() == {ENTRY, name}
    assert made[ENTRY][1:] == [f"-d 10.0.0.1/32 -j {name}"]
    assert made[name] == ["-j DROP"]


@pytest.mark.parametrize(
    ("rule", "allowed"),
    [
        ({}, ["-j RETURN"]),
        ({"ports": [{"port": 80}]}, ["-p tcp --dport 80 -j RETURN"]),
        ({"ports": [{"port": "http"}]}, ["-p tcp --dport 8080 -j RETURN"]),
        ({"ports": [{"port": "none"}]}, []),
        ({"ports": [{"protocol": "UDP"}]}, ["-p udp -j RETURN"]),
        ({"ports": [{"port": 1, "endPort": 9}]}, ["-p tcp --dport 1:9 -j RETURN"]),
        (
            {"from": [{"podSelector": {"matchLabels": {"app": "agent"}}}]},
            ["-s 10.0.0.2/32 -j RETURN"],
        ),
        (
            {"from": [{"namespaceSelector": {"matchLabels": {"team": "y"}}}]},
            ["-s 10.0.0.3/32 -j RETURN"],
        ),
        (
            {"from": [{"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "agent"}}}]},
            ["-s 10.0.0.2/32 -j RETURN", "-s 10.0.0.3/32 -j RETURN"],
        ),
        (
            {"from": [{"ipBlock": {"cidr": "10.0.0.0/30", "except": ["10.0.0.2/31"]}}]},
            ["-s 10.0.0.0/31 -j RETURN"],
        ),
        ({"from": [{"ipBlock": {"cidr": "2001:db8::/32"}}]}, []),
        (
            {"from": [{"ipBlock": {"cidr": "192.0.2.0/24"}}], "ports": [{"port": 80}]},
            ["-s 192.0.2.0/24 -p tcp --dport 80 -j RETURN"],
        ),
    ],
)
def test_a_rule_lets_through_what_it_names(rule: dict[str, Any], allowed: list[str]) -> None:
    assert inwards(rule) == [*allowed, "-j DROP"]


def test_rules_and_policies_add_up() -> None:
    ones = [policy(policyTypes=["Ingress"], ingress=[{"ports": [{"port": p}]}]) for p in (1, 2)]
    made = chains(PODS, NAMESPACES, ones)[chain_name("server", INGRESS)]
    assert made == [*(f"-p tcp --dport {p} -j RETURN" for p in (1, 2)), "-j DROP"]


def test_on_the_way_out_a_port_by_name_is_the_other_pods() -> None:
    out = {"to": [{"podSelector": {"matchLabels": {"app": "agent"}}}], "ports": [{"port": "http"}]}
    made = chains(PODS, NAMESPACES, [policy(policyTypes=["Egress"], egress=[out])])
    assert made[chain_name("server", EGRESS)] == [
        "-d 10.0.0.2/32 -p tcp --dport 8080 -j RETURN",
        "-j DROP",
    ]
    assert made[ENTRY][1].startswith("-s 10.0.0.1/32 ")


@pytest.mark.parametrize("change", [{"podIP": ""}, {"phase": "Succeeded"}])
def test_who_has_no_address_is_left_out(change: dict[str, str]) -> None:
    gone = [{**PODS[0], "status": {**PODS[0]["status"], **change}}]
    assert chains(gone, NAMESPACES, [policy(policyTypes=["Ingress"])]).keys() == {ENTRY}


@pytest.mark.parametrize(
    ("expression", "labels", "holds"),
    [
        ({"operator": "In", "values": ["x"]}, {"k": "x"}, True),
        ({"operator": "In", "values": ["x"]}, {}, False),
        ({"operator": "NotIn", "values": ["x"]}, {"k": "x"}, False),
        ({"operator": "NotIn", "values": ["x"]}, {}, True),
        ({"operator": "Exists"}, {"k": ""}, True),
        ({"operator": "DoesNotExist"}, {"k": ""}, False),
    ],
)
def test_a_selector_knows_expressions(
    expression: dict[str, Any], labels: dict[str, str], holds: bool
) -> None:
    assert selects({"matchExpressions": [{"key": "k", **expression}]}, labels) is holds


def test_chains_of_pods_that_are_gone_are_removed_in_the_same_step() -> None:
    text = script({ENTRY: ["-j RETURN"], "MB-POD-I-1": ["-j DROP"]}, ["MB-POD-I-1", "MB-POD-I-2"])
    assert text.splitlines() == [
        "*filter", f":{ENTRY} - [0:0]", ":MB-POD-I-1 - [0:0]",
        f"-A {ENTRY} -j RETURN", "-A MB-POD-I-1 -j DROP",
        "-F MB-POD-I-2", "-X MB-POD-I-2", "COMMIT",
    ]  # fmt: skip
