"""Log lines for machines or for people.

A line holds what happened, never a memory's content and never a key.
"""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, Literal

from typing_extensions import override

from memorybank import tracing

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
"""Id of the request that is being served in this task."""

LogFormat = Literal["json", "text"]
LogLevel = Literal["debug", "info", "warning", "error"]

_CHATTY = ("uvicorn", "mcp", "asyncio", "httpx", "httpcore", "urllib3")
"""Libraries that speak of every request, of which we have a line of our own."""


def configure(level: LogLevel, log_format: LogFormat) -> None:
    """Send everything to standard error, one line per event."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if log_format == "json" else TextFormatter())
    handler.addFilter(_is_of_somebody)
    logging.basicConfig(handlers=[handler], level=level.upper(), force=True)
    logging.captureWarnings(True)
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.root.level))


def _is_of_somebody(record: logging.LogRecord) -> bool:
    """Leave out the chatter of libraries that log by no name, such as the quantiser's."""
    return record.name != "root" or record.levelno >= logging.WARNING


class JsonFormatter(logging.Formatter):
    """One JSON object per line."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **_details(record),
        }
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


class TextFormatter(logging.Formatter):
    """`time LEVEL message key=value`, and a traceback below where there is one."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        details = "".join(f" {name}={value}" for name, value in _details(record).items())
        line = f"{_time(record)} {record.levelname:7} {record.getMessage()}{details}"
        line = "".join(letter if letter.isprintable() else "?" for letter in line)
        if record.exc_info:
            line += "\n" + self.formatException(record.exc_info)
        return line


def _time(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _details(record: logging.LogRecord) -> Mapping[str, Any]:
    """Return the ids of request and trace, and what came as `extra={"details": {...}}`."""
    current, trace = request_id.get(), tracing.current.get()
    details: dict[str, Any] = {} if current is None else {"request_id": current}
    if trace is not None:
        details |= {"trace_id": trace.trace_id, "span_id": trace.span_id}
    details.update(getattr(record, "details", {}))
    return details
