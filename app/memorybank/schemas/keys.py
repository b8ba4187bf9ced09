"""API keys as administrators send and get them."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from memorybank.domain.keys import ApiKey, Scope
from memorybank.schemas.fields import Moment, Name, Request, Response
from memorybank.schemas.tenants import TenantName

MAX_OVERLAP_SECONDS = 30 * 86_400
MAX_MANAGED_KEYS = 1_000

ManagedKeyProblem = Literal["role_not_found", "tenant_not_found", "key_taken"]

RoleName = Annotated[str, Field(max_length=63, pattern=r"^[a-z]([a-z0-9_-]{0,61}[a-z0-9])?$")]


class NewKey(Request):
    """A key to make."""

    name: Name = Field(description="Who or what will use it.")
    role: RoleName = Field(
        description="What it allows: `admin`, `developer`, `readonly`, or a role of `auth.roles`."
    )
    tenant: TenantName | None = Field(
        None, description="Whose memories it opens; absent for those of the key that asks."
    )
    expires_at: Moment | None = Field(
        None, description="Invalid from then on; absent for never. RFC 3339 with offset."
    )


class KeyRotation(Request):
    """How to replace a key."""

    overlap_seconds: Annotated[int, Field(ge=0, le=MAX_OVERLAP_SECONDS)] = Field(
        3_600, description="How long the old key stays valid beside the new one."
    )


class ManagedKey(Request):
    """A key that somebody else made and keeps; the service learns its digest alone."""

    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] = Field(
        description="SHA-256 of the whole key `mb_...`, hex."
    )
    name: Name = Field(description="Who or what will use it.")
    role: RoleName = Field(
        description="What it allows: `admin`, `developer`, `readonly`, or a role of `auth.roles`."
    )
    tenant: TenantName = Field(description="Whose memories it opens.")
    expires_at: Moment | None = Field(
        None, description="Invalid from then on; absent for never. RFC 3339 with offset."
    )


class ManagedKeyList(Request):
    """All keys that the manager wants to be valid."""

    keys: Annotated[tuple[ManagedKey, ...], Field(strict=False, max_length=MAX_MANAGED_KEYS)] = (
        Field(description="Managed keys that are not listed are revoked at once.")
    )


class ManagedKeyView(Response):
    """What became of one key of the list."""

    id: str | None = Field(description="The key's id; null when it was not taken.")
    problem: ManagedKeyProblem | None = Field(
        description="Why it was not taken: its role or its tenant does not exist, or the key is "
        "known already and not managed. It opens nothing then."
    )


class ManagedKeysView(Response):
    """What became of the list, in its order."""

    keys: list[ManagedKeyView]


class KeyListQuery(Request):
    """Whose keys to list."""

    tenant: TenantName | None = Field(
        None, description="Absent for the tenant of the key that asks."
    )


class KeyView(Response):
    """A key, without the key itself."""

    id: str
    tenant: str
    name: str
    role: str
    scopes: list[Scope] = Field(description="What it allows, by the roles of now.")
    bootstrap: bool = Field(description="True for the key that the deployment hands in at start.")
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None = Field(
        description="Noted every half minute; a crash may lose the newest."
    )
    rotated_from: str | None = Field(description="The id of the key that this one replaces.")

    @classmethod
    def of(cls, key: ApiKey, scopes: Iterable[Scope]) -> KeyView:
        """Show a key and what it allows."""
        return cls(
            id=key.id,
            tenant=key.tenant,
            name=key.name,
            role=key.role,
            scopes=sorted(scopes),
            bootstrap=key.bootstrap,
            created_at=key.created_at,
            expires_at=key.expires_at,
            revoked_at=key.revoked_at,
            last_used_at=key.last_used_at,
            rotated_from=key.rotated_from,
        )


class CreatedKey(KeyView):
    """A new key; this is the only time that the key itself is shown."""

    key: str


class KeyList(Response):
    """All keys of the tenant, oldest first."""

    keys: list[KeyView]
