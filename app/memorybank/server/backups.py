"""The backups that the settings ask for."""

from __future__ import annotations

import asyncio
import logging
from datetime import UTC, datetime
from pathlib import Path

from memorybank.backup.destination import Bucket, Destination, Folder, Place
from memorybank.backup.litestream import CONFIG, Plan, program
from memorybank.backup.prepare import Incarnation, Prepared
from memorybank.backup.prepare import prepare as begin
from memorybank.backup.private import write_private
from memorybank.backup.restoring import Restorer
from memorybank.errors import ConfigurationError
from memorybank.settings import BackupSettings, S3Settings, Settings
from memorybank.stores.sqlite.connection import migrations
from memorybank.stores.sqlite.lock import DataFolderLock
from memorybank.version import VERSION

_logger = logging.getLogger(__name__)


def prepare(settings: Settings) -> None:
    """Find or restore the database, begin its epoch and write Litestream's configuration.

    Raises ConfigurationError, and as backup.prepare does.
    """
    backup = settings.backup
    if backup is None:
        raise ConfigurationError(
            "there are no backups in the settings", field="backup", hint="name a destination"
        )
    place = place_of(backup)
    incarnation = Incarnation(
        database=settings.database_path,
        bank=backup.bank,
        service_version=VERSION,
        schema_version=migrations()[-1].version,
    )
    restorer = Restorer(
        program=program(),
        place=place,
        run_dir=backup.run_dir,
        ca_file=None if backup.s3 is None else backup.s3.ca_file,
        seconds=backup.restore_seconds,
    )
    prepared = asyncio.run(_begun(place, incarnation, restorer))
    plan = Plan(
        database=settings.database_path,
        epoch=prepared.epoch.name,
        replica=place.replica(prepared.epoch.name),
        sync_seconds=backup.sync_seconds,
        snapshot_hours=backup.snapshot_hours,
        retention_hours=backup.retention_hours,
        run_dir=backup.run_dir,
        metrics_port=backup.metrics_port,
    )
    write_private(backup.run_dir / CONFIG, plan.text())
    prepared.save(backup.run_dir)
    _logger.info("prepared", extra={"details": prepared.epoch.model_dump(mode="json")})


def place_of(backup: BackupSettings) -> Place:
    """Return where the backups of the bank are. Raises ConfigurationError."""
    own = f"{backup.bank}/{backup.uid}"
    if backup.volume is not None:
        return Folder(backup.volume.path / own)
    s3 = backup.s3
    assert s3 is not None  # noqa: S101  # one of the two is there
    return Bucket(
        bucket=s3.bucket,
        path=f"{s3.path}/{own}" if s3.path else own,
        region=s3.region,
        endpoint=s3.endpoint,
        path_style=s3.path_style,
        access_key_id=_read(s3.access_key_id_file, "access_key_id_file"),
        secret_access_key=_read(s3.secret_access_key_file, "secret_access_key_file"),
        ca=_certificates(s3),
    )


async def _begun(place: Place, incarnation: Incarnation, restorer: Restorer) -> Prepared:
    """Begin an epoch; where there is no database yet, nobody else makes one meanwhile."""
    lock = None if incarnation.has_database else DataFolderLock(incarnation.database)
    try:
        return await begin(Destination(place), incarnation, restorer, now=datetime.now(UTC))
    finally:
        if lock is not None:
            lock.release()


def _certificates(s3: S3Settings) -> str | None:
    text = _read(s3.ca_file, "ca_file")
    if text is not None and "-----BEGIN CERTIFICATE-----" not in text:
        raise ConfigurationError(
            f"{s3.ca_file} holds no certificate",
            field="backup.s3.ca_file",
            hint="write certificates in PEM into it",
        )
    return text


def _read(file: Path | None, setting: str) -> str | None:
    if file is None:
        return None
    field = f"backup.s3.{setting}"
    try:
        text = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text"
        raise ConfigurationError(
            f"the file {file} cannot be read: {reason}",
            field=field,
            hint="mount the Secret there, or correct the path",
        ) from None
    if not text:
        raise ConfigurationError(
            f"the file {file} is empty", field=field, hint="correct the entry of the Secret"
        )
    return text
