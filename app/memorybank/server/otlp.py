"""Sending traces to a collector by OTLP over HTTP, when one is configured.

OpenTelemetry's packages are imported only then: they take 7 MiB and a tenth of a second. Nothing is
registered globally, so no library begins to send what it thinks worth sending: a span holds a
route, a status, a tenant, ids and times, never contents, questions or keys.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

from memorybank import tracing
from memorybank.errors import ConfigurationError
from memorybank.tracing import Span, Timed, TraceContext, Tracer, Unrecorded

if TYPE_CHECKING:
    from opentelemetry import trace
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_PROTOCOL = "http/protobuf"
_PATH = "/v1/traces"
_SERVICE = "memorybank"
_UNNAMED = "request"
_LAST_WORDS_SECONDS = 3.0
"""How long a stop waits for the collector to take what is left."""


@contextmanager
def open_tracer(
    *, endpoint: str | None, sample_ratio: float | None, environment: str, version: str
) -> Iterator[Tracer]:
    """Return what records requests; on the way out what is left is sent, for a few seconds.

    `endpoint` is the collector's address without path; None: the one of OpenTelemetry's environment
    variables, and without those nothing is recorded. Headers, certificates, sampling and the sizes
    of batches come from those variables. Raises ConfigurationError.
    """
    if not _wanted(endpoint):
        yield Unrecorded()
        return
    provider = _provider(endpoint, sample_ratio, environment, version)
    try:
        yield _Exported(provider.get_tracer(_SERVICE, version))
    finally:
        # A thread that may be left behind: a collector that hangs must not hold up a stop.
        last_words = threading.Thread(target=provider.shutdown, name="last spans", daemon=True)
        last_words.start()
        last_words.join(_LAST_WORDS_SECONDS)


def _wanted(endpoint: str | None) -> bool:
    """Say whether the settings or the environment name a collector, and nobody forbids it."""
    if endpoint is None and not any(os.environ.get(name) for name in _ENDPOINTS):
        return False
    if _said("OTEL_SDK_DISABLED") == "true" or _said("OTEL_TRACES_EXPORTER") == "none":
        return False
    name = next((name for name in _PROTOCOLS if _said(name)), None)
    if name is not None and _said(name) != _PROTOCOL:
        raise ConfigurationError(
            f"{name} is {_said(name)}, and traces are sent by {_PROTOCOL} only",
            field=name,
            hint=f"set it to {_PROTOCOL} and name the collector's port for that, mostly 4318; or "
            "set OTEL_SDK_DISABLED=true to send nothing",
        )
    return True


def _said(name: str) -> str:
    return os.environ.get(name, "").strip().lower()


def _provider(
    endpoint: str | None, sample_ratio: float | None, environment: str, version: str
) -> TracerProvider:
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.sampling import ParentBasedTraceIdRatio

    about = {
        "service.name": _SERVICE,
        "service.version": version,
        "deployment.environment.name": environment,
    }
    provider = TracerProvider(
        sampler=None if sample_ratio is None else ParentBasedTraceIdRatio(sample_ratio),
        resource=Resource.create({**about, **OTELResourceDetector().detect().attributes}),
        shutdown_on_exit=False,
    )
    address = None if endpoint is None else f"{endpoint.rstrip('/')}{_PATH}"
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter(endpoint=address)))
    return provider


class _Exported:
    """Records requests, tool calls and their steps."""

    def __init__(self, tracer: trace.Tracer) -> None:
        self._tracer = tracer

    def begin(self, parent: TraceContext | None) -> Span:
        """Begin something; its name is known at its end."""
        from opentelemetry.trace import SpanKind

        return _ExportedSpan(
            self._tracer.start_span(_UNNAMED, context=_above(parent), kind=SpanKind.SERVER)
        )

    def timed(self, timed: Timed) -> Timed:
        """Record the steps of what is recorded; what no request asked for is no trace."""

        @contextmanager
        def both(step: str) -> Iterator[None]:
            with timed(step), self._step(step):
                yield

        return both

    @contextmanager
    def _step(self, step: str) -> Iterator[None]:
        above = tracing.current.get()
        if above is None:
            yield
            return
        span = _ExportedSpan(self._tracer.start_span(step, context=_above(above)))
        token = tracing.current.set(span.context)
        failed = True
        try:
            yield
            failed = False
        finally:
            tracing.current.reset(token)
            span.end(step, {}, failed=failed)


class _ExportedSpan:
    """A span of OpenTelemetry, as tracing.py knows it."""

    def __init__(self, span: trace.Span) -> None:
        self._span = span
        found = span.get_span_context()
        self.context = TraceContext(
            f"{found.trace_id:032x}", f"{found.span_id:016x}", found.trace_flags.sampled
        )
        self.recorded = span.is_recording()

    def end(self, name: str, facts: Mapping[str, str | int], *, failed: bool = False) -> None:
        """Hand it over to be sent."""
        from opentelemetry.trace import StatusCode

        self._span.update_name(name)
        self._span.set_attributes(dict(facts))
        if failed:
            self._span.set_status(StatusCode.ERROR)
        self._span.end()


def _above(parent: TraceContext | None) -> Context:
    from opentelemetry.context import Context
    from opentelemetry.trace import (
        NonRecordingSpan,
        SpanContext,
        TraceFlags,
        set_span_in_context,
    )

    if parent is None:
        return Context()
    above = SpanContext(
        int(parent.trace_id, 16),
        int(parent.span_id, 16),
        is_remote=True,
        trace_flags=TraceFlags(TraceFlags.SAMPLED if parent.sampled else TraceFlags.DEFAULT),
    )
    return set_span_in_context(NonRecordingSpan(above), Context())
