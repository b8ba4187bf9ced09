"""Each alert fires when it should and not else, by the real promtool, over metrics that exist."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest

from memorybank_operator.resources.alerts import bank_rules, operator_rules
from tests.alerts.cases import OF_A_BANK, OF_THE_OPERATOR, POD, of
from tests.alerts.promtool import Case, promtool, tried, written
from tests.alerts.queries import OF_PROMETHEUS, metrics_of, operator_metrics, sample_names
from tests.repo.checkout import ROOT
from tests.support.server_process import serving

RULES = {
    "of a bank": (bank_rules("team", "agents"), OF_A_BANK),
    "of the operator": (operator_rules(), OF_THE_OPERATOR),
}
both = pytest.mark.parametrize(("rules", "cases"), RULES.values(), ids=RULES.keys())
PAGES = ROOT / "docs/runbooks/alerts"
SECTIONS = ("## Meaning", "## Impact", "## Diagnosis", "## Cure")


def alerts(rules: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [rule for group in rules["groups"] for rule in group["rules"]]


ALL = [rule for rules, _ in RULES.values() for rule in alerts(rules)]


@both
def test_prometheus_takes_the_rules(
    tmp_path: Path, rules: dict[str, Any], cases: dict[str, Case]
) -> None:
    found = promtool("check", "rules", "--lint-fatal", str(written(tmp_path, rules)))
    assert f"SUCCESS: {len(cases)} rules found" in found


@both
def test_each_alert_fires_when_it_should_and_not_else(
    tmp_path: Path, rules: dict[str, Any], cases: dict[str, Case]
) -> None:
    assert {each["alert"] for each in alerts(rules)} == set(cases)
    tried(tmp_path, rules, cases)


def test_a_case_that_does_not_hold_is_noticed(tmp_path: Path) -> None:
    case = OF_A_BANK["MemoryBankDown"]
    upside_down = Case(case.rests, case.fires, case.minute, case.labels)
    with pytest.raises(AssertionError, match="MemoryBankDown"):
        tried(tmp_path, bank_rules("team", "agents"), {"MemoryBankDown": upside_down})


def test_rules_of_one_bank_say_nothing_of_another(tmp_path: Path) -> None:
    rules, case = bank_rules("team", "other"), OF_A_BANK["MemoryBankDown"]
    other = Case(
        fires={of("up", bank="other"): "1x3 0x5"},
        rests=case.fires,
        minute=case.minute,
        labels=POD | {"bank": "other"},
    )
    tried(tmp_path, rules, {"MemoryBankDown": other})
    assert all('namespace="team",bank="other"' in each["expr"] for each in alerts(rules))


def test_no_rule_is_over_a_metric_that_nobody_exports(tmp_path: Path) -> None:
    with serving(tmp_path / "data") as server:
        exported = httpx.get(server.metrics_url).text + operator_metrics()
    names = set(sample_names(exported))
    wanted = {(each["alert"], name) for each in ALL for name in metrics_of(each["expr"])}
    assert len({name for _, name in wanted}) > 20
    assert {(alert, name) for alert, name in wanted if name not in names | OF_PROMETHEUS} == set()


def test_a_metric_that_nobody_exports_would_be_found() -> None:
    found = set(metrics_of('sum by (a) (rate(memorybank_lost_total{b="c > d"}[5m])) > 0.05'))
    assert found == {"memorybank_lost_total"}


def test_every_alert_leads_to_a_page_of_its_own() -> None:
    assert {each.stem for each in PAGES.glob("*.md")} == {each["alert"] for each in ALL}
    for each in ALL:
        assert each["annotations"]["runbook_url"].endswith(f"/{each['alert']}")
        page = (PAGES / f"{each['alert']}.md").read_text()
        assert page.startswith(f"# {each['alert']}\n")
        assert [line for line in page.splitlines() if line.startswith("## ")] == list(SECTIONS)
        assert "```sh\n" in page, "says what to type"


def test_pages_are_wherever_somebody_keeps_them() -> None:
    for each in alerts(bank_rules("team", "agents", runbooks="http://wiki/pages/")):
        assert each["annotations"]["runbook_url"] == f"http://wiki/pages/{each['alert']}"
