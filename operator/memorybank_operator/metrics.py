"""What this operator counts, in the names that docs/reference/metrics.md lists."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from typing_extensions import override

from memorybank_operator import __version__
from memorybank_operator.engine.cache import BankKey
from memorybank_operator.engine.queue import Depth
from memorybank_operator.kube.watching import Stream

UNTIL_READY = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1800)
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

MEASURED = {
    "backup_verified_timestamp_seconds": "When a backup of the bank was last restored and found "
    "whole.",
    "backup_restore_seconds": "How long it took then until the database was there and checked.",
    "backup_data_loss_seconds": "How much older the newest change in it was than that of the bank.",
    "backup_recoverable_from_timestamp_seconds": "From when on every moment of the bank can be "
    "restored.",
    "read_replicas_ready": "Read replicas of the bank that answer.",
    "read_replicas_lag_seconds": "How far behind what has arrived at the destination those that "
    "answer are, at the most, in steps.",
}
"""By the end of its name, what is measured of a bank."""


Condition = tuple[str, str, str]
"""Type, status and reason."""


class Queue(Protocol):
    """What is measured of a queue."""

    retries: int

    def depth(self) -> Depth:
        """Count what waits and runs."""


class Metrics:
    """All metrics of one operator, in a registry of their own."""

    def __init__(self) -> None:
        # They double every counter for nobody. (The library has no types for this one function.)
        disable_created_metrics()  # type: ignore[no-untyped-call]
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        self.reconciles = Counter(
            "memorybank_operator_reconciles",
            "Reconciles by result: done, or failed and tried again.",
            ["result"],
            registry=self.registry,
        )
        self.reconcile_seconds = Histogram(
            "memorybank_operator_reconcile_seconds",
            "Duration of a reconcile.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.writes = Counter(
            "memorybank_operator_api_writes",
            "Writes that the API server took.",
            ["verb", "kind"],
            registry=self.registry,
        )
        self.api_requests = Counter(
            "memorybank_operator_api_requests",
            "Requests to the API server but watches, by verb, kind and status code; the code is "
            "none where nothing answered.",
            ["verb", "kind", "code"],
            registry=self.registry,
        )
        self.api_request_seconds = Histogram(
            "memorybank_operator_api_request_seconds",
            "Duration of requests to the API server but watches, by verb.",
            ["verb"],
            buckets=SECONDS,
            registry=self.registry,
        )
        self.ready_seconds = Histogram(
            "memorybank_operator_time_to_ready_seconds",
            "How long banks were worked on until they were ready: new, changed or healed. What "
            "somebody asked for, such as a night without pods, does not count.",
            buckets=UNTIL_READY,
            registry=self.registry,
        )
        self.api_errors = Counter(
            "memorybank_operator_api_errors",
            "Requests to the API server that failed, by reason.",
            ["reason"],
            registry=self.registry,
        )
        self.canaries = Counter(
            "memorybank_operator_canaries",
            "Functional checks of banks through their Services, by result.",
            ["result"],
            registry=self.registry,
        )
        self.canary_seconds = Histogram(
            "memorybank_operator_canary_seconds",
            "Duration of a functional check that passed.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self.leader = Gauge(
            "memorybank_operator_leader",
            "1 while this operator writes, 0 while it waits to take over.",
            registry=self.registry,
        )
        self.defaults_refused = Gauge(
            "memorybank_operator_defaults_refused",
            "1 while the ConfigMap with the cluster-wide defaults is refused and what was in force "
            "before stays so, else 0.",
            registry=self.registry,
        )
        Gauge(
            "memorybank_operator_build_info",
            "Always 1; the label names the version.",
            ["version"],
            registry=self.registry,
        ).labels(__version__).set(1)
        self._ready: dict[BankKey, str] = {}
        self._backups: dict[BankKey, str] = {}
        self._copies: dict[BankKey, str] = {}
        self._standbys: dict[BankKey, str] = {}
        self._measured: dict[BankKey, dict[str, float]] = {}
        self._keys: dict[BankKey, Mapping[str, datetime]] = {}
        self._conditions: dict[BankKey, tuple[Condition, ...]] = {}

    def write(self, verb: str, kind: str) -> None:
        """Count a write that the API server took."""
        self.writes.labels(verb, kind).inc()

    def answer(self, verb: str, kind: str, code: str, seconds: float) -> None:
        """Count a request to the API server."""
        self.api_requests.labels(verb, kind, code).inc()
        self.api_request_seconds.labels(verb).observe(seconds)

    def bank_is(
        self,
        bank: BankKey,
        ready: str,
        *,
        backup: str | None,
        copies: str | None = None,
        following: str | None = None,
    ) -> None:
        """Note the status of a bank's conditions Ready, BackupHealthy, CopiesHealthy and Following:
        True, False or Unknown; None where it has one of the latter not.
        """
        self._ready[bank] = ready
        for statuses, status in (
            (self._backups, backup),
            (self._copies, copies),
            (self._standbys, following),
        ):
            if status is None:
                statuses.pop(bank, None)
            else:
                statuses[bank] = status

    def bank_measures(self, bank: BankKey, status: Mapping[str, Any]) -> None:
        """Note what the status says of a bank: its conditions, its backups that were restored, or
        can be, and its read replicas.
        """
        self._conditions[bank] = tuple(
            (str(each["type"]), str(each["status"]), str(each["reason"]))
            for each in status.get("conditions") or ()
        )
        backup, readers = status.get("backup") or {}, status.get("readReplicas") or {}
        verified, since = (
            None if said is None else datetime.fromisoformat(said).timestamp()
            for said in (backup.get("lastVerified"), backup.get("recoverableFrom"))
        )  # fmt: skip
        measured = {
            "backup_verified_timestamp_seconds": verified,
            "backup_restore_seconds": backup.get("measuredRestoreSeconds"),
            "backup_data_loss_seconds": backup.get("measuredDataLossSeconds"),
            "backup_recoverable_from_timestamp_seconds": since,
            "read_replicas_ready": readers.get("readyReplicas"),
            "read_replicas_lag_seconds": readers.get("lagSeconds"),
        }
        known = {name: float(value) for name, value in measured.items() if value is not None}
        if known:
            self._measured[bank] = known
        else:
            self._measured.pop(bank, None)

    def keys_end(self, bank: BankKey, ends: Mapping[str, datetime]) -> None:
        """Note when those of a bank's MemoryBankKeys end that do, by their names."""
        if ends:
            self._keys[bank] = ends
        else:
            self._keys.pop(bank, None)

    def bank_is_gone(self, bank: BankKey) -> None:
        """A bank exists no more."""
        self._ready.pop(bank, None)
        self._backups.pop(bank, None)
        self._copies.pop(bank, None)
        self._standbys.pop(bank, None)
        self._measured.pop(bank, None)
        self._conditions.pop(bank, None)

    def observe(
        self,
        queues: Mapping[str, Queue],
        ages: StreamAges,
        updates: Updates,
        *,
        leads: Callable[[], bool],
    ) -> None:
        """Measure queues, watch streams and updates whenever somebody asks for the metrics."""
        self.registry.register(
            _Observation(
                queues,
                ages,
                updates,
                leads=leads,
                ready=self._ready,
                backups=self._backups,
                copies=self._copies,
                standbys=self._standbys,
                measured=self._measured,
                conditions=self._conditions,
                keys=self._keys,
            )
        )


