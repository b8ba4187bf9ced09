"""The metrics of both programs, read from their registries."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.metrics import MetricWrapperBase

from memorybank.telemetry import Telemetry
from memorybank_operator.engine.waves import Waves
from memorybank_operator.kube.watching import Stream
from memorybank_operator.metrics import Metrics
from scripts.reference.markdown import code, page, table


class _NoStreams:
    def ages(self) -> Mapping[Stream, float]:
        return {}


def metrics() -> str:
    """What /metrics shows."""
    operator = Metrics()
    waves = Waves(0, wake=lambda _: None, underway=lambda: ())
    operator.observe({}, _NoStreams(), waves, leads=lambda: True)
    service = Telemetry(version="", revision="")
    return page(
        "Metrics",
        "Prometheus text format. A histogram gives `_bucket`, `_sum` and `_count`. The usual "
        "`process_...` metrics come on top. No label ever holds a key, an id or a text.",
        "## Operator",
        "On the port of its health checks (`MEMORYBANK_OPERATOR_HTTP_PORT`), at `/metrics`.",
        shown(operator.registry),
        "## Service",
        "On a port of its own (`server.metrics_port`), at `/metrics`.",
        shown(service._registry),
    )


def shown(registry: CollectorRegistry) -> str:
    """A table of a registry's own metrics."""
    own = (row for row in rows(registry) if not row[0].startswith("`process_"))
    return table(("Metric", "Type", "Labels", "What"), sorted(own))


def rows(registry: CollectorRegistry) -> Iterator[tuple[str, str, str, str]]:
    """A row for each metric. Their label names are private in the library, and nowhere else."""
    for collector in list(registry._collector_to_names):
        if isinstance(collector, MetricWrapperBase):
            labels, text = collector._labelnames, collector._documentation
            yield row(collector._name, str(collector._type), labels, text)
        else:
            for family in collector.collect():
                labels = getattr(family, "_labelnames", ())
                yield row(family.name, family.type, labels, family.documentation)


def row(name: str, kind: str, labels: Iterable[str], text: str) -> tuple[str, str, str, str]:
    """One metric, under the name that a query uses."""
    suffix = {"counter": "_total", "info": "_info"}.get(kind, "")
    return (code(name + suffix), kind, ", ".join(map(code, labels)), text)
