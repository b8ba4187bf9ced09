"""What is written down of a recovery point."""

from __future__ import annotations

from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

POINT_NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
"""A label of DNS."""
PointName = Annotated[str, StringConstraints(pattern=POINT_NAME)]


class PointExport(BaseModel):
    """What is written down of the export that is beside the copy of a point."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    object: str = Field(max_length=256)
    memories: int = Field(ge=0)
    bytes: int = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    key_id: str | None = Field(None, max_length=63)
    """Of an encrypted bank, whose export is sealed: the key of the ring that opens it."""


class Point(BaseModel):
    """A whole copy of a bank at the destination of its backups; it never changes."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: PointName
    id: str | None = Field(None, max_length=64)
    """Who asked for it: the same who asks again gets the same point."""
    object: str = Field(max_length=256)
    """Where the copy is, from the bank's own place at the destination."""
    bank: str = Field(max_length=1024)
    """Namespace, name and uid."""
    epoch: str | None = None
    """That it was restored from; None for a bank in PostgreSQL, which has none."""
    txid: str | None = None
    moment: AwareDatetime | None = None
    """When the newest memory, tenant or key in it was made or changed."""
    taken_at: AwareDatetime
    expires_at: AwareDatetime | None = None
    """None: it is kept until it is removed."""
    change: int = Field(ge=0)
    memories: int = Field(ge=0)
    tenants: int = Field(ge=0)
    keys: int = Field(ge=0)
    key_ids: tuple[str, ...] = ()
    """Keys of the ring that open it."""
    bytes: int = Field(gt=0)
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    export: PointExport | None = None
    service_version: str = Field(max_length=64)
    schema_version: int = Field(ge=0)
