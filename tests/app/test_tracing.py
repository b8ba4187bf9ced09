"""W3C Trace Context: what is read, what is ignored, and that it reaches the log."""

from __future__ import annotations

import logging

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from memorybank import tracing
from memorybank.logs import JsonFormatter
from memorybank.tracing import TraceContext
from tests.support.service import Service

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
SPAN = "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01"


@pytest.mark.parametrize(
    ("said", "meant"),
    [
        (PARENT, TraceContext(TRACE, SPAN, sampled=True)),
        (f"00-{TRACE}-{SPAN}-00", TraceContext(TRACE, SPAN, sampled=False)),
        (f"00-{TRACE}-{SPAN}-03", TraceContext(TRACE, SPAN, sampled=True)),
        (f"cc-{TRACE}-{SPAN}-01-what-is-to-come", TraceContext(TRACE, SPAN, sampled=True)),
        (f"cc-{TRACE}-{SPAN}-01", TraceContext(TRACE, SPAN, sampled=True)),
        (f"ff-{TRACE}-{SPAN}-01", None),
        (f"00-{TRACE}-{SPAN}-01-more", None),
        (f"00-{TRACE}-{SPAN}-01.", None),
        (f"00-{TRACE.upper()}-{SPAN}-01", None),
        (f"00-{'0' * 32}-{SPAN}-01", None),
        (f"00-{TRACE}-{'0' * 16}-01", None),
        (f"00-{TRACE}-{SPAN}", None),
        ("", None),
        (None, None),
        (7, None),
    ],
)
def test_a_traceparent_is_read_or_ignored(said: object, meant: TraceContext | None) -> None:
    assert tracing.parse(said) == meant


@given(st.text() | st.from_regex(r"00-[0-9a-f]{31,33}-[0-9a-f]{16}-[0-9a-f]{2}"))
def test_whatever_comes_is_read_or_ignored(said: str) -> None:
    found = tracing.parse(said)
    assert found is None or tracing.parse(found.header()) == found


async def test_every_line_of_a_traced_request_has_the_callers_trace_id(
    bank: Service, admin: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    lines: list[str] = []
    formatter = JsonFormatter()

    class Kept(logging.Handler):
        @override
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(formatter.format(record))

    kept = Kept()
    logger = logging.getLogger("memorybank.http.middleware")
    logger.addHandler(kept)
    try:
        with caplog.at_level(logging.INFO, "memorybank"):
            traced = await admin.get("/v1/memories", headers={"traceparent": PARENT})
            await admin.get("/v1/memories", headers={"traceparent": "nonsense"})
    finally:
        logger.removeHandler(kept)
    assert traced.status_code == 200
    assert "traceresponse" not in traced.headers  # nothing is recorded here
    [first, second] = lines
    assert f'"trace_id": "{TRACE}"' in first
    assert "trace_id" not in second
    assert tracing.current.get() is None
