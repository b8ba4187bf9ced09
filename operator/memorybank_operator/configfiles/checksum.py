"""Short fingerprints of what is rendered."""

from __future__ import annotations

import hashlib
import json
from typing import Any

LENGTH = 16
"""Hexadecimal digits: 64 bits are far more than one bank's renderings can bring to collide."""


def text_checksum(text: str) -> str:
    """Return a fingerprint of a text."""
    return hashlib.sha256(text.encode()).hexdigest()[:LENGTH]


def object_checksum(value: Any) -> str:
    """Return a fingerprint of JSON data; the order of keys does not matter."""
    return text_checksum(json.dumps(value, sort_keys=True, separators=(",", ":")))
