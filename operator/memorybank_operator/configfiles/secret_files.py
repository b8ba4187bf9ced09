"""Where the pod finds what is in Secrets that a spec names. No value of them is ever rendered."""

from __future__ import annotations

from enum import StrEnum

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
}
FOR_BACKUPS = frozenset(
    {Mounted.BACKUP_ACCESS_KEY_ID, Mounted.BACKUP_SECRET_ACCESS_KEY, Mounted.BACKUP_CA}
)
"""What is read once, when the pod starts, by the process that replicates the bank."""
