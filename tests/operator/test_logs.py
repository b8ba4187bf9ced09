"""Each line is one JSON object, or one line for people, with the bank it is about."""

from __future__ import annotations

import json
import logging

import pytest

from memorybank_operator import logs
from memorybank_operator.engine.cache import BankKey


def record(message: str, *arguments: object) -> logging.LogRecord:
    return logging.LogRecord("memorybank_operator.x", logging.INFO, "", 0, message, arguments, None)


def test_a_json_line_names_time_level_and_bank() -> None:
    with logs.about(BankKey("team", "agents")):
        line = json.loads(logs.JsonFormatter().format(record("applied %s", "Service agents")))
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "info",
        "logger": "memorybank_operator.x",
        "message": "applied Service agents",
        "namespace": "team",
        "bank": "agents",
    }


def test_a_line_about_no_bank_names_none() -> None:
    assert "bank" not in json.loads(logs.JsonFormatter().format(record("stopping")))


def test_a_message_of_several_lines_stays_one_line() -> None:
    assert "\n" not in logs.JsonFormatter().format(record("a\nb"))


def test_a_text_line_names_the_bank() -> None:
    with logs.about(BankKey("team", "agents")):
        assert logs.TextFormatter().format(record("hello")).endswith("INFO    team/agents: hello")


def test_a_bug_keeps_its_traceback() -> None:
    try:
        raise ZeroDivisionError("why")
    except ZeroDivisionError as error:
        failed = record("failed")
        failed.exc_info = (type(error), error, error.__traceback__)
    assert "ZeroDivisionError: why" in json.loads(logs.JsonFormatter().format(failed))["exception"]
    assert "ZeroDivisionError: why" in logs.TextFormatter().format(failed)


def test_libraries_are_quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", list(root.handlers))
    level = root.level
    try:
        logs.setup("debug", form="json")
        assert logging.getLogger("kopf.objects").getEffectiveLevel() == logging.WARNING
        assert logging.getLogger("memorybank_operator").getEffectiveLevel() == logging.DEBUG
    finally:
        root.setLevel(level)
        for name in logs.QUIET:
            logging.getLogger(name).setLevel(logging.NOTSET)
