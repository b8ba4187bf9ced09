"""Whether the Secrets that a pod mounts are there and hold what they should: found out before a pod
would crash for it. Nothing here quotes a value.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Mapping
from dataclasses import dataclass, field

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.configfiles.checksum import text_checksum
from memorybank_operator.configfiles.in_effect import secret_checksum
from memorybank_operator.configfiles.secret_files import (
    FOR_BACKUPS,
    OF_BUCKETS,
    Mounted,
)
from memorybank_operator.constants import ANNOTATION_BACKUP_KEYS, ANNOTATION_SECRETS_HASH
from memorybank_operator.reconcile.entries import read_entry
from memorybank_operator.reconcile.observed import KubeObject, Observed
from memorybank_operator.reconcile.ring import KEY_BYTES, RingDecision, is_ring
from memorybank_operator.reconcile.steps import Problem
from memorybank_operator.resources.database import Database, read_address
from memorybank_operator.resources.named_secrets import NamedSecret, named_secrets

MIN_JWT_BYTES = 64
"""As many as HS512's digest has (RFC 7518 section 3.2); the service asks for them."""


@dataclass(frozen=True, slots=True)
class SecretsDecision:
    """What was found."""

    fingerprint: str | None
    """Changes when a value does; empty when there is none, None while one cannot be used."""
    each: Mapping[str, str] = field(default_factory=dict)
    """Fingerprints by which the service tells them, by its setting that names the file."""
    database: Database | None = None
    """The PostgreSQL database that one of them names, if it can be used."""
    backup_keys: str = ""
    """Fingerprint of those that the bank is replicated with; empty when there is none."""
    problems: tuple[Problem, ...] = ()


def decide_secrets(bank: MemoryBank, observed: Observed, ring: RingDecision) -> SecretsDecision:
    """Look at each Secret that the spec names; `ring` is the key ring of a bank that names none."""
    problems, contents = [], {}
    is_awaited = ring.awaited
    for each in named_secrets(bank):
        secret = observed.named_secrets.get(each.name)
        if secret is None and each.is_made:
            is_awaited = True  # as decide_database says
            continue
        found = _look(bank, each, secret)
        if isinstance(found, Problem):
            problems.append(found)
        else:
            contents[each.use] = found
    if ring.ring is not None:
        contents[Mounted.KEY_RING] = ring.ring
    database = read_address(contents.get(Mounted.DATABASE_URL, ""))
    if problems or is_awaited:
        return SecretsDecision(None, database=database, problems=tuple(problems))
    return SecretsDecision(
        _fingerprint(ANNOTATION_SECRETS_HASH, contents),
        {
            use.setting: secret_checksum(use.setting, value)
            for use, value in contents.items()
            if use not in FOR_BACKUPS  # the pod's revision proves these
        },
        database,
        ""  # no process of the pod has them: a Job reads what there is then
        if bank.spec.replicated is None and bank.spec.followed is None
        else _fingerprint(
            ANNOTATION_BACKUP_KEYS,
            {use: each for use, each in contents.items() if use in FOR_BACKUPS},
        ),
    )


def _fingerprint(purpose: str, contents: Mapping[Mounted, str]) -> str:
    """Return a word that changes with any of them; empty for none."""
    seen = ",".join(f"{use}:{text_checksum(value)}" for use, value in contents.items())
    return text_checksum(f"{purpose}:{seen}") if seen else ""


def _look(bank: MemoryBank, wanted: NamedSecret, secret: KubeObject | None) -> str | Problem:
    """Return the value, or what is wrong with it."""
    if secret is None:
        return Problem(
            Reason.SECRET_NOT_FOUND,
            f"{wanted.path}.name: Secret {wanted.name} does not exist in namespace "
            f"{bank.namespace}: create it, or name another one",
        )
    value = read_entry(secret, wanted.key)
    if value is None:
        part, other = (".key", "entry") if wanted.names_key else (".name", "Secret")
        return Problem(
            Reason.SECRET_NOT_FOUND,
            f"{wanted.path}{part}: Secret {wanted.name} has no entry {wanted.key}: add it, or "
            f"name another {other}",
        )
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


def _access_key(value: str) -> str | None:
    if value and value.isascii() and value.isprintable() and " " not in value:
        return None
    return "is no key of a bucket: put the key there, of printable ASCII characters without spaces"


def _certificates(value: str) -> str | None:
    if "-----BEGIN CERTIFICATE-----" in value:
        return None
    return "holds no certificates: put them there in PEM, each from -----BEGIN CERTIFICATE----- on"


def _customer_key(value: str) -> str | None:
    try:
        if len(b64decode(value, validate=True)) == KEY_BYTES:
            return None
    except ValueError:
        pass
    return (
        f"is no key to encrypt by: put {KEY_BYTES} random bytes in base64 there, such as of "
        f"openssl rand -base64 {KEY_BYTES}"
    )


def _embedding_key(value: str) -> str | None:
    if value and value.isascii() and value.isprintable():
        return None
    return "is no key: put the key there, of printable ASCII characters"


def _key_ring(value: str) -> str | None:
    if is_ring(value):
        return None
    return (
        'is no key ring: write {"active": "2026", "keys": {"2026": "<key>"}}, each key '
        f"{KEY_BYTES} bytes in base64 (openssl rand -base64 {KEY_BYTES}), none twice, "
        "the active one among them"
    )


def _database_url(value: str) -> str | None:
    if read_address(value) is not None:
        return None
    return (
        "is no address of a database: write postgresql://user:password@host:5432/name, with %-codes"
        " for what else than letters and digits is in the password"
    )


_OF_BUCKETS = (_access_key, _access_key, _certificates, _customer_key)
_CHECKS = {
    Mounted.JWT_SECRET: _jwt_secret,
    Mounted.EMBEDDING_KEY: _embedding_key,
    Mounted.KEY_RING: _key_ring,
    Mounted.DATABASE_URL: _database_url,
    **{use: check for files in OF_BUCKETS for use, check in zip(files, _OF_BUCKETS, strict=True)},
}
"""What each has to be: a check that returns what is wrong and how to cure it, or None."""
