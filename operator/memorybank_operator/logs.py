"""Log lines for machines (one JSON object) or people, each with the bank it is about."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime

from typing_extensions import override

from memorybank_operator.engine.cache import BankKey

_bank: ContextVar[BankKey | None] = ContextVar("bank", default=None)

QUIET = {"kopf": logging.WARNING, "asyncio": logging.WARNING, "aiohttp": logging.WARNING}
"""Libraries that tell more at `info` than anybody wants to read, objects' contents among it."""


@contextmanager
def about(bank: BankKey) -> Iterator[None]:
    """Put this bank's name on every line logged inside."""
    token = _bank.set(bank)
    try:
        yield
    finally:
        _bank.reset(token)


def setup(level: str, *, form: str) -> None:
    """Log to standard error in this form, `json` or `text`."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if form == "json" else TextFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name, least in QUIET.items():
        logging.getLogger(name).setLevel(least)


class JsonFormatter(logging.Formatter):
    """One JSON object per line: time, level, logger, message, and namespace and bank if any."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        bank = _bank.get()
        if bank is not None:
            line |= {"namespace": bank.namespace, "bank": bank.name}
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)


def _time(record: logging.LogRecord) -> str:
    """Return when it was logged, as the memory service writes it."""
    moment = datetime.fromtimestamp(record.created, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(logging.Formatter):
    """Time, level, bank and message."""

    @override
    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).strftime("%H:%M:%S.%f")[:-3]
        bank = _bank.get()
        where = f" {bank}:" if bank is not None else ""
        line = f"{at} {record.levelname:<7}{where} {record.getMessage()}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line
