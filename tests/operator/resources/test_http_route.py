"""How a bank is reached by a Gateway, and what of it follows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import yaml

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.reconcile.steps import Apply
from tests.operator.resources.test_objects import build, revision
from tests.operator.world import SETTINGS, World, bank, running

HOST = "memory.example.org"
NOWHERE = replace(SETTINGS, installed=frozenset())


def exposed(**gateway: Any) -> dict[str, Any]:
    given = {"parentRefs": [{"name": "public"}], "hostnames": [HOST]}
    return {"expose": {"gateway": given | gateway}}


def security_of(spec: dict[str, Any]) -> dict[str, Any]:
    text = build(bank(spec))["ConfigMap"]["data"]["config.yaml"]
    return dict(yaml.safe_load(text)["security"])


def refuse(world: World, kind: str, *, generation: int = 1) -> None:
    """Have the Gateway say that it does not take the route."""
    condition = {
        "type": kind, "status": "False", "reason": "Because", "message": "It is so.",
        "observedGeneration": generation,
    }  # fmt: skip
    route = next(each for key, each in world.children.items() if key.kind == "HTTPRoute")
    route["status"] = {"parents": [{"parentRef": {"name": "public"}, "conditions": [condition]}]}


def steps(world: World, of: MemoryBank) -> list[Apply]:
    return [each for each in world.plan(of).steps if isinstance(each, Apply)]


def reasons(status: dict[str, Any]) -> dict[str, str]:
    return {each["type"]: each["reason"] for each in status["conditions"]}


def test_a_bank_has_none_unless_it_is_asked_for() -> None:
    assert "HTTPRoute" not in build()


def test_a_gateway_is_named_as_far_as_the_spec_says_it() -> None:
    gateways: list[dict[str, Any]] = [
        {"name": "a"},
        {"name": "b", "namespace": "c", "sectionName": "d", "port": 443},
    ]
    group = {"group": "gateway.networking.k8s.io", "kind": "Gateway"}
    route = build(bank(exposed(parentRefs=gateways)))["HTTPRoute"]["spec"]
    assert route["parentRefs"] == [group | each for each in gateways]
    assert "timeouts" not in route["rules"][0]


def test_the_service_answers_to_each_host_once_without_a_new_pod() -> None:
    both = exposed(hostnames=[HOST, "other.example.org"])
    both["expose"]["ingress"] = {"host": HOST}
    assert security_of(both)["allowed_hosts"][-2:] == [HOST, "other.example.org"]
    assert revision(bank(both)) == revision()


def test_the_address_is_that_of_the_gateway_by_the_scheme_of_its_listener() -> None:
    assert bank(exposed()).spec.expose.url == f"https://{HOST}"
    both = exposed(scheme="http")
    both["expose"]["ingress"] = {"host": "old.example.org", "tls": {}}
    assert bank(both).spec.expose.url == f"http://{HOST}"


def test_without_the_kind_all_else_is_made_and_the_cure_is_told() -> None:
    world, of = World(settings=NOWHERE), bank(exposed())
    world.converge(of)
    world.run(of)
    assert {key.kind for key in world.children} >= {"Deployment", "Service"}
    assert "HTTPRoute" not in {key.kind for key in world.children}
    [problem] = world.plan(of).problems
    assert problem.reason is Reason.GATEWAY_API_NOT_INSTALLED
    assert not problem.terminal
    assert "use spec.expose.ingress" in problem.message
    world.settings = SETTINGS
    assert [step.body["kind"] for step in steps(world, of)] == ["HTTPRoute"]
    world.execute(world.plan(of))
    assert (world.plan(of).problems, world.plan(of).steps) == ((), ())


def test_what_is_given_up_is_removed() -> None:
    world = running(bank(exposed()))
    kinds = [key.kind for key in world.children]
    assert "HTTPRoute" in kinds
    world.converge(bank(generation=2))
    assert [each for each in kinds if each not in {key.kind for key in world.children}] == [
        "HTTPRoute"
    ]


def test_a_route_that_leads_nowhere_is_told_while_the_bank_is_ready() -> None:
    of = bank(exposed())
    for kind in ("Accepted", "ResolvedRefs"):
        world = running(of)
        refuse(world, kind)
        status = world.status(of)
        assert reasons(status) == {
            "Available": "PodAvailable", "Degraded": "RouteRefused", "Ready": "CanaryPassed",
        }  # fmt: skip
        [told] = [each["message"] for each in status["conditions"] if each["type"] == "Degraded"]
        assert told == (
            f"https://{HOST} does not lead here: Gateway public does not take the HTTPRoute agents "
            f"({kind}=False, Because): It is so."
        )


def test_what_a_gateway_said_of_another_route_says_nothing_of_this_one() -> None:
    world, of = running(bank(exposed())), bank(exposed())
    refuse(world, "Accepted", generation=0)
    assert "Degraded" not in reasons(world.status(of))
    refuse(world, "PartiallyInvalid")
    assert "Degraded" not in reasons(world.status(of))


def test_what_the_service_lacks_is_told_before_the_route() -> None:
    world, of = running(bank(exposed())), bank(exposed())
    refuse(world, "Accepted")
    world.canary = world.passed(of, degraded=(("embedder", "no route"),))
    assert reasons(world.status(of))["Degraded"] == "EmbeddingUnavailable"


def test_a_refusal_that_is_over_is_not_told_by_an_operator_that_has_not_asked_yet() -> None:
    world, of = running(bank(exposed())), bank(exposed())
    refuse(world, "Accepted")
    told = world.status(of)
    refuse(world, "Accepted", generation=0)
    world.canary = None
    assert "Degraded" not in reasons(world.status(bank(exposed(), status=told)))
