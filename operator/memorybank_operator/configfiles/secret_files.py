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
}
