"""Log lines: one per event, for machines or people."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator

import pytest

from memorybank import logs


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)


def record(message: str = "request", **details: object) -> logging.LogRecord:
    made = logging.LogRecord("memorybank.x", logging.INFO, __file__, 1, message, None, None)
    made.details = details
    return made


def test_a_json_line_holds_the_event_and_its_details() -> None:
    token = logs.request_id.set("r1")
    try:
        line = logs.JsonFormatter().format(record(status=201, route="/v1/memories"))
    finally:
        logs.request_id.reset(token)
    event = json.loads(line)
    assert "\n" not in line
    assert event.pop("time").endswith("Z")
    assert event == {
        "level": "info",
        "logger": "memorybank.x",
        "message": "request",
        "request_id": "r1",
        "status": 201,
        "route": "/v1/memories",
    }


def test_a_text_line_is_readable() -> None:
    line = logs.TextFormatter().format(record(status=201))
    assert line.endswith("INFO    request status=201")


@pytest.mark.parametrize("formatter", [logs.JsonFormatter(), logs.TextFormatter()])
def test_nothing_in_a_message_starts_another_line(formatter: logging.Formatter) -> None:
    line = formatter.format(record("a\nfake line\x1b[31m", detail="b\nc"))
    assert "\n" not in line
    assert "\x1b" not in line


@pytest.mark.parametrize("formatter", [logs.JsonFormatter(), logs.TextFormatter()])
def test_a_traceback_is_kept(formatter: logging.Formatter) -> None:
    failed = record("failed")
    try:
        raise ZeroDivisionError("here")
    except ZeroDivisionError:
        failed.exc_info = sys.exc_info()
    assert "ZeroDivisionError: here" in formatter.format(failed)


def test_libraries_that_log_every_request_are_quiet(capsys: pytest.CaptureFixture[str]) -> None:
    logs.configure("debug", "json")
    logging.getLogger("httpx").info("chatter")
    logging.getLogger("uvicorn.error").info("chatter")
    logging.getLogger("uvicorn.error").warning("trouble")
    logging.getLogger("memorybank.x").debug("ours")
    logging.getLogger().info("nobody's")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [line["message"] for line in lines] == ["trouble", "ours"]
