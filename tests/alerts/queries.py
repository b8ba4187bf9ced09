"""What expressions ask for, and what bank and operator export."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from prometheus_client.exposition import generate_latest

from memorybank_operator.engine.cache import BankKey
from memorybank_operator.engine.waves import Waves
from memorybank_operator.kube.watching import Stream
from memorybank_operator.metrics import Metrics

# What is no metric in the expressions of rules and dashboards.
WORDS = frozenset(
    {
        "absent", "and", "bottomk", "by", "clamp_min", "count", "deriv", "histogram_quantile",
        "increase", "max", "min", "or", "predict_linear", "rate", "resets", "sum", "time", "topk",
        "unless", "vector",
    }
)  # fmt: skip
OF_PROMETHEUS = frozenset({"up"})
"""What it notes of each scrape itself."""


def metrics_of(expression: str) -> Iterator[str]:
    """The metrics that an expression names: every word that is neither PromQL's nor a label."""
    bare = re.sub(r'"[^"]*"', "", expression)
    bare = re.sub(r"\{[^}]*\}|\[[^\]]*\]|\b(by|without|on)\s*\([^)]*\)", " ", bare)
    for word in re.findall(r"(?<![\w.])[A-Za-z_:][\w:]*", bare):
        if word not in WORDS:
            yield word


def sample_names(exposition: str) -> Iterator[str]:
    """The names that queries use, those of metrics without a series among them."""
    for name, kind in re.findall(r"^# TYPE (\S+) (\S+)$", exposition, re.MULTILINE):
        yield name
        if kind == "histogram":
            yield from (f"{name}_{end}" for end in ("bucket", "count", "sum"))


def operator_metrics() -> str:
    """What an operator with a bank shows."""
    metrics = Metrics()
    key = BankKey("team", "agents")
    metrics.bank_is(key, "True", backup="True")
    metrics.bank_measures(key, {"conditions": []})
    waves = Waves(0, wake=lambda _: None, underway=lambda: ())
    metrics.observe({}, _NoStreams(), waves, leads=lambda: True)
    return generate_latest(metrics.registry).decode()


class _NoStreams:
    def ages(self) -> Mapping[Stream, float]:
        return {}
