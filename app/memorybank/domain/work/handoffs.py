"""What a hand-off says, part by part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

PARTS: Final = ("experienced", "noticed", "learned", "story", "becoming", "remember")
"""In the order in which they are read."""
SENSITIVE: Final = ("high", "secret")
"""Shown only to who asks for them."""


def told(parts: Mapping[str, Any]) -> str:
    """Return the parts that there are as one text."""
    return "\n".join(
        f"{name.capitalize()}: {parts[name]}" for name in PARTS if parts.get(name) is not None
    )
