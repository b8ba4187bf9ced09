"""What `kubectl memorybank doctor` makes of what it read; the objects themselves are those of
tests/integration/whole_cluster/test_doctor.py.
"""

from __future__ import annotations

import copy
from datetime import timedelta
from typing import Any

import pytest

from memorybank_operator.api import crd
from memorybank_operator.kube import kinds
from memorybank_operator.plugin.doctor.command import examine, page
from memorybank_operator.plugin.doctor.snapshot import (
    DEFINITION,
    Reference,
    Snapshot,
    references,
)
from memorybank_operator.plugin.doctor.words import AT_WORK, FOUND_OTHERWISE
from memorybank_operator.reconcile.report import EXPECTED
from tests.operator.status.states import STATES, seen
from tests.operator.world import NOW, bank_body

LATER = NOW + timedelta(minutes=5)


def operator(watches: str = "") -> dict[str, Any]:
    env = [{"name": "MEMORYBANK_OPERATOR_NAMESPACES", "value": watches}]
    return {
        "metadata": {"name": "memorybank-operator", "namespace": "memorybank-system"},
        "spec": {"template": {"spec": {"containers": [{"name": "operator", "env": env}]}}},
        "status": {"availableReplicas": 2},
    }


def of(*banks: dict[str, Any], watches: str = "", **more: Any) -> Snapshot:
    """Banks that an operator looks after."""
    found = {DEFINITION: crd.build_all(), kinds.MEMORY_BANK: banks} | more.pop("found", {})
    return Snapshot(LATER, banks, found, [operator(watches)], **more)


def test_a_namespace_that_is_not_looked_at_is_named() -> None:
    new = bank_body(creationTimestamp=NOW.isoformat())
    [found] = examine(of(new, watches="elsewhere,there"))
    assert found.what == "The operator does not look at a bank"
    assert "elsewhere, there alone" in found.seen
    assert "watchNamespaces" in found.cure
    [found] = examine(of(new, watches="team"))
    assert "kubectl logs deploy/memorybank-operator" in found.cure


def test_a_bank_that_was_made_just_now_is_given_time() -> None:
    new = bank_body(creationTimestamp=LATER.isoformat())
    assert examine(of(new)) == []


@pytest.mark.parametrize(
    ("spec", "project"),
    [
        ({"monitoring": {"serviceMonitor": {}}}, "the Prometheus Operator"),
        ({"monitoring": {"prometheusRule": {}}}, "the Prometheus Operator"),
        ({"expose": {"gateway": {"hostnames": ["a.example"]}}}, "the Gateway API"),
        ({"storage": {"postgres": {"cluster": {}}}}, "CloudNativePG"),
    ],
)
def test_kinds_of_others_that_are_missing_are_named(spec: dict[str, Any], project: str) -> None:
    ready = seen(STATES["running"]) | {"spec": spec}
    [found] = examine(of(ready))
    assert f"what {project} brings" in found.what
    assert f"Install {project}, or remove spec." in found.cure


def changed(definition: dict[str, Any], *, removed: str = "", added: str = "") -> dict[str, Any]:
    """The definition of another version."""
    made = copy.deepcopy(definition)
    schema = made["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]
    if removed:
        del schema["properties"][removed]
    if added:
        schema["properties"][added] = {"type": "string"}
    return made


def test_definitions_of_another_version_are_named_with_what_differs() -> None:
    banks, *others = crd.build_all()
    older = of(found={DEFINITION: [changed(banks, removed="paused"), *others]})
    [found] = examine(older)
    assert (found.what, found.seen) == (
        "A kind is of an older version than this plugin",
        "it lacks spec.paused",
    )
    assert "kubectl apply --server-side -f crds/" in found.cure
    [found] = examine(of(found={DEFINITION: [changed(banks, added="more"), *others]}))
    assert (found.what, found.seen) == (
        "A kind is of a newer version than this plugin",
        "it has spec.more",
    )
    [found] = examine(of(found={DEFINITION: others}))
    assert found.seen == "it is not there"


def test_what_may_not_be_read_is_told_and_makes_no_fault() -> None:
    snapshot = Snapshot(LATER, [seen(STATES["running"])], hidden=["pods", "secrets"])
    assert examine(snapshot) == []
    assert "Not examined, for lack of rights: pods, secrets." in page(snapshot, [])


def test_who_may_read_banks_alone_is_told_what_the_operator_says() -> None:
    pulls = seen(STATES["image cannot be pulled"])
    assert examine(of(pulls)) == [], "the pod tells it better"
    [found] = examine(of(pulls, hidden=["pods"]))
    assert found.seen.startswith("ImagePullBackOff")


def test_every_secret_that_a_spec_names_is_looked_for() -> None:
    spec = {
        "auth": {"adminKeySecretRef": {"name": "mine", "key": "token"}},
        "backup": {"destination": {"s3": {"secretRef": {"name": "bucket"}}}},
        "env": [
            {"valueFrom": {"secretKeyRef": {"name": "proxy", "key": "url"}}},
            {"valueFrom": {"secretKeyRef": {"name": "may-lack", "key": "x", "optional": True}}},
        ],
    }
    assert set(references(spec)) == {
        Reference("spec.auth.adminKeySecretRef", "mine", "token"),
        Reference("spec.backup.destination.s3.secretRef", "bucket", ""),
        Reference("spec.env[0].valueFrom.secretKeyRef", "proxy", "url"),
    }


def test_what_passes_by_itself_is_what_the_operator_expects() -> None:
    assert EXPECTED - FOUND_OTHERWISE <= AT_WORK
    assert not AT_WORK & FOUND_OTHERWISE
