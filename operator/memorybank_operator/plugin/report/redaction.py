"""Takes secrets out of texts and objects. Pure.

Two ways, since neither is enough: values that are known to be secret, wherever they are and however
they are written; and whatever looks like a secret, for those that nobody let us know.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import quote

from memorybank_operator.plugin.summary import Object

GONE = "[redacted]"
SHORTEST = 6
"""Characters of a value that is looked for; a shorter one is part of many innocent words."""
LONG = 12
"""Characters of a part of a line that is looked for by itself, such as in `password=...`."""
SENSITIVE = re.compile(
    r"password|passwd|passphrase|secret|token|credential|api.?key|access.?key|private.?key|"
    r"authorization|cookie",
    re.IGNORECASE,
)
"""Names of fields and variables whose values are secret."""
REFERENCES = re.compile(r"(ref|name|names|file|path|mount|volume)s?$", re.IGNORECASE)
"""Ends of names that only say where a secret is."""
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
_BETWEEN = re.compile(r"[\s=:;,\"']+")
_LOOKS = tuple(
    (re.compile(pattern, flags), replacement)
    for pattern, replacement, flags in (
        (r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
         GONE, re.DOTALL),
        (r"mb_[A-Za-z0-9_-]{43}", GONE, 0),  # keys of banks
        (r"eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]*", GONE, 0),  # JSON Web Tokens
        (r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b", GONE, 0),  # access keys of AWS
        (r"(://)[^/@\s'\"]+@", rf"\1{GONE}@", 0),
        (r"\b(Bearer|Basic)\s+[A-Za-z0-9._~+/=-]+", rf"\1 {GONE}", re.IGNORECASE),
        (r"((?:password|passwd|secret|token|api_?key|access_?key)[\"']?[ \t]*[=:][ \t]*)"
         r"(\"[^\"]*\"|'[^']*'|[^\s,;&\"'}\]]+)", rf"\1{GONE}", re.IGNORECASE),
    )
)  # fmt: skip


def forms(values: Iterable[str]) -> list[str]:
    """Return the ways in which values can be written: whole, line by line and word by word, as they
    are, in base64, in a URL, in JSON; the longest first.
    """
    found: set[str] = set()
    for value in values:
        words = (each for each in _BETWEEN.split(value) if len(each) >= LONG)
        for part in {value, value.strip(), *value.splitlines(), *words}:
            if len(part) < SHORTEST:
                continue
            raw = part.encode()
            encoded = base64.b64encode(raw).decode()
            found |= {
                part, quote(part, safe=""), quote(part), part.encode("unicode_escape").decode(),
                encoded, encoded.rstrip("="), base64.urlsafe_b64encode(raw).decode().rstrip("="),
            }  # fmt: skip
    return sorted((each for each in found if len(each) >= SHORTEST), key=len, reverse=True)


class Redaction:
    """Knows what is secret."""

    def __init__(self, secrets: Iterable[str] = ()) -> None:
        self._known = forms(secrets)

    def text(self, text: str) -> str:
        """Return a text without secrets."""
        for each in self._known:
            text = text.replace(each, GONE)
        for pattern, replacement in _LOOKS:
            text = pattern.sub(replacement, text)
        return text

    def object(self, body: Object) -> dict[str, Any]:
        """Return an object without secrets, and without what only tools read. Of a Secret there
        remain the names of its keys.
        """
        kept = {name: value for name, value in body.items() if name not in ("data", "stringData")}
        metadata = dict(kept.get("metadata") or {})
        metadata.pop("managedFields", None)
        annotations = dict(metadata.get("annotations") or {})
        if annotations.pop(LAST_APPLIED, None) is not None:
            metadata["annotations"] = annotations
        kept["metadata"] = metadata
        if body.get("kind") == "Secret":
            return {**self._value(kept), "keys": sorted(body.get("data") or ())}
        if "data" in body:
            kept["data"] = body["data"]
        return dict(self._value(kept))

    def _value(self, value: Any, name: str = "") -> Any:
        if isinstance(value, dict):
            if SENSITIVE.search(str(value.get("name", ""))) and "value" in value:
                value = {**value, "value": GONE}  # a variable of a container
            return {self.text(str(key)): self._value(each, str(key)) for key, each in value.items()}
        if isinstance(value, list):
            return [self._value(each, name) for each in value]
        if isinstance(value, str):
            is_secret = SENSITIVE.search(name) and not REFERENCES.search(name)
            return GONE if value and is_secret else self.text(value)
        return value
