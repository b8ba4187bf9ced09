"""Times as the numbers that stores and indexes keep: whole microseconds since 1970."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def to_microseconds(moment: datetime) -> int:
    """Return an aware time as a number, without rounding."""
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(number: int) -> datetime:
    """Return the aware UTC time."""
    return _EPOCH + number * _MICROSECOND


def maybe_microseconds(moment: datetime | None) -> int | None:
    """Return a time as a number, where there is one."""
    return None if moment is None else to_microseconds(moment)


def maybe_moment(number: int | None) -> datetime | None:
    """Return a number as a time, where there is one."""
    return None if number is None else from_microseconds(number)


def moment_of(text: object) -> datetime | None:
    """Return the time in a field of details, which are plain JSON: RFC 3339, in UTC; None of none.

    A field that is about to be written may be a time already.
    """
    if text is None or isinstance(text, datetime):
        return text
    return datetime.fromisoformat(str(text))
