"""Schedules as settings write them: the five fields of cron, in UTC, such as `30 2 * * *`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

CURE = (
    "write the five fields of cron (minute, hour, day of month, month, day of week), in UTC, such "
    "as `30 2 * * *` for half past two each night"
)


def check_schedule(text: str) -> None:
    """Raise ValueError with the cure for what is no schedule, or one that never comes."""
    from cronsim import CronSim, CronSimError  # many a process needs no schedule

    if len(text.split()) != 5:
        raise ValueError(f"not a schedule of five fields: {CURE}")
    try:
        next(CronSim(text, datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        said = f" ({error})" if str(error) else ""
        raise ValueError(f"not a schedule that ever comes{said}: {CURE}") from None


def last_due(schedule: str, now: datetime) -> datetime:
    """Return the newest moment of a schedule that is not after this one."""
    from cronsim import CronSim

    within = now.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    return next(CronSim(schedule, within, reverse=True))


def next_due(schedule: str, now: datetime) -> datetime:
    """Return the next moment of a schedule after this one."""
    from cronsim import CronSim

    return next(CronSim(schedule, now.astimezone(UTC)))
