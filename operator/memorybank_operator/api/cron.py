"""Schedules as specs write them: the five fields of cron, in UTC, such as `30 2 * * *`."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from cronsim import CronSim, CronSimError


def _field(number: str, names: str = "") -> str:
    one = f"({number}|{names})" if names else f"({number})"
    part = f"([*]|{one}(-{one})?)(/[0-9]{{1,2}})?"
    return f"{part}(,{part})*"


PATTERN = "^{}$".format(
    " ".join(
        (
            _field("[0-5]?[0-9]"),
            _field("[01]?[0-9]|2[0-3]"),
            _field("0?[1-9]|[12][0-9]|3[01]"),
            _field("0?[1-9]|1[0-2]", "JAN|FEB|MAR|APR|MAY|JUN|JUL|AUG|SEP|OCT|NOV|DEC"),
            _field("[0-7]", "SUN|MON|TUE|WED|THU|FRI|SAT"),
        )
    )
)
"""What a pattern can tell. It does not tell a range that runs backwards, or the 30th of February.
"""
CURE = (
    "write the five fields of cron (minute, hour, day of month, month, day of week), in UTC, such "
    "as `30 2 * * *` for half past two each night"
)


def check_schedule(text: str) -> None:
    """Raise ValueError with the cure for what is no schedule, or one that never comes."""
    try:
        next(CronSim(text, datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration) as error:
        said = f" ({error})" if str(error) else ""
        raise ValueError(f"not a schedule that ever comes{said}: {CURE}") from None


def last_due(schedule: str, now: datetime) -> datetime:
    """Return the newest moment of a schedule that is not after this one."""
    within = now.astimezone(UTC).replace(second=0, microsecond=0) + timedelta(minutes=1)
    return next(CronSim(schedule, within, reverse=True))


def next_due(schedule: str, now: datetime) -> datetime:
    """Return the next moment of a schedule after this one."""
    return next(CronSim(schedule, now.astimezone(UTC)))
