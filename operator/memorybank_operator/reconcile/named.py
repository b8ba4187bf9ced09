"""Whether the Secrets that a spec names are there and hold what they should: found out before a pod
would crash for it. Nothing here quotes a value.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.configfiles.checksum import text_checksum
from memorybank_operator.configfiles.in_effect import secret_checksum
from memorybank_operator.configfiles.secret_files import Mounted
from memorybank_operator.constants import ANNOTATION_SECRETS_HASH
from memorybank_operator.reconcile.observed import KubeObject, Observed
from memorybank_operator.reconcile.steps import Problem
from memorybank_operator.resources.named_secrets import NamedSecret, named_secrets

MIN_JWT_BYTES = 64
"""As many as HS512's digest has (RFC 7518 section 3.2); the service asks for them."""
RING_KEY_BYTES = 32
"""AES-256."""
_KEY_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SecretsDecision:
    """What was found."""

    fingerprint: str | None
    """Changes when a value does; empty when the spec names none, None while one cannot be used."""
    each: Mapping[str, str] = field(default_factory=dict)
    """Fingerprints by which the service tells them, by its setting that names the file."""
    problems: tuple[Problem, ...] = ()


def decide_secrets(bank: MemoryBank, observed: Observed) -> SecretsDecision:
    """Look at each Secret that the spec names."""
    problems, seen, told = [], [], {}
    for each in named_secrets(bank.spec):
        found = _look(bank, each, observed.named_secrets.get(each.name))
        if isinstance(found, Problem):
            problems.append(found)
        else:
            seen.append(f"{each.use}:{text_checksum(found)}")
            told[each.use.setting] = secret_checksum(each.use.setting, found)
    if problems:
        return SecretsDecision(None, problems=tuple(problems))
    return SecretsDecision(
        text_checksum(f"{ANNOTATION_SECRETS_HASH}:{','.join(seen)}") if seen else "", told
    )


def _look(bank: MemoryBank, wanted: NamedSecret, secret: KubeObject | None) -> str | Problem:
    """Return the value, or what is wrong with it."""
    if secret is None:
        return Problem(
            Reason.SECRET_NOT_FOUND,
            f"{wanted.path}.name: Secret {wanted.name} does not exist in namespace "
            f"{bank.namespace}: create it, or name another one",
        )
    encoded = (secret.get("data") or {}).get(wanted.key)
    if encoded is None:
        return Problem(
            Reason.SECRET_NOT_FOUND,
            f"{wanted.path}.key: Secret {wanted.name} has no entry {wanted.key}: add it, or name "
            "another entry",
        )
    try:
        value = base64.b64decode(encoded).decode().strip()
    except (binascii.Error, UnicodeDecodeError):
        value = ""
    cure = _CHECKS[wanted.use](value)
    if cure is None:
        return value
    return Problem(
        Reason.SECRET_INVALID,
        f"{wanted.path}: the entry {wanted.key} of Secret {wanted.name} {cure}",
    )


def _jwt_secret(value: str) -> str | None:
    if len(value.encode()) >= MIN_JWT_BYTES:
        return None
    return (
        f"is too short to sign tokens with: use at least {MIN_JWT_BYTES} random bytes, such as of "
        "openssl rand -hex 32"
    )


def _embedding_key(value: str) -> str | None:
    if value and value.isascii() and value.isprintable():
        return None
    return "is no key: put the key there, of printable ASCII characters"


def _key_ring(value: str) -> str | None:
    try:
        document = yaml.safe_load(value)
    except yaml.YAMLError:
        document = None
    if _is_ring(document):
        return None
    return (
        'is no key ring: write {"active": "2026", "keys": {"2026": "<key>"}}, each key '
        f"{RING_KEY_BYTES} bytes in base64 (openssl rand -base64 {RING_KEY_BYTES}), none twice, "
        "the active one among them"
    )


def _is_ring(document: Any) -> bool:
    if not isinstance(document, dict) or set(document) != {"active", "keys"}:
        return False
    keys = document["keys"]
    if not isinstance(keys, dict) or str(document["active"]) not in {str(each) for each in keys}:
        return False
    values = {_decoded(each) for each in keys.values()}
    return (
        len(values) == len(keys)
        and all(_KEY_ID.fullmatch(str(name)) for name in keys)
        and all(len(value) == RING_KEY_BYTES for value in values)
    )


def _decoded(value: object) -> bytes:
    try:
        return base64.b64decode(str(value).encode("ascii"), validate=True)
    except (binascii.Error, UnicodeEncodeError):
        return b""


_CHECKS = {
    Mounted.JWT_SECRET: _jwt_secret,
    Mounted.EMBEDDING_KEY: _embedding_key,
    Mounted.KEY_RING: _key_ring,
}
"""What each has to be: a check that returns what is wrong and how to cure it, or None."""
