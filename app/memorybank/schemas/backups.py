"""What a bank says of itself to whoever takes or checks a backup of it."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from memorybank.schemas.fields import Request, Response


class MarkRequest(Request):
    """Ask for a mark."""

    sync: bool = Field(
        True,
        description="Wait until everything that was committed is at the destination of the"
        " backups, for at most 8 seconds.",
    )


class BackupMark(Response):
    """What the bank held at a moment: a backup of it is compared with that."""

    at: datetime
    epoch: str | None = Field(
        description="What the bank replicates to; null in the report of one in PostgreSQL."
    )
    txid: str | None = Field(
        description="The last transaction that has arrived, as Litestream names it; null without"
        " `sync`."
    )
    change: int = Field(description="Number of the newest change.")
    changed_at: datetime | None = Field(
        description="When the newest memory, tenant or key was made or changed."
    )
    memories: int
    tenants: int
    keys: int
    schema_version: int
