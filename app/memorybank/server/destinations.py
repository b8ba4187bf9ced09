"""Where the settings say that backups are: the bank's own, its copies, and another bank's.

The process that copies backups needs this and little else: what opens a database is not imported.
"""

from __future__ import annotations

from base64 import b64decode
from pathlib import Path

from memorybank.backup.objects import Bucket, Folder, Place
from memorybank.configuration import read_mounted
from memorybank.errors import ConfigurationError
from memorybank.settings import (
    BackupSettings,
    CopySettings,
    FollowSettings,
    RestoreSettings,
    S3Settings,
    Settings,
)

CUSTOMER_KEY_BYTES = 32
"""Of AES-256, the only one that servers of S3 know."""


def backup_of(settings: Settings) -> BackupSettings:
    """Return where the backups are, and how they are made. Raises ConfigurationError."""
    if settings.backup is None:
        raise ConfigurationError(
            "there are no backups in the settings", field="backup", hint="name a destination"
        )
    return settings.backup


def place_of(backup: BackupSettings) -> Place:
    """Return where the backups of the bank are. Raises ConfigurationError."""
    return place_in(backup, f"{backup.bank}/{backup.uid}", "backup")


def copies_of(backup: BackupSettings) -> dict[str, Place]:
    """Return where the copies of the backups are, by name. Raises ConfigurationError."""
    own = f"{backup.bank}/{backup.uid}"
    return {
        each.name: place_in(each, own, f"backup.copies[{number}]")
        for number, each in enumerate(backup.copies)
    }


def place_in(
    where: BackupSettings | CopySettings | RestoreSettings | FollowSettings, own: str, section: str
) -> Place:
    """Return a folder of the destination that a section of the settings names. Raises
    ConfigurationError.
    """
    if where.volume is not None:
        return Folder(where.volume.path / own)
    s3 = where.s3
    assert s3 is not None  # noqa: S101  # one of the two is there
    return Bucket(
        bucket=s3.bucket,
        path=f"{s3.path}/{own}" if s3.path else own,
        region=s3.region,
        endpoint=s3.endpoint,
        path_style=s3.path_style,
        access_key_id=_read(s3.access_key_id_file, f"{section}.s3.access_key_id_file"),
        secret_access_key=_read(s3.secret_access_key_file, f"{section}.s3.secret_access_key_file"),
        ca=_certificates(s3, f"{section}.s3.ca_file"),
        kms_key_id=s3.kms_key_id,
        customer_key=_customer_key(s3, f"{section}.s3.customer_key_file"),
    )


def _certificates(s3: S3Settings, field: str) -> str | None:
    text = _read(s3.ca_file, field)
    if text is not None and "-----BEGIN CERTIFICATE-----" not in text:
        raise ConfigurationError(
            f"{s3.ca_file} holds no certificate",
            field=field,
            hint="write certificates in PEM into it",
        )
    return text


def _customer_key(s3: S3Settings, field: str) -> str | None:
    text = _read(s3.customer_key_file, field)
    if text is not None and not _is_key(text):
        raise ConfigurationError(
            f"{s3.customer_key_file} holds no key",
            field=field,
            hint=f"write {CUSTOMER_KEY_BYTES} random bytes in base64 into it, such as of"
            f" openssl rand -base64 {CUSTOMER_KEY_BYTES}",
        )
    return text


def _is_key(text: str) -> bool:
    try:
        return len(b64decode(text, validate=True)) == CUSTOMER_KEY_BYTES
    except ValueError:
        return False


def _read(file: Path | None, field: str) -> str | None:
    if file is None:
        return None
    text = read_mounted(file, field, what=f"the file {file}").strip()
    if not text:
        raise ConfigurationError(
            f"the file {file} is empty", field=field, hint="correct the entry of the Secret"
        )
    return text
