"""The dashboards ask Prometheus for what there is, and look as Grafana needs them to."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from scripts.dashboards.__main__ import DASHBOARDS, FOLDER
from tests.alerts.promtool import promtool, written
from tests.alerts.queries import metrics_of, operator_metrics, sample_names
from tests.repo.checkout import ROOT
from tests.support.server_process import serving

Object = dict[str, Any]

OF_TARGETS = frozenset({"namespace", "bank", "pod", "instance", "le"})
"""Labels that come from what is scraped; the last one is a histogram's."""
OF_PROCESSES = frozenset({"process_resident_memory_bytes", "process_cpu_seconds_total"})
COLUMNS = 24

each_one = pytest.mark.parametrize("name", DASHBOARDS)


def read(name: str) -> Object:
    content: Object = json.loads((FOLDER / f"{name}.json").read_text())
    return content


def panels(name: str) -> list[Object]:
    return [each for each in read(name)["panels"] if each["type"] != "row"]


def expressions(name: str) -> Iterator[str]:
    """As Prometheus gets them."""
    for panel in panels(name):
        for target in panel["targets"]:
            yield target["expr"].replace("$__rate_interval", "5m")


@each_one
def test_prometheus_understands_every_query(name: str, tmp_path: Path) -> None:
    rules = [
        {"record": f"asked:{number}", "expr": each} for number, each in enumerate(expressions(name))
    ]
    found = promtool(
        "check", "rules", str(written(tmp_path, {"groups": [{"name": name, "rules": rules}]}))
    )
    assert f"{len(rules)} rules found" in found


def test_every_query_is_over_metrics_that_are_exported(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        exported = httpx.get(server.metrics_url).text + operator_metrics()
    names = set(sample_names(exported)) | OF_PROCESSES
    wanted = {
        each for name in DASHBOARDS for query in expressions(name) for each in metrics_of(query)
    }
    assert len(wanted) > 40
    assert wanted - names == set()


def test_every_label_is_one_that_its_metric_has() -> None:
    """By the reference, which is made from the code."""
    rows = re.findall(
        r"^\| `(\w+)` \| \w+ \| (.*?) \|", (ROOT / "docs/reference/metrics.md").read_text(), re.M
    )
    labels = {metric: set(re.findall(r"`(\w+)`", cell)) for metric, cell in rows}
    seen = 0
    for query in itertools.chain.from_iterable(map(expressions, DASHBOARDS)):
        of_all = OF_TARGETS.union(
            *(labels.get(re.sub("_bucket$", "", each), ()) for each in metrics_of(query))
        )
        for metric, selector in re.findall(r"(\w+)\{([^}]*)\}", query):
            known = labels[re.sub("_bucket$", "", metric)] | OF_TARGETS
            assert set(re.findall(r'(\w+)(?:=~|!~|!=|=)"', selector)) <= known, query
            seen += 1
        for group in re.findall(r"\bby \(([^)]*)\)", query):
            assert set(re.split(r",\s*", group)) <= of_all, query
    assert seen > 50


@each_one
def test_every_panel_says_what_it_shows_and_in_what_unit(name: str) -> None:
    for each in panels(name):
        assert each["title"], each
        assert each["description"].endswith("."), each["title"]
        assert each["fieldConfig"]["defaults"]["unit"], each["title"]
        assert each["targets"], each["title"]
        for target in each["targets"]:
            assert target["datasource"]["uid"] == "${datasource}"


@each_one
def test_no_panel_is_over_another_or_beyond_the_edge(name: str) -> None:
    taken: set[tuple[int, int]] = set()
    for each in read(name)["panels"]:
        place = each["gridPos"]
        assert place["x"] + place["w"] <= COLUMNS
        cells = {
            (place["x"] + x, place["y"] + y) for x in range(place["w"]) for y in range(place["h"])
        }
        assert not cells & taken, each["title"]
        taken |= cells


@each_one
def test_what_a_query_chooses_by_can_be_chosen(name: str) -> None:
    board = read(name)
    offered = {each["name"] for each in board["templating"]["list"]}
    used = set(re.findall(r"\$\{?([a-z]\w*)", json.dumps(board["panels"])))
    assert used <= offered
    assert "datasource" in offered
    assert board["uid"] == name
