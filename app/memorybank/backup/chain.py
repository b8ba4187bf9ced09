"""The chain of a bank's backups: an epoch for each incarnation of the bank.

Two processes that replicate to one place destroy what is there, and neither notices. So each pod
replicates to an epoch of its own, which nobody else ever writes to, and which says from which one
it went on. Of two pods that are alive at once each has its own; who comes next goes on from one of
them, and the other stays as it is until it expires.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Annotated

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, StringConstraints

_DIGITS = 8
_TOKEN_BYTES = 4
EPOCH_NAME = rf"^[0-9]{{{_DIGITS}}}-[0-9a-f]{{{2 * _TOKEN_BYTES}}}$"

EpochName = Annotated[str, StringConstraints(pattern=EPOCH_NAME)]


class Origin(StrEnum):
    """What the database of an epoch began with."""

    NOTHING = "nothing"
    VOLUME = "volume"
    """What an earlier incarnation left on the volume, which is newer than any backup of it."""
    BACKUP = "backup"
    """The newest state at the destination."""
    RESTORED = "restored"
    """What the settings say that a new bank begins with."""


def is_epoch(name: str) -> bool:
    """Return whether something is named as epochs are."""
    return re.fullmatch(EPOCH_NAME, name) is not None


def number_of(name: str) -> int:
    """Return which one of its chain an epoch is, from 1 on; two pods at once may have the same."""
    return int(name[:_DIGITS])


def next_name(names: Iterable[str]) -> str:
    """Return the name of an epoch that nobody has, behind all others."""
    number = 1 + max(map(number_of, names), default=0)
    return f"{number:0{_DIGITS}}-{secrets.token_hex(_TOKEN_BYTES)}"


class Epoch(BaseModel):
    """What is written down of an incarnation before it replicates anything; it never changes."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: EpochName
    parent: EpochName | None = None
    """The epoch that it went on from; None for the first one."""
    source: str | None = Field(None, max_length=1024)
    """What it was restored from: namespace, name, uid and epoch of a bank, and the moment."""
    origin: Origin
    began: AwareDatetime
    """By the clock of its node; the order of epochs is that of their numbers."""
    bank: str = Field(max_length=512)
    """Namespace and name, for who looks at the destination."""
    service_version: str = Field(max_length=64)
    schema_version: int = Field(ge=0)

    @classmethod
    def unrecorded(cls, name: str, *, began: datetime) -> Epoch:
        """Return what is known of an epoch by what was replicated to it alone."""
        return cls(
            name=name, origin=Origin.VOLUME, began=began, bank="", service_version="",
            schema_version=0,
        )  # fmt: skip

    def content(self) -> bytes:
        """Return what is written down."""
        return self.model_dump_json(exclude_none=True).encode()

    @property
    def order(self) -> tuple[int, datetime, str]:
        """Return by what epochs are ordered: a clock decides between two of a number alone."""
        return number_of(self.name), self.began, self.name


def lineage(epochs: Mapping[str, Epoch], epoch: Epoch) -> Iterator[Epoch]:
    """Yield an epoch and those that it went on from, newest first, as far as they are known."""
    at: Epoch | None = epoch
    seen: set[str] = set()
    while at is not None and at.name not in seen:
        seen.add(at.name)
        yield at
        at = epochs.get(at.parent) if at.parent is not None else None


@dataclass(frozen=True, slots=True)
class Chain:
    """The epochs that a destination knows of."""

    epochs: Mapping[str, Epoch]
    written: Mapping[str, datetime]
    """When something was replicated to each last; what is not in it never got anything."""

    def newest(self) -> Epoch | None:
        """Return the epoch that the next incarnation goes on from: the last one that something was
        replicated to. An incarnation that ended before it could replicate has nothing that its
        parent has not.
        """
        return max(self._filled(), key=lambda each: each.order, default=None)

    def holding(self, moment: datetime) -> Epoch | None:
        """Return the epoch of the newest one's lineage that was written to at a moment; None when
        the moment is before all of them.
        """
        newest = self.newest()
        if newest is None:
            return None
        for each in lineage(self.epochs, newest):
            if each.began <= moment and each.name in self.written:
                return each
        return None

    def expired(self, *, keep: timedelta, now: datetime, own: str) -> Sequence[Epoch]:
        """Return the epochs that hold nothing of the time that is kept, oldest first: neither the
        newest nor `own`, whose incarnation asks, nor one whose state the kept time begins with.
        """
        begin = now - keep
        spared = {own, *(each.name for each in (self.newest(), self.holding(begin)) if each)}
        gone = (
            each
            for each in self.epochs.values()
            if each.name not in spared and self.written.get(each.name, each.began) < begin
        )
        return sorted(gone, key=lambda each: each.order)

    def _filled(self) -> Iterator[Epoch]:
        return (each for each in self.epochs.values() if each.name in self.written)
