"""Traces go to a collector when one is named, and nowhere else."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from memorybank.errors import ConfigurationError
from memorybank.server import otlp
from memorybank.server.otlp import open_tracer
from memorybank.tracing import Unrecorded
from tests.support.collector import Collector, attributes, collecting
from tests.support.server_process import ANSWER_SECONDS, serving, until_ready

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
SECRET = "the launch code is 0000"
NAMED: dict[str, Any] = {"sample_ratio": None, "environment": "test", "version": "0"}


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as running:
        yield running


@pytest.mark.slow
async def test_a_request_and_its_steps_become_one_trace_of_the_callers(
    tmp_path: Path, collector: Collector
) -> None:
    environ = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        "OTEL_SERVICE_NAME": "notes",
        "OTEL_BSP_SCHEDULE_DELAY": "100",
    }
    expected = {"POST /v1/memories", "POST /v1/search", "tools/call recall"}
    with serving(tmp_path / "bank", environ=environ) as server:
        headers = {"Authorization": f"Bearer {server.key}"}
        async with server.async_client() as client:
            parent = {"traceparent": f"00-{TRACE}-{SPAN}-01"}
            stored = await client.post("/v1/memories", json={"content": SECRET}, headers=parent)
            found = await client.post("/v1/search", json={"query": SECRET})
            unsampled = {"traceparent": f"00-{'a' * 32}-{SPAN}-00"}
            assert (await client.get("/v1/memories", headers=unsampled)).status_code == 200
            await until_ready(client)
        async with (
            httpx2.AsyncClient(headers=headers, timeout=ANSWER_SECONDS) as http,
            Client(streamable_http_client(f"{server.url}/mcp", http_client=http)) as agent,
        ):
            meta: Any = {"traceparent": f"00-{'b' * 32}-{SPAN}-01"}
            await agent.call_tool("recall", {"query": SECRET}, meta=meta)
        async with asyncio.timeout(120):  # a stop sends what is left for a few seconds only
            while not expected <= {span.name for span in collector.spans}:  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(0.05)
        assert server.stop() == 0
        log = server.log()

    version, trace_id, own_id, flags = stored.headers["traceresponse"].split("-")
    assert (version, trace_id, flags) == ("00", TRACE, "01")
    assert set(collector.paths) == {"/v1/traces"}
    about = collector.resources[0]
    assert (about["service.name"], about["deployment.environment.name"]) == ("notes", "development")

    request = collector.named("POST /v1/memories")
    assert request.trace_id.hex() == TRACE
    assert request.parent_span_id.hex() == SPAN
    assert request.span_id.hex() == own_id
    said = attributes(request)
    assert said["http.response.status_code"] == 201
    assert said["memorybank.tenant"] == "default"
    assert said["memorybank.request_id"] == stored.headers["x-request-id"]
    steps = {span.name: span for span in collector.spans if span.trace_id == request.trace_id}
    assert steps["store_add"].parent_span_id.hex() == own_id
    assert steps["embed"].parent_span_id == steps["store_same_words"].span_id

    search = collector.named("POST /v1/search")
    assert found.headers["traceresponse"].split("-")[1] == search.trace_id.hex() != TRACE
    assert not search.parent_span_id
    tool = collector.named("tools/call recall")
    assert (tool.trace_id.hex(), tool.parent_span_id.hex()) == ("b" * 32, SPAN)
    names = {span.name for span in collector.spans}
    assert not names & {"GET /ready", "GET /v1/memories", "request"}
    [line] = [each for each in log if each.get("request_id") == stored.headers["x-request-id"]]
    assert line["trace_id"] == TRACE
    sent = b"".join(collector.bodies)
    assert SECRET.encode() not in sent
    assert server.key.encode() not in sent
    assert SECRET not in json.dumps(log)


@pytest.mark.slow
def test_a_collector_that_hangs_holds_up_neither_requests_nor_a_stop(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        environ = {"MEMORY_BANK_MONITORING__OTLP_ENDPOINT": url}
        with serving(tmp_path / "bank", environ=environ) as server:
            with server.client() as client:
                assert client.get("/v1/memories").status_code == 200
            assert server.stop() == 0


@pytest.mark.slow
def test_a_collector_that_hangs_is_left_behind_on_the_way_out(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(otlp, "_LAST_WORDS_SECONDS", 0.01)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "5")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        with open_tracer(endpoint=endpoint, **NAMED) as tracer:
            tracer.begin(None).end("never heard", {})
        [left] = [each for each in threading.enumerate() if each.name == "last spans"]
    left.join(120)
    assert not left.is_alive()


def test_what_is_left_is_sent_on_the_way_out(
    monkeypatch: pytest.MonkeyPatch, collector: Collector
) -> None:
    monkeypatch.setattr(otlp, "_LAST_WORDS_SECONDS", 120.0)
    with open_tracer(endpoint=collector.url, **NAMED) as tracer:
        tracer.begin(None).end("last words", {})
    assert collector.named("last words").parent_span_id == b""


@pytest.mark.slow
def test_without_a_collector_nothing_of_it_is_imported() -> None:
    program = """
import sys
import memorybank.server.app, memorybank.server.process, memorybank.mcp.endpoint
from memorybank.server import otlp
from memorybank.server.otlp import open_tracer
with open_tracer(endpoint=None, sample_ratio=None, environment="test", version="0"):
    heavy = ("opentelemetry.sdk", "opentelemetry.exporter", "requests", "google.protobuf")
    print([name for name in sys.modules if name.startswith(heavy)])
"""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("OTEL_")}
    done = subprocess.run(
        [sys.executable, "-c", program], env=clean, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "forbidden", [{"OTEL_SDK_DISABLED": "true"}, {"OTEL_TRACES_EXPORTER": "none"}]
)
def test_the_environment_can_forbid_it(
    monkeypatch: pytest.MonkeyPatch, forbidden: dict[str, str]
) -> None:
    for name, value in forbidden.items():
        monkeypatch.setenv(name, value)
    with open_tracer(endpoint="http://127.0.0.1:9", **NAMED) as tracer:
        assert isinstance(tracer, Unrecorded)


def test_a_protocol_that_is_not_spoken_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with (
        pytest.raises(ConfigurationError) as raised,
        open_tracer(endpoint="http://127.0.0.1:9", **NAMED),
    ):
        pass
    assert raised.value.field == "OTEL_EXPORTER_OTLP_PROTOCOL"
    assert "http/protobuf" in (raised.value.hint or "")


def test_nothing_is_refused_where_nothing_is_to_be_sent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with open_tracer(endpoint=None, **NAMED) as tracer:
        assert isinstance(tracer, Unrecorded)


def test_a_share_of_the_traces_can_be_sent(collector: Collector) -> None:
    with open_tracer(endpoint=collector.url, **{**NAMED, "sample_ratio": 0.0}) as tracer:
        span = tracer.begin(None)
        assert not span.recorded
        span.end("dropped", {})
        assert span.context is not None
        assert not span.context.sampled
    assert collector.spans == []