class Updates(Protocol):
    """Knows how the operator's own update of banks goes."""

    def counts(self) -> Mapping[str, int]:
        """Count the banks by how they stand: waiting, rolling, failed."""


class StreamAges(Protocol):
    """Knows since when each watch stream is silent."""

    def ages(self) -> Mapping[Stream, float]:
        """Return the seconds since the API server last answered on each stream."""


class _Observation(Collector):
    def __init__(
        self,
        queues: Mapping[str, Queue],
        ages: StreamAges,
        updates: Updates,
        *,
        leads: Callable[[], bool],
        ready: Mapping[BankKey, str],
        backups: Mapping[BankKey, str],
        copies: Mapping[BankKey, str],
        standbys: Mapping[BankKey, str],
        measured: Mapping[BankKey, Mapping[str, float]],
        conditions: Mapping[BankKey, Iterable[Condition]],
        keys: Mapping[BankKey, Mapping[str, datetime]],
    ) -> None:
        self._queues = queues
        self._ages = ages
        self._updates = updates
        self._leads = leads
        self._ready = ready
        self._backups = backups
        self._copies = copies
        self._standbys = standbys
        self._measured = measured
        self._conditions = conditions
        self._keys = keys

    @override
    def collect(self) -> Iterable[Metric]:
        yield from self._queue_metrics()
        watch = GaugeMetricFamily(
            "memorybank_operator_watch_age_seconds",
            "Time since the API server last answered on a watch.",
            labels=["stream"],
        )
        for stream, age in self._ages.ages().items():
            watch.add_metric([str(stream)], age)
        yield watch
        yield _by_status(
            "memorybank_operator_banks", "Banks by their Ready condition.", "ready", self._ready
        )
        yield _by_status(
            "memorybank_operator_backups",
            "Banks with backups, by their BackupHealthy condition.",
            "healthy",
            self._backups,
        )
        yield _by_status(
            "memorybank_operator_backup_copies",
            "Banks with copies of their backups, by their CopiesHealthy condition.",
            "healthy",
            self._copies,
        )
        yield _by_status(
            "memorybank_operator_standbys",
            "Banks that follow another one, by their Following condition.",
            "following",
            self._standbys,
        )
        yield from self._bank_metrics()
        updates = GaugeMetricFamily(
            "memorybank_operator_updates",
            "Banks that the operator updates of its own accord, by how they stand: waiting for "
            "their turn, rolling, or failed, which stops the others.",
            labels=["stand"],
        )
        for stand, count in self._updates.counts().items():
            updates.add_metric([stand], count)
        yield updates

    def _bank_metrics(self) -> Iterable[Metric]:
        for name, text in MEASURED.items():
            family = GaugeMetricFamily(
                f"memorybank_operator_{name}", text, labels=["namespace", "bank"]
            )
            for bank, values in self._measured.items():
                if name in values:
                    family.add_metric([*bank], values[name])
            yield family
        conditions = GaugeMetricFamily(
            "memorybank_operator_bank_condition",
            "1 for each condition of a bank as it stands; the others of its statuses have no "
            "series.",
            labels=["namespace", "bank", "condition", "status", "reason"],
        )
        for bank, stand in self._conditions.items():
            for each in stand:
                conditions.add_metric([*bank, *each], 1)
        yield conditions
        keys = GaugeMetricFamily(
            "memorybank_operator_key_expires_timestamp_seconds",
            "When a key of the bank ends, of each MemoryBankKey that does.",
            labels=["namespace", "bank", "key"],
        )
        for bank, ends in self._keys.items():
            for name, end in ends.items():
                keys.add_metric([*bank, name], end.timestamp())
        yield keys

    def _queue_metrics(self) -> Iterable[Metric]:
        depth = GaugeMetricFamily(
            "memorybank_operator_queue_depth",
            "Banks whose turn has come, by queue and priority; 0 where another replica leads.",
            labels=["queue", "priority"],
        )
        running = GaugeMetricFamily(
            "memorybank_operator_queue_running", "Banks being worked on.", labels=["queue"]
        )
        oldest = GaugeMetricFamily(
            "memorybank_operator_queue_oldest_seconds",
            "How long the first in the queue has been waiting; 0 where another replica leads.",
            labels=["queue"],
        )
        retries = CounterMetricFamily(
            "memorybank_operator_queue_retries",
            "Failures that were put back into the queue.",
            labels=["queue"],
        )
        # Whoever may have to take over keeps in its queues what the leader works on meanwhile.
        leads = self._leads()
        for name, queue in self._queues.items():
            now = queue.depth()
            for priority, count in now.waiting.items():
                depth.add_metric([name, priority.name.lower()], count if leads else 0)
            running.add_metric([name], now.running)
            oldest.add_metric([name], now.oldest_waiting if leads else 0)
            retries.add_metric([name], queue.retries)
        yield from (depth, running, oldest, retries)


def _by_status(name: str, text: str, label: str, banks: Mapping[BankKey, str]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    tally = Tally(banks.values())
    for status in ("True", "False", "Unknown"):
        family.add_metric([status], tally[status])
    return family
