"""How a bank is reached by a load balancer, and what of it follows."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.resources import names
from memorybank_operator.resources.build import build_all
from memorybank_operator.resources.context import BuildContext
from tests.operator.world import KEY, SETTINGS, World, bank, running

WITHIN = "http://agents.team.svc:8080"


def balanced(**service: Any) -> dict[str, Any]:
    return {"expose": {"service": {"type": "LoadBalancer"} | service}}


def service_of(spec: dict[str, Any]) -> dict[str, Any] | None:
    of = bank(spec)
    context = BuildContext(of, SETTINGS, admin_key=KEY, volume_size="1Gi")
    name = names.external_service(of)
    found = (each for each in build_all(context) if each["metadata"]["name"] == name.name)
    return next(found, None)


def allowed_hosts(world: World, of: MemoryBank) -> list[str]:
    text = world.children[names.config_map(of)]["data"]["config.yaml"]
    return list(yaml.safe_load(text)["security"]["allowed_hosts"])


def test_a_bank_has_none_unless_a_load_balancer_is_asked_for() -> None:
    assert service_of({}) is None
    assert service_of({"expose": {"service": {}}}) is None
    assert service_of({"expose": {"service": {"type": "ClusterIP"}}}) is None


def test_it_leads_to_rest_and_mcp_and_to_nothing_else() -> None:
    made = service_of(balanced())
    assert made is not None
    assert made["spec"] == {
        "type": "LoadBalancer",
        "selector": {"app.kubernetes.io/name": "memorybank", "memorybank.dev/bank": "agents"},
        "ports": [{"name": "http", "port": 80, "protocol": "TCP", "targetPort": "http"}],
        "externalTrafficPolicy": "Cluster",
    }


def test_what_is_within_the_cluster_stays_as_it_is() -> None:
    plain, exposed = running(bank()), running(bank(balanced()))
    service = names.service(bank())
    assert plain.children[service]["spec"] == exposed.children[service]["spec"]
    assert plain.secret(bank())["data"] == exposed.secret(bank())["data"]


@pytest.mark.parametrize(
    ("said", "address", "url"),
    [
        ({}, {"ip": "203.0.113.7"}, "http://203.0.113.7"),
        ({}, {"hostname": "lb.example.org"}, "http://lb.example.org"),
        ({}, {"hostname": "lb.example.org", "ip": "203.0.113.7"}, "http://lb.example.org"),
        ({}, {"ip": "2001:db8::7"}, "http://[2001:db8::7]"),
        ({"port": 8080}, {"ip": "203.0.113.7"}, "http://203.0.113.7:8080"),
        ({"scheme": "https"}, {"hostname": "lb.example.org"}, "https://lb.example.org"),
        ({"scheme": "https", "port": 80}, {"ip": "203.0.113.7"}, "https://203.0.113.7:80"),
    ],
)
def test_the_address_is_what_the_load_balancer_was_given(
    said: dict[str, Any], address: dict[str, str], url: str
) -> None:
    of = bank(balanced(**said))
    world = running(of)
    world.give_address(of, address)
    status = world.status(of)
    assert status["url"] == status["endpoints"]["http"] == url
    assert status["endpoints"]["mcp"] == f"{url}/mcp"
    assert status["endpoints"]["metrics"] == "http://agents.team.svc:9090/metrics"


def test_https_is_at_its_own_port_unless_the_spec_says_otherwise() -> None:
    made = service_of(balanced(scheme="https"))
    assert made is not None
    assert [each["port"] for each in made["spec"]["ports"]] == [443]


def test_the_service_answers_to_every_address_without_a_new_pod() -> None:
    of, world = bank(balanced()), World()
    world.converge(of)
    before = world.plan(of).revision
    world.give_address(of, {"hostname": "lb.example.org"}, {"ip": "203.0.113.7"}, {})
    world.converge(of)
    assert allowed_hosts(world, of)[-2:] == ["lb.example.org", "203.0.113.7"]
    assert world.plan(of).revision == before
    world.children[names.external_service(of)]["status"] = {}
    world.converge(of)
    assert "lb.example.org" not in allowed_hosts(world, of)


def test_a_name_that_the_spec_gives_is_told_before_an_address() -> None:
    spec = balanced()
    spec["expose"]["ingress"] = {"host": "memory.example.org"}
    of = bank(spec)
    world = running(of)
    assert world.status(of)["url"] == "http://memory.example.org"
    assert allowed_hosts(world, of)[-2:] == ["memory.example.org", "203.0.113.7"]


def test_until_there_is_an_address_the_bank_says_what_it_waits_for() -> None:
    of = bank(balanced())
    world = running(of)
    world.children[names.external_service(of)]["status"] = {"loadBalancer": {}}
    world.converge(of)
    [problem] = world.plan(of).problems
    assert problem.reason is Reason.LOAD_BALANCER_PENDING
    assert not problem.terminal
    assert "Service agents-external has no address yet" in problem.message
    assert world.status(of)["url"] == WITHIN


def test_the_address_of_somebody_elses_service_is_not_taken() -> None:
    of, world = bank(balanced()), World()
    name = names.external_service(of)
    world.children[name] = {
        "kind": "Service",
        "metadata": {"name": name.name, "uid": "theirs"},
        "status": {"loadBalancer": {"ingress": [{"hostname": "evil.example"}]}},
    }
    world.converge(of)
    assert {each.reason for each in world.plan(of).problems} == {
        Reason.NAME_CONFLICT,
        Reason.LOAD_BALANCER_PENDING,
    }
    assert "evil.example" not in allowed_hosts(world, of)
    assert world.status(of)["url"] == WITHIN


def test_what_is_given_up_is_removed() -> None:
    world = running(bank(balanced()))
    of = bank({"expose": {"service": {"type": "ClusterIP"}}}, generation=2)
    world.converge(of)
    assert names.external_service(of) not in world.children
    assert "203.0.113.7" not in allowed_hosts(world, of)
    assert world.status(of)["url"] == WITHIN


def test_a_fence_lets_in_the_networks_that_the_load_balancer_is_for_and_nobody_without() -> None:
    def let_in(**service: Any) -> list[Any]:
        fence = {"networkPolicy": {"enabled": True, "allowFrom": [{"cidr": "10.0.0.0/8"}]}}
        of = bank(balanced(**service) | fence)
        context = BuildContext(of, SETTINGS, admin_key=KEY, volume_size="1Gi")
        policy = next(each for each in build_all(context) if each["kind"] == "NetworkPolicy")
        return list(policy["spec"]["ingress"])

    def rule(*networks: str) -> dict[str, Any]:
        peers = [{"ipBlock": {"cidr": each}} for each in networks]
        return {"from": peers, "ports": [{"port": 8080, "protocol": "TCP"}]}

    assert let_in() == [rule("10.0.0.0/8")]
    ranges = ["192.0.2.0/24", "10.0.0.0/8"]
    assert let_in(loadBalancerSourceRanges=ranges) == [rule("10.0.0.0/8", "192.0.2.0/24")]
