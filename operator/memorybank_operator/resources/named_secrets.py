"""The Secrets that the pod mounts for its service: those that the spec names and that of the
bank's own PostgreSQL, which are somebody else's, read and never changed, and the generated key
ring.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from memorybank_operator.api.v1alpha1.backup import (
    ACCESS_KEY_ID,
    COPIES_PATH,
    S3,
    S3_PATH,
    SECRET_ACCESS_KEY,
)
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.postgres import PATH
from memorybank_operator.api.v1alpha1.service import SecretReference
from memorybank_operator.configfiles.secret_files import (
    FILE,
    OF_BACKUPS,
    OF_COPIES,
    OF_RESTORE,
    BucketFiles,
    Mounted,
)
from memorybank_operator.resources import names
from memorybank_operator.resources.postgres_cluster import ADDRESS, address_secret

RING_ENTRY = "ring.json"
"""Entry of the Secret with the generated key ring."""


@dataclass(frozen=True, slots=True)
class NamedSecret:
    """One entry of a Secret."""

    use: Mounted
    path: str
    """The field that names it, for people."""
    name: str
    key: str
    is_made: bool = False
    """Whether CloudNativePG makes it, so that nobody has to be told to."""
    names_key: bool = True
    """Whether the field says which entry, and not only which Secret."""


def named_secrets(bank: MemoryBank) -> tuple[NamedSecret, ...]:
    """Return what the spec names, except the admin key, which is copied and not mounted."""
    return tuple(_named(bank))


def generated_ring(bank: MemoryBank) -> NamedSecret:
    """Return where the generated key ring of a bank is."""
    return NamedSecret(Mounted.KEY_RING, "spec.encryption", names.key_ring(bank).name, RING_ENTRY)


def build_volumes(bank: MemoryBank) -> list[dict[str, Any]]:
    """Build a volume for each of them."""
    return [
        {
            "name": each.use.value,
            "secret": {
                "secretName": each.name,
                "items": [{"key": each.key, "path": FILE}],
                "defaultMode": 0o440,
            },
        }
        for each in _mounted(bank)
    ]


def build_mounts(bank: MemoryBank) -> list[dict[str, Any]]:
    """Build the mounts of these volumes."""
    return [
        {"name": each.use.value, "mountPath": each.use.folder, "readOnly": True}
        for each in _mounted(bank)
    ]


def _mounted(bank: MemoryBank) -> Iterator[NamedSecret]:
    yield from _named(bank)
    if bank.spec.encryption.ring_is_generated:
        yield generated_ring(bank)


def _named(bank: MemoryBank) -> Iterator[NamedSecret]:
    spec = bank.spec
    jwt, embedding, encryption = spec.auth.jwt, spec.embedding, spec.encryption
    if jwt is not None and jwt.secret_ref is not None:
        yield _of(Mounted.JWT_SECRET, "spec.auth.jwt.secretRef", jwt.secret_ref)
    if embedding.provider == "openai" and embedding.openai.key_secret_ref is not None:
        path = "spec.embedding.openai.keySecretRef"
        yield _of(Mounted.EMBEDDING_KEY, path, embedding.openai.key_secret_ref)
    if encryption.enabled and encryption.key_secret_ref is not None:
        yield _of(Mounted.KEY_RING, "spec.encryption.keySecretRef", encryption.key_secret_ref)
    postgres = spec.storage.postgres
    if postgres is not None and postgres.url_secret_ref is not None:
        path = "spec.storage.postgres.urlSecretRef"
        yield _of(Mounted.DATABASE_URL, path, postgres.url_secret_ref)
    if spec.storage.cluster is not None:
        secret = address_secret(bank)
        yield NamedSecret(Mounted.DATABASE_URL, PATH, secret, ADDRESS, is_made=True)
    yield from _for_backups(bank)


def _for_backups(bank: MemoryBank) -> Iterator[NamedSecret]:
    backup, source = bank.spec.backed_up, bank.spec.source
    if backup is not None:
        yield from _of_bucket(backup.destination.s3, OF_BACKUPS, S3_PATH)
        for number, (each, files) in enumerate(zip(backup.copies, OF_COPIES, strict=False)):
            yield from _of_bucket(each.s3, files, f"{COPIES_PATH}[{number}].s3")
    if source is not None:
        path, destination = source
        yield from _of_bucket(destination.s3, OF_RESTORE, f"{path}.s3")


def _of_bucket(s3: S3 | None, files: BucketFiles, path: str) -> Iterator[NamedSecret]:
    if s3 is None:
        return
    if s3.secret_ref is not None:
        for use, key in (
            (files.access_key_id, ACCESS_KEY_ID),
            (files.secret_access_key, SECRET_ACCESS_KEY),
        ):
            yield NamedSecret(use, f"{path}.secretRef", s3.secret_ref.name, key, names_key=False)
    if s3.ca_secret_ref is not None:
        reference = s3.ca_secret_ref
        yield NamedSecret(files.ca, f"{path}.caSecretRef", reference.name, reference.key)
    if s3.customer_key is not None:
        key_path = f"{path}.encryption.customerKeySecretRef"
        yield NamedSecret(files.customer_key, key_path, s3.customer_key.name, s3.customer_key.key)


def _of(use: Mounted, path: str, reference: SecretReference) -> NamedSecret:
    return NamedSecret(use, path, reference.name, reference.key)
