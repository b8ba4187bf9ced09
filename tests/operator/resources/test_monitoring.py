"""Prometheus is told where the bank's metrics are, and what of them is bad."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import yaml

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.resources.alerts import bank_rules, operator_rules
from tests.operator.resources.test_objects import build
from tests.operator.world import BACKED_UP, SETTINGS, World, bank, running
from tests.repo.checkout import ROOT

BOTH: dict[str, Any] = {"monitoring": {"serviceMonitor": {}, "prometheusRule": {}}}
PAGE = ROOT / "docs/banks/monitoring.md"
KINDS = {"ServiceMonitor", "PrometheusRule"}


def test_a_bank_has_neither_unless_it_is_asked_for() -> None:
    assert not KINDS & build().keys()
    assert (
        "annotations" not in build()["Service"]["metadata"]
        or "prometheus.io/scrape" not in (build()["Service"]["metadata"]["annotations"])
    )


def test_the_page_shows_what_makes_both() -> None:
    (shown,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(), re.DOTALL)
    objects = build(bank(yaml.safe_load(shown)["spec"]))
    for kind in KINDS:
        assert objects[kind]["metadata"]["labels"]["release"] == "prometheus"


def test_the_page_lists_every_alert() -> None:
    told = re.findall(r"^\| \[(\w+)\]", PAGE.read_text(), re.MULTILINE)
    rules = (bank_rules("team", "agents"), operator_rules())
    assert told == [each["alert"] for all_ in rules for each in all_["groups"][0]["rules"]]


def test_every_port_with_metrics_is_read_under_the_bank_s_name() -> None:
    for spec, ports in ((BOTH, {"metrics"}), (BOTH | BACKED_UP, {"metrics", "backup-metrics"})):
        objects = build(bank(spec))
        endpoints = objects["ServiceMonitor"]["spec"]["endpoints"]
        assert {each["port"] for each in endpoints} == ports
        assert ports <= {each["name"] for each in objects["Service"]["spec"]["ports"]}
        for each in endpoints:
            assert each["relabelings"][0]["targetLabel"] == "bank"
            assert each["relabelings"][0]["replacement"] == "agents"


def test_the_alerts_are_those_of_this_bank() -> None:
    rule = build(bank({"monitoring": {"prometheusRule": {"runbookUrl": "http://wiki/"}}}))
    of = bank()
    wanted = bank_rules(of.namespace, of.name, runbooks="http://wiki")
    assert rule["PrometheusRule"]["spec"] == wanted
    assert "ServiceMonitor" not in rule


def test_labels_by_which_prometheus_selects_are_added_and_displace_none() -> None:
    spec = {
        "serviceMonitor": {"labels": {"release": "p"}},
        "prometheusRule": {"labels": {"a": "b"}},
    }
    objects = build(bank({"monitoring": spec}))
    common = build()["Service"]["metadata"]["labels"]
    assert objects["ServiceMonitor"]["metadata"]["labels"] == common | {"release": "p"}
    assert objects["PrometheusRule"]["metadata"]["labels"] == common | {"a": "b"}


def test_without_the_kinds_the_service_is_marked_and_the_cure_is_told() -> None:
    world, of = World(settings=replace(SETTINGS, installed=frozenset())), bank(BOTH)
    world.converge(of)
    world.run(of)
    kinds = {key.kind for key in world.children}
    assert "Deployment" in kinds
    assert not kinds & KINDS
    problems = world.plan(of).problems
    assert {each.reason for each in problems} == {Reason.PROMETHEUS_OPERATOR_NOT_INSTALLED}
    assert not any(each.terminal for each in problems)
    service = next(each for key, each in world.children.items() if key.kind == "Service")
    assert service["metadata"]["annotations"]["prometheus.io/port"] == "9090"
    world.settings = SETTINGS
    world.converge(of)
    assert {key.kind for key in world.children} >= KINDS
    assert world.plan(of).problems == ()


def test_neither_restarts_a_pod() -> None:
    before, after = build()["Deployment"], build(bank(BOTH))["Deployment"]
    assert before["spec"]["template"] == after["spec"]["template"]


def test_what_is_given_up_is_removed() -> None:
    world = running(bank(BOTH))
    assert {key.kind for key in world.children} >= KINDS
    world.converge(bank(generation=2))
    assert not {key.kind for key in world.children} & KINDS
