"""What an API key looks like, and the digest by which it is known.

A key is `mb_` and 32 random bytes in URL-safe base64: 256 bits, so a plain SHA-256 is enough to
store it safely; slow password hashes protect guessable secrets only.
"""

from __future__ import annotations

import hashlib
import re
import secrets

_SHAPE = re.compile(r"mb_[A-Za-z0-9_-]{43}", re.ASCII)


def generate() -> str:
    """Return a new key."""
    return f"mb_{secrets.token_urlsafe(32)}"


def is_well_formed(token: str) -> bool:
    """Say whether this could be a key."""
    return _SHAPE.fullmatch(token) is not None


def digest(token: str) -> str:
    """Return the SHA-256 of the key, hex."""
    return hashlib.sha256(token.encode()).hexdigest()
