"""When a bank's backups are tried and its recovery points are taken. Pure: the time is given.

What was done is told by the status, so that a moment that nobody looked after is made up for, once,
and none is done twice.
"""

from __future__ import annotations

import hashlib
from datetime import UTC, datetime

from memorybank_operator.api.cron import last_due, next_due
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank

MINUTES_OF_A_DAY = 24 * 60
STAMP = "%Y%m%d%H%M"
"""Of a moment in a name."""


def verification_schedule(bank: MemoryBank) -> str | None:
    """Return when the bank's backups are tried; None for never."""
    backup = bank.spec.backed_up
    if backup is None or not backup.verify.enabled:
        return None
    return backup.verify.schedule or _daily(bank.uid)


def points_schedule(bank: MemoryBank) -> str | None:
    """Return when recovery points of a bank are taken; None for never."""
    backup = bank.spec.backed_up
    return None if backup is None or backup.points is None else backup.points.schedule


def due(bank: MemoryBank, schedule: str, done: datetime | None, now: datetime) -> datetime | None:
    """Return the newest moment of a schedule that has come, unless it is done: for all up to that
    one. Nothing was due before there was the bank.
    """
    moment = last_due(schedule, now)
    since = done or bank.metadata.creation_timestamp
    return moment if since is None or moment > since else None


def seconds_until_due(schedule: str, now: datetime) -> float:
    """Return how long it is until the next moment of a schedule."""
    return (next_due(schedule, now) - now).total_seconds()


def is_stale(schedule: str, verified: datetime, now: datetime) -> bool:
    """Tell whether two periods of a schedule are over since something was verified."""
    newest = last_due(schedule, now)
    period = next_due(schedule, newest) - newest
    return now - verified > 2 * period


def stamped(prefix: str, moment: datetime) -> str:
    """Name what is made for a moment."""
    return f"{prefix}-{moment.astimezone(UTC).strftime(STAMP)}"


def moment_of(prefix: str, name: str) -> datetime | None:
    """Return the moment that something was made for, by its name; None for other names."""
    stamp = name.removeprefix(f"{prefix}-")
    if stamp == name or len(stamp) != len("202601010000"):
        return None
    try:
        return datetime.strptime(stamp, STAMP).replace(tzinfo=UTC)
    except ValueError:
        return None


def verification_prefix(bank: MemoryBank) -> str:
    """Return what the names of Jobs begin with that try the bank's backups."""
    return f"{bank.name}-verify"


def _daily(uid: str) -> str:
    """Return a schedule of a minute of each day, so that not all banks have the same."""
    digest = hashlib.sha256(uid.encode()).digest()
    minute = int.from_bytes(digest[:4], "big") % MINUTES_OF_A_DAY
    return f"{minute % 60} {minute // 60} * * *"
