"""The examples for collectors of logs name fields that our programs write, the page all of them."""

from __future__ import annotations

import json
import logging
import re
from typing import Any

import pytest
import yaml

from memorybank import logs as service_logs
from memorybank import tracing
from memorybank_operator import logs as operator_logs
from memorybank_operator.engine.cache import BankKey
from tests.repo.checkout import ROOT

FOLDER = ROOT / "examples" / "logging"
DETAILS = {"method": "GET", "route": "/v1/memories", "status": 200}


def failed(logger: str) -> logging.LogRecord:
    try:
        raise ZeroDivisionError
    except ZeroDivisionError as error:
        told = (ZeroDivisionError, error, error.__traceback__)
    record = logging.LogRecord(logger, logging.ERROR, __file__, 1, "it failed", None, told)
    record.details = DETAILS
    return record


@pytest.fixture
def written() -> set[str]:
    """The names of all fields that a line of either program may have."""
    request = service_logs.request_id.set("r1")
    trace = tracing.current.set(tracing.TraceContext("a" * 32, "b" * 16, sampled=True))
    try:
        line = json.loads(service_logs.JsonFormatter().format(failed("memorybank.http")))
    finally:
        tracing.current.reset(trace)
        service_logs.request_id.reset(request)
    with operator_logs.about(BankKey("team", "agents")):
        other = json.loads(operator_logs.JsonFormatter().format(failed("memorybank_operator.x")))
    assert line.keys() & other.keys() >= {"time", "level", "logger", "message", "exception"}
    return set(line) | set(other)


def test_filebeat_renames_what_is_written(written: set[str]) -> None:
    whole = yaml.safe_load((FOLDER / "filebeat.yaml").read_text())
    (provider,) = whole["filebeat.autodiscover"]["providers"]
    config = provider["templates"][0]["config"][0]
    steps: dict[str, Any] = {}
    for each in config["processors"]:
        steps |= each
    named = [steps["timestamp"]["field"], *(each["from"] for each in steps["rename"]["fields"])]
    assert {each.removeprefix("memorybank.") for each in named} <= written
    assert {"memorybank.level", "memorybank.trace_id"} <= set(named)


def test_alloy_reads_what_is_written(written: set[str]) -> None:
    text = (FOLDER / "alloy.config").read_text()
    expressions = re.search(r"expressions = \{(.*)\}", text)
    assert expressions is not None
    named = set(re.findall(r'= "(\w+)"', expressions[1]))
    assert {"time", "level", "trace_id"} <= named <= written
    assert text.count("{") == text.count("}")


def test_the_collector_reads_what_is_written(written: set[str]) -> None:
    text = (FOLDER / "collector.yaml").read_text()
    assert yaml.safe_load(text)["service"]["pipelines"]["logs"]["receivers"] == ["filelog"]
    named = set(re.findall(r"\battributes\.(\w+)", text))
    assert {"time", "level", "trace_id", "span_id"} <= named <= written


def test_the_page_tells_of_every_field(written: set[str]) -> None:
    page = (ROOT / "docs/banks/logs.md").read_text()
    told = set(re.findall(r"`(\w+)`", page))
    assert written <= told


def test_moments_are_written_in_the_form_that_the_examples_parse() -> None:
    for form in (service_logs.JsonFormatter(), operator_logs.JsonFormatter()):
        moment = json.loads(form.format(failed("x")))["time"]
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", moment)
