"""API keys and what they allow."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Scope(StrEnum):
    """What a request needs to be allowed."""

    READ = "memory:read"
    WRITE = "memory:write"
    DELETE = "memory:delete"
    ADMIN = "memory:admin"


class Role(StrEnum):
    """A named set of scopes."""

    ADMIN = "admin"
    DEVELOPER = "developer"
    READONLY = "readonly"

    @property
    def scopes(self) -> frozenset[Scope]:
        """The scopes that this role holds."""
        return _SCOPES[self]


_SCOPES = {
    Role.ADMIN: frozenset(Scope),
    Role.DEVELOPER: frozenset({Scope.READ, Scope.WRITE, Scope.DELETE}),
    Role.READONLY: frozenset({Scope.READ}),
}


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept: its digest, never the key."""

    id: str
    tenant: str
    name: str
    role: Role
    digest: str
    """SHA-256 of the whole key, hex."""
    created_at: datetime
    revoked_at: datetime | None = None
    bootstrap: bool = False
    """True for the key that the deployment hands in at start."""
