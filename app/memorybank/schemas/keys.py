"""API keys as administrators send and get them."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field

from memorybank.domain.keys import ApiKey, Role, Scope
from memorybank.schemas.fields import Name, Request, Response


class NewKey(Request):
    """A key to make."""

    name: Name = Field(description="Who or what will use it.")
    role: Annotated[Role, Field(strict=False)] = Field(description="What it allows.")


class KeyView(Response):
    """A key, without the key itself."""

    id: str
    name: str
    role: Role
    scopes: list[Scope]
    bootstrap: bool = Field(description="True for the key that the deployment hands in at start.")
    created_at: datetime
    revoked_at: datetime | None

    @classmethod
    def of(cls, key: ApiKey) -> KeyView:
        """Show a key."""
        return cls(
            id=key.id,
            name=key.name,
            role=key.role,
            scopes=sorted(key.role.scopes),
            bootstrap=key.bootstrap,
            created_at=key.created_at,
            revoked_at=key.revoked_at,
        )


class CreatedKey(KeyView):
    """A new key; this is the only time that the key itself is shown."""

    key: str


class KeyList(Response):
    """All keys of the tenant, oldest first."""

    keys: list[KeyView]
