"""What keeps a bank from taking writes in whose place another one was promoted.

    fence.json      at the destination of the former bank's backups: who was promoted, and when

Who is promoted writes it, only if nobody has, and restores SETTLE_SECONDS later. The former bank
looks for it when it starts and every few seconds. Where an acknowledgement means that a write is at
the destination, it acknowledges what has arrived there within GOOD_SECONDS of the beginning of a
look that found no fence: so that is in what is restored. The two clocks may run at different
speeds, by a third, and show what they like.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from memorybank.backup.objects import Objects, Place
from memorybank.errors import Conflict

GOOD_SECONDS = 2.0
SETTLE_SECONDS = 3.0
FENCE = "fence.json"


class Fence(BaseModel):
    """What is written down of a promotion."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    by: str = Field(max_length=1024)
    """Namespace, name and uid of the bank that was promoted."""
    at: AwareDatetime
    """By its clock."""

    @property
    def told(self) -> str:
        """What it says, for people."""
        at = self.at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return f"{self.by} was promoted in the place of this bank at {at}"


_UNREADABLE = Fence(by="a bank that cannot be told", at=datetime.fromtimestamp(0, UTC))
"""Somebody wrote a fence: that counts, whatever became of it."""


class Fences:
    """The fence at the destination of a bank's backups, if there is one."""

    def __init__(self, place: Place, *, named: str = "") -> None:
        """`place` is the bank's own; for `named` see Objects."""
        self._objects = Objects(place, named=named)

    def find(self) -> Fence | None:
        """Return it. Raises BackupUnavailable."""
        content = self._objects.read_now(FENCE)
        if content is None:
            return None
        try:
            return Fence.model_validate_json(content)
        except ValidationError:
            return _UNREADABLE

    async def put(self, fence: Fence) -> None:
        """Write it, unless the same bank has. Raises Conflict when another one was promoted, and
        BackupUnavailable.
        """
        try:
            await self._objects.create(FENCE, fence.model_dump_json().encode())
        except Conflict:
            there = await asyncio.to_thread(self.find)
            if there is None or there.by != fence.by:
                told = "another bank" if there is None else there.told
                raise Conflict(
                    f"the bank that was followed is fenced already: {told}",
                    hint="follow that one; or, if it is gone for good, lift the fence:"
                    " docs/service/backup.md, The fence",
                ) from None

    async def lift(self) -> Fence | None:
        """Remove it; return what it said, None when there is none. Raises BackupUnavailable."""
        there = await asyncio.to_thread(self.find)
        await self._objects.remove([FENCE])
        return there
