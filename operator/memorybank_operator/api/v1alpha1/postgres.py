"""The part of a spec that says which PostgreSQL database holds a bank's memories."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from memorybank_operator.api.base import ApiModel
from memorybank_operator.api.v1alpha1.service import SecretReference


class Postgres(ApiModel):
    """A PostgreSQL database, 15 or newer, and how the bank's pods use it."""

    url_secret_ref: SecretReference
    """Entry of a Secret with the address of the database, user and password included, such as
    postgresql://user:password@host:5432/name. The user owns the database, and may be no superuser.
    Pods take another user or password while they run; another server or database replaces them.
    """
    readers: Annotated[int, Field(ge=1, le=64)] = 4
    """Connections of each pod that read; one more writes. None relies on a session, so a PgBouncer
    may stand in between, in any pool mode.
    """
    connect_seconds: Annotated[int, Field(ge=2, le=60)] = 5
    """Seconds that the server may take to accept a connection."""
    statement_seconds: Annotated[int, Field(ge=1, le=3_600)] = 30
    """Seconds that the server may take for a statement; for one of an export, a hundred times as
    many.
    """
