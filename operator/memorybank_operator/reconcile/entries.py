"""What a Secret says, as text: the one place that decodes it."""

from __future__ import annotations

import base64
import binascii

from memorybank_operator.reconcile.observed import KubeObject


def read_entry(secret: KubeObject | None, key: str) -> str | None:
    """Return an entry of a Secret without surrounding white space, empty when it is no text, None
    when there is no such entry or no Secret.
    """
    encoded = ((secret or {}).get("data") or {}).get(key)
    if encoded is None:
        return None
    try:
        return base64.b64decode(encoded).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        return ""
