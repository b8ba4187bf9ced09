"""How a bank is exposed, and what of it follows."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from memorybank_operator.api.defaults import Defaults
from tests.operator.resources.test_objects import build, revision
from tests.operator.world import SETTINGS, World, bank

HOST = "memory.example.org"
JWT = {"issuer": "i", "audience": ["a"], "jwksUrl": "https://login.example.org/keys"}


def exposed(**ingress: Any) -> dict[str, Any]:
    return {"expose": {"ingress": {"host": HOST} | ingress}}


def ingress_of(spec: dict[str, Any], **context: Any) -> dict[str, Any]:
    return build(bank(spec), **context)["Ingress"]


def security_of(spec: dict[str, Any]) -> dict[str, Any]:
    text = build(bank(spec))["ConfigMap"]["data"]["config.yaml"]
    return dict(yaml.safe_load(text)["security"])


def test_a_bank_has_none_unless_it_is_asked_for() -> None:
    assert "Ingress" not in build()


@pytest.mark.parametrize(
    ("tls", "annotations", "secret"),
    [
        ({"secretName": "mine"}, {}, "mine"),
        ({"issuerRef": {"name": "ca"}}, {"cert-manager.io/issuer": "ca"}, "agents-tls"),
        (
            {"issuerRef": {"name": "ca", "kind": "ClusterIssuer"}, "secretName": "theirs"},
            {"cert-manager.io/cluster-issuer": "ca"},
            "theirs",
        ),
    ],
)
def test_a_certificate_is_named_or_asked_for(
    tls: dict[str, Any], annotations: dict[str, str], secret: str
) -> None:
    made = ingress_of(exposed(tls=tls))
    assert made["spec"]["tls"] == [{"hosts": [HOST], "secretName": secret}]
    assert annotations.items() <= made["metadata"]["annotations"].items()


def test_a_controller_may_have_a_certificate_for_all_hosts() -> None:
    assert ingress_of(exposed(tls={}))["spec"]["tls"] == [{"hosts": [HOST]}]
    world, of = World(), bank(exposed(tls={}))
    assert of.spec.expose.url == f"https://{HOST}"
    assert world.plan(of).problems == ()


def test_the_class_is_the_specs_then_that_of_the_defaults_then_the_clusters() -> None:
    given = Defaults.model_validate({"expose": {"ingress": {"className": "shared"}}})
    under = replace(SETTINGS, defaults=given)
    assert ingress_of(exposed(className="own"), settings=under)["spec"]["ingressClassName"] == "own"
    assert ingress_of(exposed(), settings=under)["spec"]["ingressClassName"] == "shared"
    assert "ingressClassName" not in ingress_of(exposed())["spec"]


def test_what_the_spec_says_of_annotations_wins() -> None:
    size = "nginx.ingress.kubernetes.io/proxy-body-size"
    implied = ingress_of(exposed() | {"limits": {"maxBodyBytes": 4096}})
    assert implied["metadata"]["annotations"][size] == "4096"
    own = ingress_of(exposed(annotations={size: "1m"}, timeoutSeconds=300))["metadata"]
    assert own["annotations"][size] == "1m"
    assert own["annotations"]["nginx.ingress.kubernetes.io/proxy-read-timeout"] == "300"


def test_the_service_answers_to_the_host_without_a_new_pod() -> None:
    assert security_of(exposed())["allowed_hosts"][-1] == HOST
    assert "public_url" not in security_of(exposed())
    assert revision(bank(exposed())) == revision()


def test_who_is_told_an_address_by_the_service_is_told_that_one() -> None:
    auth = {"auth": {"jwt": JWT}}
    assert security_of(exposed(tls={"secretName": "a"}) | auth)["public_url"] == f"https://{HOST}"
    own = {"security": {"publicUrl": "https://other.example.org"}}
    assert security_of(exposed() | auth | own)["public_url"] == "https://other.example.org"


def test_the_secret_keeps_the_address_within() -> None:
    assert build(bank(exposed()))["Secret"] == build()["Secret"]


def test_a_certificate_that_is_not_there_or_is_none_is_told() -> None:
    world, of = World(), bank(exposed(tls={"secretName": "mine"}))
    [missing] = world.plan(of).problems
    assert "Secret mine does not exist" in missing.message
    world.tls_secret = {"data": {"tls.crt": "eA=="}}
    [half] = world.plan(of).problems
    assert "has no entry tls.key" in half.message
    assert not half.terminal
    world.tls_secret["data"]["tls.key"] = "eA=="
    assert world.plan(of).problems == ()
