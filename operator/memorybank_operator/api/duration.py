"""Spans of time as specs write them: a number and one of the units s, m and h, such as `720h`.

Such a text is a duration of Go and of the API server's rules as well.
"""

from __future__ import annotations

import re
from datetime import timedelta

PATTERN = "^(0|[1-9][0-9]{0,5})(s|m|h)$"
"""At most 999,999 hours, which is a century: more would overflow in the API server's rules."""
_SYNTAX = re.compile(PATTERN, re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600}


def parse_duration(text: str) -> timedelta:
    """Return the span that a text stands for. Raises ValueError with the cure when it is none."""
    found = _SYNTAX.fullmatch(text)
    if found is None:
        raise ValueError("not a span of time: write a number and s, m or h, such as 720h")
    return timedelta(seconds=int(found[1]) * _SECONDS[found[2]])
