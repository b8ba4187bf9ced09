"""The real promtool, on files of its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from e2e.cluster.binaries import ensure

Series = Mapping[str, str]
"""Values, one for each minute, by series, in promtool's notation."""


@dataclass(frozen=True)
class Case:
    """When an alert fires, and when it does not."""

    fires: Series
    rests: Series
    """Nearly the same, and no reason to tell anybody."""
    minute: int
    """When both are looked at."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Of the alert that fires, besides its severity."""


def promtool(*arguments: str) -> str:
    """Run it; return what it prints. Raises AssertionError with that when it fails."""
    done = subprocess.run(  # noqa: S603  # our own program
        [str(ensure("promtool")), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def written(folder: Path, rules: Mapping[str, Any]) -> Path:
    """Write rules to a file; JSON is YAML as well."""
    file = folder / "rules.yaml"
    file.write_text(json.dumps(rules))
    return file


def tried(folder: Path, rules: Mapping[str, Any], cases: Mapping[str, Case]) -> None:
    """Have promtool play each case twice: with what makes the alert fire, and with what does not.
    Raises AssertionError with its words.
    """
    severities = {
        rule["alert"]: rule["labels"]["severity"]
        for group in rules["groups"]
        for rule in group["rules"]
    }
    tests = []
    for alert, case in cases.items():
        labels = {"alertname": alert, "alertstate": "firing", "severity": severities[alert]}
        tests.append(_test(alert, case, case.fires, [{**labels, **case.labels}]))
        tests.append(_test(alert, case, case.rests, []))
    play = {
        "rule_files": [str(written(folder, rules))],
        "evaluation_interval": "1m",
        "tests": tests,
    }
    file = folder / "play.yaml"
    file.write_text(json.dumps(play))
    promtool("test", "rules", str(file))


def _test(alert: str, case: Case, series: Series, fire: Collection[Mapping[str, str]]) -> Any:
    return {
        "name": f"{alert} {'fires' if fire else 'rests'}",
        "interval": "1m",
        "input_series": [{"series": name, "values": each} for name, each in series.items()],
        "promql_expr_test": [
            {
                "expr": f'ALERTS{{alertname="{alert}",alertstate="firing"}}',
                "eval_time": f"{case.minute}m",
                "exp_samples": [{"labels": _named("ALERTS", each), "value": 1} for each in fire],
            }
        ],
    }


def _named(name: str, labels: Mapping[str, str]) -> str:
    inside = ",".join(f'{key}="{value}"' for key, value in labels.items())
    return f"{name}{{{inside}}}"
