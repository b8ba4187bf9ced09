"""The metrics, in a registry of their own.

Labels have few values: routes are templates, tenants are counted by name only up to a number, and
no key, id or text is ever one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    Info,
    ProcessCollector,
    disable_created_metrics,
    generate_latest,
)

from memorybank.consolidation_metrics import ConsolidationMetrics
from memorybank.errors import StoreUnavailable
from memorybank.guide_metrics import GuideMetrics
from memorybank.ports import GenerationState, MemoryStore, SearchIndex

# Seconds. From half a millisecond, where a search of a small bank is, to the patience of a client.
_BUCKETS = (0.0005, 0.001, 0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)

_MOST_TENANTS = 100
"""Tenants that have a series of their own; the others share one."""
_OTHERS = "(others)"
"""No tenant can have this name."""


_COUNTED = {
    "memory": (
        "memories_stored",
        "type",
        "New memories by type; those known already do not count.",
    ),
    "task": (
        "task_changes",
        "change",
        "Tasks added and moved, by what was done: added, start, block and so on.",
    ),
    "edit": ("edit_changes", "change", "Changes proposed, approved, rejected and rolled back."),
    "edge": (
        "edge_changes",
        "change",
        "Edges added and removed, and refused because they would close a cycle.",
    ),
}
"""What is counted of each kind of things: the counter's name, its label, what it says."""


