"""Traces across services: where a request belongs (W3C Trace Context), and who records it.

Without a collector nothing is recorded: the id of the caller's trace is passed on to the log, and
that is all. server/otlp.py records, when a collector is configured.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Protocol

Timed = Callable[[str], AbstractContextManager[None]]

HEADER = "traceparent"
"""The header, and the field of `_meta` in MCP, that names the caller's trace."""

_NOT_YET = "ff"
"""A version that there is never to be (W3C Trace Context, section 3.2.2.1)."""
_PARENT = re.compile(
    r"(?P<version>[0-9a-f]{2})-(?P<trace>[0-9a-f]{32})-(?P<span>[0-9a-f]{16})-(?P<flags>[0-9a-f]{2})"
    r"(?P<rest>-.*)?",
    re.ASCII,
)
_SAMPLED = 0x01


@dataclass(frozen=True, slots=True)
class TraceContext:
    """A place in a trace: ids in lower-case hexadecimal, and whether the trace is recorded."""

    trace_id: str
    span_id: str
    sampled: bool

    def header(self) -> str:
        """Return it as a header says it."""
        return f"00-{self.trace_id}-{self.span_id}-{int(self.sampled):02x}"


current: ContextVar[TraceContext | None] = ContextVar("trace", default=None)
"""Where what runs in this task belongs; None where there is no trace."""


def parse(traceparent: object) -> TraceContext | None:
    """Return what a `traceparent` says; None for what is no such thing, which is ignored.

    Later versions may add to it (section 3.2.4): what version 00 knows of them is read.
    """
    found = _PARENT.fullmatch(traceparent) if isinstance(traceparent, str) else None
    if (
        found is None
        or found["version"] == _NOT_YET
        or (found["version"] == "00" and found["rest"])
    ):
        return None
    if not int(found["trace"], 16) or not int(found["span"], 16):
        return None
    return TraceContext(found["trace"], found["span"], bool(int(found["flags"], 16) & _SAMPLED))


class Span(Protocol):
    """Something under way: a request, or a tool call."""

    @property
    def context(self) -> TraceContext | None:
        """Where what happens in it belongs."""

    @property
    def recorded(self) -> bool:
        """Whether a collector will hear of it."""

    def end(self, name: str, facts: Mapping[str, str | int], *, failed: bool = False) -> None:
        """Say what it was; to be called once. `facts` never hold contents or keys."""


class Tracer(Protocol):
    """Who records what happens, and how long it took."""

    def begin(self, parent: TraceContext | None) -> Span:
        """Begin something; without a parent it begins a trace."""

    def timed(self, timed: Timed) -> Timed:
        """Return a `timed` that records each step, too, as a part of what runs in the task."""


class Unrecorded:
    """Records nothing."""

    def begin(self, parent: TraceContext | None) -> Span:
        """Pass the caller's trace on."""
        return _Passed(parent)

    def timed(self, timed: Timed) -> Timed:
        """Return it as it is."""
        return timed


@dataclass(frozen=True, slots=True)
class _Passed:
    context: TraceContext | None
    recorded: bool = False

    def end(self, name: str, facts: Mapping[str, str | int], *, failed: bool = False) -> None:
        """Tell nobody."""
