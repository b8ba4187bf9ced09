"""Where the pod finds what is in Secrets that a spec names. No value of them is ever rendered."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

FOLDER = "/etc/memorybank-secrets"
FILE = "value"
"""Name of the file, whatever the key of the entry is."""


class Mounted(StrEnum):
    """What such a Secret is for; the name of its volume as well."""

    JWT_SECRET = "jwt-secret"  # noqa: S105 - a name
    EMBEDDING_KEY = "embedding-key"
    KEY_RING = "key-ring"
    DATABASE_URL = "database-url"
    BACKUP_ACCESS_KEY_ID = "backup-access-key-id"
    BACKUP_SECRET_ACCESS_KEY = "backup-secret-access-key"  # noqa: S105 - a name
    BACKUP_CA = "backup-ca"
    BACKUP_CUSTOMER_KEY = "backup-customer-key"
    RESTORE_ACCESS_KEY_ID = "restore-access-key-id"
    RESTORE_SECRET_ACCESS_KEY = "restore-secret-access-key"  # noqa: S105 - a name
    RESTORE_CA = "restore-ca"
    RESTORE_CUSTOMER_KEY = "restore-customer-key"
    COPY_1_ACCESS_KEY_ID = "copy-1-access-key-id"
    COPY_1_SECRET_ACCESS_KEY = "copy-1-secret-access-key"  # noqa: S105 - a name
    COPY_1_CA = "copy-1-ca"
    COPY_1_CUSTOMER_KEY = "copy-1-customer-key"
    COPY_2_ACCESS_KEY_ID = "copy-2-access-key-id"
    COPY_2_SECRET_ACCESS_KEY = "copy-2-secret-access-key"  # noqa: S105 - a name
    COPY_2_CA = "copy-2-ca"
    COPY_2_CUSTOMER_KEY = "copy-2-customer-key"
    COPY_3_ACCESS_KEY_ID = "copy-3-access-key-id"
    COPY_3_SECRET_ACCESS_KEY = "copy-3-secret-access-key"  # noqa: S105 - a name
    COPY_3_CA = "copy-3-ca"
    COPY_3_CUSTOMER_KEY = "copy-3-customer-key"

    @property
    def setting(self) -> str:
        """The service's setting that names the file."""
        return _SETTINGS[self]

    @property
    def folder(self) -> str:
        """Where its volume is mounted."""
        return f"{FOLDER}/{self.value}"

    @property
    def file(self) -> str:
        """The file that holds the value."""
        return f"{self.folder}/{FILE}"


_SETTINGS = {
    Mounted.JWT_SECRET: "auth.jwt.secret_file",
    Mounted.EMBEDDING_KEY: "embedding.openai.key_file",
    Mounted.KEY_RING: "encryption.key_ring_file",
    Mounted.DATABASE_URL: "database.url_file",
    Mounted.BACKUP_ACCESS_KEY_ID: "backup.s3.access_key_id_file",
    Mounted.BACKUP_SECRET_ACCESS_KEY: "backup.s3.secret_access_key_file",
    Mounted.BACKUP_CA: "backup.s3.ca_file",
    Mounted.BACKUP_CUSTOMER_KEY: "backup.s3.customer_key_file",
    Mounted.RESTORE_ACCESS_KEY_ID: "backup.restore.s3.access_key_id_file",
    Mounted.RESTORE_SECRET_ACCESS_KEY: "backup.restore.s3.secret_access_key_file",
    Mounted.RESTORE_CA: "backup.restore.s3.ca_file",
    Mounted.RESTORE_CUSTOMER_KEY: "backup.restore.s3.customer_key_file",
}


class BucketFiles(NamedTuple):
    """Where a pod finds what opens a bucket."""

    access_key_id: Mounted
    secret_access_key: Mounted
    ca: Mounted
    customer_key: Mounted


OF_BACKUPS = BucketFiles(
    Mounted.BACKUP_ACCESS_KEY_ID,
    Mounted.BACKUP_SECRET_ACCESS_KEY,
    Mounted.BACKUP_CA,
    Mounted.BACKUP_CUSTOMER_KEY,
)
OF_COPIES = (
    BucketFiles(
        Mounted.COPY_1_ACCESS_KEY_ID,
        Mounted.COPY_1_SECRET_ACCESS_KEY,
        Mounted.COPY_1_CA,
        Mounted.COPY_1_CUSTOMER_KEY,
    ),
    BucketFiles(
        Mounted.COPY_2_ACCESS_KEY_ID,
        Mounted.COPY_2_SECRET_ACCESS_KEY,
        Mounted.COPY_2_CA,
        Mounted.COPY_2_CUSTOMER_KEY,
    ),
    BucketFiles(
        Mounted.COPY_3_ACCESS_KEY_ID,
        Mounted.COPY_3_SECRET_ACCESS_KEY,
        Mounted.COPY_3_CA,
        Mounted.COPY_3_CUSTOMER_KEY,
    ),
)
"""Of the copies, in the order of the spec."""
OF_RESTORE = BucketFiles(
    Mounted.RESTORE_ACCESS_KEY_ID,
    Mounted.RESTORE_SECRET_ACCESS_KEY,
    Mounted.RESTORE_CA,
    Mounted.RESTORE_CUSTOMER_KEY,
)
OF_BUCKETS = (OF_BACKUPS, OF_RESTORE, *OF_COPIES)
_SETTINGS |= {
    use: f"backup.copies[{number}].s3.{name}_file"
    for number, files in enumerate(OF_COPIES)
    for name, use in files._asdict().items()
}
FOR_BACKUPS = frozenset(use for files in OF_BUCKETS for use in files)
"""What is read once, when the pod starts, by what replicates or restores the bank."""