class Telemetry:
    """What the service counts and measures about itself."""

    def __init__(self, *, version: str, revision: str) -> None:
        # One more series per series, of no use to anybody.
        disable_created_metrics()  # type: ignore[no-untyped-call]  # the package forgot the type
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        Info("memorybank_build", "What runs here.", registry=self._registry).info(
            {"version": version, "revision": revision}
        )
        self._requests = Counter(
            "memorybank_http_requests",
            "HTTP requests answered.",
            ("route", "method", "status"),
            registry=self._registry,
        )
        self._request_seconds = Histogram(
            "memorybank_http_request_duration_seconds",
            "Time from the head of an HTTP request to the end of its answer.",
            ("route", "method"),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._in_flight = Gauge(
            "memorybank_http_requests_in_flight",
            "HTTP requests being served now.",
            registry=self._registry,
        )
        self._step_seconds = Histogram(
            "memorybank_step_duration_seconds",
            "Time that one step of a request took, such as embedding a text; failed ones included.",
            ("step",),
            buckets=_BUCKETS,
            registry=self._registry,
        )
        self._step_failures = Counter(
            "memorybank_step_failures",
            "Steps that ended in an error.",
            ("step",),
            registry=self._registry,
        )
        self._steps_running = Gauge(
            "memorybank_steps_in_progress",
            "Steps of requests that are on or wait for their turn: the queue before each backend.",
            ("step",),
            registry=self._registry,
        )
        self._changes = {
            kind: Counter(f"memorybank_{name}", what, (label,), registry=self._registry)
            for kind, (name, label, what) in _COUNTED.items()
        }
        self._tool_calls = Counter(
            "memorybank_mcp_tool_calls",
            "MCP tool calls answered.",
            ("tool", "outcome"),
            registry=self._registry,
        )
        self._tenant_requests = Counter(
            "memorybank_tenant_requests",
            "Requests by tenant, for the first hundred tenants seen; (others) for all the rest.",
            ("tenant", "outcome"),
            registry=self._registry,
        )
        self._tenants: set[str] = set()
        self._texts = Counter(
            "memorybank_embedding_texts",
            "Texts whose vectors were asked for, by whether the cache knew them.",
            ("source",),
            registry=self._registry,
        )
        self._database_bytes = Gauge(
            "memorybank_database_bytes",
            "Size of the database and of its write-ahead log.",
            ("file",),
            registry=self._registry,
        )
        self._disk_free = Gauge(
            "memorybank_disk_free_bytes",
            "Free space on the disk of the database.",
            registry=self._registry,
        )
        self._disk_total = Gauge(
            "memorybank_disk_total_bytes",
            "Size of the disk of the database: what is used and what is free.",
            registry=self._registry,
        )
        self._connections = Gauge(
            "memorybank_database_connections",
            "Open connections to the database.",
            registry=self._registry,
        )
        self._readers = Gauge(
            "memorybank_database_readers",
            "Connections that searches and reads share.",
            registry=self._registry,
        )
        self._readers_busy = Gauge(
            "memorybank_database_readers_busy",
            "Those of them that are in use; when all are, the next request waits.",
            registry=self._registry,
        )
        self._writes_waiting = Gauge(
            "memorybank_database_writes_waiting",
            "Writes that wait for their turn: there is one writer.",
            registry=self._registry,
        )
        self._schema = Gauge(
            "memorybank_schema_version",
            "Number of the newest migration of the database.",
            registry=self._registry,
        )
        self._registry.register(
            GuideMetrics(
                requests=self._requests,
                request_seconds=self._request_seconds,
                in_flight=self._in_flight,
                step_seconds=self._step_seconds,
                connections=self._connections,
            )
        )
        self.consolidation = ConsolidationMetrics(self._registry)
        self._memories = Gauge("memorybank_memories", "Memories stored.", registry=self._registry)
        self._pending = Gauge(
            "memorybank_embedding_pending",
            "Memories that wait for a vector, and are found by their words until then.",
            registry=self._registry,
        )
        self._reembedding = Gauge(
            "memorybank_reembedding_pending",
            "Memories that lack a vector of the model that is to be used next; 0 where none is.",
            registry=self._registry,
        )
        self._lag = Gauge(
            "memorybank_index_lag_changes",
            "Changes that are stored and not yet searchable.",
            registry=self._registry,
        )
        self._behind = Gauge(
            "memorybank_index_lag_seconds",
            "What others stored longer ago than this is searchable; 0 where nobody else writes.",
            registry=self._registry,
        )
        self._leads = Gauge(
            "memorybank_leader",
            "1 where the background work of the database is done, 0 in the other processes.",
            registry=self._registry,
        )
        self._steps_waiting = Gauge(
            "memorybank_episode_steps_waiting",
            "Steps of episodes that are queued to be written.",
            registry=self._registry,
        )
        self._backup_synced = Gauge(
            "memorybank_backup_synced_timestamp_seconds",
            "When everything that was committed then is known to have arrived at the destination.",
            ("destination",),
            registry=self._registry,
        )
        self._backup_recoverable = Gauge(
            "memorybank_backup_recoverable_from_timestamp_seconds",
            "From when on every moment can be restored, to the time of the last sync.",
            ("destination",),
            registry=self._registry,
        )
        self._backup_healthy = Gauge(
            "memorybank_backup_healthy",
            "1 when what is written arrives at the destination of backups, 0 when it does not.",
            ("destination",),
            registry=self._registry,
        )
        self._backup_waiting = Gauge(
            "memorybank_backup_waiting_bytes",
            "What is on the volume that is not known to have arrived at the destination.",
            ("destination",),
            registry=self._registry,
        )
        self._copied = Gauge(
            "memorybank_backup_copied_timestamp_seconds",
            "What was at the destination of backups then is at this copy of it.",
            ("copy",),
            registry=self._registry,
        )
        self._copy_healthy = Gauge(
            "memorybank_backup_copy_healthy",
            "1 when what is at the destination of backups gets to this copy, 0 when it does not.",
            ("copy",),
            registry=self._registry,
        )
        self._copy_waiting = Gauge(
            "memorybank_backup_copy_waiting_bytes",
            "What is at the destination of backups and known to be missing at this copy.",
            ("copy",),
            registry=self._registry,
        )
        self._fenced = Gauge(
            "memorybank_backup_fenced",
            "1 where writes are refused since another bank was promoted in the place of this one.",
            registry=self._registry,
        )
        self._backup_restore = Gauge(
            "memorybank_backup_restore_seconds",
            "How long the restore at the start of the pod took; none when nothing was restored.",
            ("destination",),
            registry=self._registry,
        )

    def backup_looked(
        self,
        destination: str,
        *,
        synced_at: datetime | None,
        recoverable_from: datetime | None,
        healthy: bool,
        waiting_bytes: int,
    ) -> None:
        """Tell what a look at the backups found; `destination` is their kind."""
        self._backup_healthy.labels(destination).set(healthy)
        self._backup_waiting.labels(destination).set(waiting_bytes)
        if synced_at is not None:
            self._backup_synced.labels(destination).set(synced_at.timestamp())
        if recoverable_from is not None:
            self._backup_recoverable.labels(destination).set(recoverable_from.timestamp())

    def copied(
        self, name: str, *, at: datetime | None, healthy: bool, waiting_bytes: int | None
    ) -> None:
        """Tell how far a copy of the backups is."""
        self._copy_healthy.labels(name).set(healthy)
        if at is not None:
            self._copied.labels(name).set(at.timestamp())
        if waiting_bytes is not None:
            self._copy_waiting.labels(name).set(waiting_bytes)

    def fenced(self, is_fenced: bool) -> None:
        """Tell whether another bank was promoted in the place of this one."""
        self._fenced.set(is_fenced)

    def restored(self, destination: str, *, seconds: float) -> None:
        """Tell that the database was restored before the start."""
        self._backup_restore.labels(destination).set(seconds)

    def copies(self, lag: Callable[[], float | None]) -> None:
        """Ask at each exposition how far behind the followed bank's backups this is."""
        gauge = Gauge(
            "memorybank_follow_lag_seconds",
            "What had arrived at the destination of the followed bank so long ago is found here, at"
            " the latest; NaN before that is known.",
            registry=self._registry,
        )
        gauge.set_function(lambda: math.nan if (seconds := lag()) is None else seconds)

    def episodes(self, waiting: Callable[[], float]) -> None:
        """Ask at each exposition how many steps of episodes wait to be written."""
        self._steps_waiting.set_function(waiting)

    def follows(self, *, leads: Callable[[], bool], behind: Callable[[], float]) -> None:
        """Ask this at each exposition: whether this process leads, and how far it is behind."""
        self._leads.set_function(leads)
        self._behind.set_function(behind)

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Measure one step of a use case; see services.timing."""
        began = time.perf_counter()
        running = self._steps_running.labels(step)
        running.inc()
        try:
            yield
        except BaseException:
            self._step_failures.labels(step).inc()
            raise
        finally:
            running.dec()
            self._step_seconds.labels(step).observe(time.perf_counter() - began)

    def counted(self, kind: str, change: str) -> None:
        """Count something that was done with a thing of a kind; see services.timing."""
        self._changes[kind].labels(change).inc()

    def request_began(self) -> None:
        """Count a request as being served."""
        self._in_flight.inc()

    def request_ended(self, route: str, method: str, *, status: int, seconds: float) -> None:
        """Count a request as answered."""
        self._in_flight.dec()
        self._requests.labels(route, method, str(status)).inc()
        self._request_seconds.labels(route, method).observe(seconds)

    def tenant_asked(self, tenant: str, *, status: int) -> None:
        """Count a request of a tenant that its key named."""
        if len(self._tenants) < _MOST_TENANTS:
            self._tenants.add(tenant)
        shown = tenant if tenant in self._tenants else _OTHERS
        outcome = "ok" if status < 400 else "refused" if status < 500 else "failed"
        self._tenant_requests.labels(shown, outcome).inc()

    def embedded(self, hits: int, misses: int) -> None:
        """Count texts that the cache of vectors knew, and those that it did not."""
        self._texts.labels("cache").inc(hits)
        self._texts.labels("model").inc(misses)

    def tool_called(self, tool: str, outcome: str) -> None:
        """Count an MCP tool call; `outcome` is "ok" or the code of the error."""
        self._tool_calls.labels(tool, outcome).inc()

    async def exposition(self, store: MemoryStore, index: SearchIndex) -> bytes:
        """Return everything in Prometheus' text format, with the store's figures of now."""
        pool = store.care.pool()
        self._readers.set(pool.readers)
        self._readers_busy.set(pool.readers_busy)
        self._writes_waiting.set(pool.writes_waiting)
        try:
            stats = await store.stats()
            progress = await store.embeddings.progress()
            left = await _reembedding(store)
            status = await store.care.status()
        except StoreUnavailable:  # the other figures are needed most just then
            for gauge in (
                self._memories,
                self._lag,
                self._pending,
                self._reembedding,
                self._disk_free,
                self._disk_total,
                self._connections,
            ):
                gauge.set(math.nan)
        else:
            self._memories.set(stats.memories)
            self._pending.set(progress.memories - progress.embedded)
            self._reembedding.set(left)
            self._lag.set(max(0, stats.seq - index.seq))
            self._database_bytes.labels("database").set(status.database_bytes)
            self._database_bytes.labels("log").set(status.log_bytes)
            disk = status.disk
            self._disk_free.set(math.nan if disk is None else disk.free_bytes)
            self._disk_total.set(math.nan if disk is None else disk.total_bytes)
            self._connections.set(status.connections)
            self._schema.set(status.schema_version)
        return generate_latest(self._registry)


async def _reembedding(store: MemoryStore) -> int:
    """Count what a change of the embedding model waits for. Raises StoreUnavailable."""
    for each in await store.embeddings.generations():
        if each.state is GenerationState.BUILDING:
            progress = await store.embeddings.progress(model=each.model)
            return progress.memories - progress.embedded
    return 0
