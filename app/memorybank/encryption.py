"""The key-encryption ring: the keys that wrap each tenant's data key.

A ring is JSON or YAML, `{"active": "2026", "keys": {"2025": "<base64>", "2026": "<base64>"}}`, each
key 32 random bytes. The active one wraps what is new; the others open what is old, until a start
has wrapped it anew. The ring comes from a file or the environment; the service never stores it.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from memorybank.errors import ConfigurationError

KEY_BYTES = 32
FIELD = "encryption.key_ring_file"
_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)
_MAKE = "make a key with: openssl rand -base64 32"


@dataclass(frozen=True, slots=True)
class KeyRing:
    """Keys by id, one of them active."""

    active: str
    keys: Mapping[str, bytes] = field(repr=False)


def parse_key_ring(text: str) -> KeyRing:
    """Return the ring that a text describes; raises ConfigurationError, which quotes no key."""
    try:
        document = yaml.safe_load(text)
    except yaml.YAMLError:
        document = None
    if not isinstance(document, dict) or set(document) != {"active", "keys"}:
        raise _wrong("does not have just the fields active and keys")
    keys = document["keys"]
    if not isinstance(keys, dict) or not keys:
        raise _wrong("has no keys: `keys` should be a mapping of ids to keys")
    parsed = {_key_id(name): _key(name, value) for name, value in keys.items()}
    active = str(document["active"])
    if active not in parsed:
        raise _wrong(f"names {active[:63]!r} as the active key, which is not among its keys")
    if len(set(parsed.values())) != len(parsed):
        raise _wrong("holds the same key under two ids")
    return KeyRing(active, parsed)


def _key_id(name: object) -> str:
    text = str(name)
    if not _ID.fullmatch(text):
        raise _wrong("has an id that is not 1 to 63 letters, digits, dots, hyphens, underscores")
    return text


def _key(name: object, value: Any) -> bytes:
    try:
        key = base64.b64decode(str(value).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        key = b""
    if len(key) != KEY_BYTES:
        raise _wrong(f"has a key {name} that is not {KEY_BYTES} bytes in base64")
    return key


def _wrong(what: str) -> ConfigurationError:
    return ConfigurationError(f"the encryption key ring {what}", field=FIELD, hint=_MAKE)
