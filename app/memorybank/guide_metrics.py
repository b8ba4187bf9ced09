"""The metrics that common deployment guides name, so that their dashboards and alerts work.

Each is one of telemetry.py's own figures under another name, or read from the system when asked.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prometheus_client import Counter, Gauge, Histogram
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from memorybank.allocation import resident_bytes

_PREFIX = "memory_bank_"
_STORE = "store_"
_EMBED = "embed"


class GuideMetrics(Collector):
    """Shows own metrics under the guides' names."""

    def __init__(
        self,
        *,
        requests: Counter,
        request_seconds: Histogram,
        in_flight: Gauge,
        step_seconds: Histogram,
        connections: Gauge,
    ) -> None:
        self._requests = requests
        self._request_seconds = request_seconds
        self._in_flight = in_flight
        self._step_seconds = step_seconds
        self._connections = connections

    @override
    def collect(self) -> Iterator[Metric]:
        yield _renamed(self._requests, "requests", "HTTP requests answered.")
        yield _renamed(
            self._request_seconds, "request_duration_seconds", "Time that HTTP requests took."
        )
        yield self._embedding_seconds()
        yield _counter(
            "embeddings_generated",
            "Times that texts were turned into vectors.",
            self._steps(lambda step: step == _EMBED),
        )
        yield _counter(
            "database_operations",
            "Reads and writes of the store.",
            self._steps(lambda step: step.startswith(_STORE)),
        )
        yield _renamed(
            self._connections, "database_connections_active", "Connections to the database."
        )
        yield _counter("cpu_usage_seconds", "CPU time of the process.", time.process_time())
        resident = resident_bytes()
        yield _gauge("memory_usage_bytes", "Resident memory of the process.", resident)
        yield _gauge("memory_total_bytes", "Memory that the process may use.", _allowed())
        yield from self._unprefixed(resident)

    def _unprefixed(self, resident: float) -> Iterator[Metric]:
        """Return those that one guide names without saying whose they are."""
        yield _renamed(self._requests, "http_requests", "HTTP requests answered.", prefix="")
        yield _renamed(
            self._request_seconds,
            "http_request_duration_seconds",
            "Time that HTTP requests took.",
            prefix="",
        )
        yield _renamed(
            self._in_flight, "active_connections", "HTTP requests being served now.", prefix=""
        )
        yield GaugeMetricFamily(
            "memory_usage_bytes", "Resident memory of the process.", value=resident
        )
        yield GaugeMetricFamily(
            "cpu_usage_seconds", "CPU time of the process.", value=time.process_time()
        )

    def _embedding_seconds(self) -> Metric:
        """Return the times of the one step, without its label."""
        metric = Metric(f"{_PREFIX}embedding_duration_seconds", "Time to embed.", "histogram")
        for family in self._step_seconds.collect():
            for sample in family.samples:
                labels = dict(sample.labels)
                if labels.pop("step") == _EMBED:
                    name = sample.name.replace(family.name, metric.name, 1)
                    metric.add_sample(name, labels, sample.value)
        return metric

    def _steps(self, wanted: Callable[[str], bool]) -> float:
        return sum(
            sample.value
            for family in self._step_seconds.collect()
            for sample in family.samples
            if sample.name.endswith("_count") and wanted(sample.labels["step"])
        )


def _renamed(
    own: Counter | Gauge | Histogram, name: str, about: str, *, prefix: str = _PREFIX
) -> Metric:
    [family] = own.collect()
    metric = Metric(f"{prefix}{name}", about, family.type)
    for sample in family.samples:
        shown = sample.name.replace(family.name, metric.name, 1)
        metric.add_sample(shown, sample.labels, sample.value)
    return metric


def _counter(name: str, about: str, value: float) -> Metric:
    return CounterMetricFamily(f"{_PREFIX}{name}", about, value=value)


def _gauge(name: str, about: str, value: float) -> Metric:
    return GaugeMetricFamily(f"{_PREFIX}{name}", about, value=value)


def _allowed() -> float:
    """Return the limit of the container, or else the memory of the machine, bytes."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
    except OSError:
        return machine
    return min(machine, int(limit)) if limit.isdecimal() else machine
