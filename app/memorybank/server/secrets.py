"""The files that a configuration consists of: its own, and one for each secret that it names."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from memorybank.configuration import key_ring
from memorybank.encryption import KeyRing
from memorybank.server.embedding import read_embedding_key
from memorybank.settings import Settings

FINGERPRINT_DIGITS = 16
"""Hexadecimal digits of a SHA-256 that a file's content is known by; the operator computes the
same."""


def secret_files(settings: Settings) -> dict[str, Path]:
    """Return the files that hold secrets, by the setting that names each."""
    jwt = settings.auth.jwt
    named = {
        "admin_key_file": settings.admin_key_file,
        "database.url_file": settings.database.url_file,
        "auth.jwt.secret_file": None if jwt is None else jwt.secret_file,
        "embedding.openai.key_file": settings.embedding.openai.key_file
        if settings.embedding.provider == "openai"
        else None,
        "encryption.key_ring_file": settings.encryption.key_ring_file,
    }
    return {name: file for name, file in named.items() if file is not None}


@dataclass(frozen=True, slots=True)
class Secrets:
    """What the files hold; None where there is none."""

    jwt: bytes | None = field(repr=False)
    embedding_key: str | None = field(repr=False)
    ring: KeyRing | None = field(repr=False)

    @classmethod
    def read(cls, settings: Settings) -> Secrets:
        """Read them all. Raises ConfigurationError, which quotes none of them."""
        jwt, embedding = settings.auth.jwt, settings.embedding
        return cls(
            jwt=None if jwt is None or jwt.secret_file is None else jwt.read_secret(),
            embedding_key=read_embedding_key(embedding) if embedding.provider == "openai" else None,
            ring=key_ring(settings),
        )


def file_fingerprint(content: bytes) -> str:
    """Return by what the content of the configuration file is known."""
    return hashlib.sha256(content).hexdigest()[:FINGERPRINT_DIGITS]


def secret_fingerprint(name: str, content: bytes) -> str:
    """Return by what a secret is known, without the white space around it.

    The name of the setting is part of it, so that it is no digest that is used elsewhere.
    """
    return file_fingerprint(f"{name}:".encode() + content.strip())


@dataclass(frozen=True, slots=True)
class Fingerprints:
    """Which contents the files had."""

    file: str | None
    """None without a configuration file, or when it cannot be read."""
    secrets: Mapping[str, str]
    """By the setting that names the file; those that can be read."""

    @classmethod
    def take(cls, file: Path | None, secrets: Mapping[str, Path]) -> Fingerprints:
        """Read all files."""
        content = None if file is None else _read(file)
        return cls(
            file=None if content is None else file_fingerprint(content),
            secrets={
                name: secret_fingerprint(name, content)
                for name, content in ((each, _read(path)) for each, path in secrets.items())
                if content is not None
            },
        )


def _read(file: Path) -> bytes | None:
    try:
        return file.read_bytes()
    except OSError:
        return None
