"""What commands make of their arguments before they ask a bank."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from memorybank.errors import InvalidRequest


def given(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Return the arguments that were given, of these."""
    return {name: value for name in names if (value := getattr(arguments, name)) is not None}


def json_of(argument: str, name: str) -> Any:
    """Return the JSON that was given under a name. Raises InvalidRequest."""
    try:
        return json.loads(argument)
    except ValueError as error:
        raise InvalidRequest(
            f"{name} is not JSON: {error}", field=name, hint='send it like {"key": "value"}'
        ) from None


def text_of(argument: str) -> str:
    """Return a text; - reads it from standard input."""
    return sys.stdin.read() if argument == "-" else argument
