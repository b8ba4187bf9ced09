"""API keys and what they allow."""

from __future__ import annotations

from collections.abc import Mapping
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
    """The roles that every bank has: named sets of scopes."""

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


class Roles:
    """The roles of this bank: those that every bank has, and those of its configuration."""

    def __init__(self, custom: Mapping[str, frozenset[Scope]] | None = None) -> None:
        self._scopes: dict[str, frozenset[Scope]] = dict(custom or {})
        self._scopes.update({role.value: role.scopes for role in Role})

    def __contains__(self, name: object) -> bool:
        return name in self._scopes

    @property
    def names(self) -> list[str]:
        """Every role's name, in order."""
        return sorted(self._scopes)

    def scopes(self, name: str) -> frozenset[Scope]:
        """Return what a role holds: nothing when it is configured no more."""
        return self._scopes.get(name, frozenset())


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A key as it is kept: its digest, never the key."""

    id: str
    tenant: str
    name: str
    role: str
    digest: str
    """SHA-256 of the whole key, hex."""
    created_at: datetime
    revoked_at: datetime | None = None
    bootstrap: bool = False
    """True for the key that the deployment hands in at start."""
    expires_at: datetime | None = None
    """Invalid from this moment on."""
    last_used_at: datetime | None = None
    """Some seconds behind, and a crash may lose the newest: use is noted in batches."""
    rotated_from: str | None = None
    """The id of the key that this one replaces."""
    managed: bool = False
    """True for a key that a manager outside, such as the operator, made and says is valid."""

    def is_valid(self, now: datetime) -> bool:
        """Say whether the key opens anything at this moment."""
        return self.revoked_at is None and (self.expires_at is None or now < self.expires_at)


@dataclass(frozen=True, slots=True)
class ManagedKeys:
    """What became of a list of managed keys."""

    keys: tuple[ApiKey | None, ...]
    """As they are kept, in the order of the list; None where another key has this digest."""
    changed: tuple[ApiKey, ...] = ()
    """Those that were not known, or were known otherwise."""
    revoked: tuple[ApiKey, ...] = ()
    """Managed keys that were valid and are not on the list."""
