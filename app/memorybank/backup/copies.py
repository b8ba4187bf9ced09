"""How far the copies of a bank's backups are, as the process that makes them tells the service."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from memorybank.backup.private import write_private

RECORD = "copies.json"
"""In the folder that the two share."""
TOLD_SECONDS = 10.0
"""How often it is written."""
_SILENT = timedelta(seconds=60)
_LATE = timedelta(minutes=5)
_LATE_WORDS = "it is late: what is new is brought there more slowly than it comes"
_NOT_RUNNING = "the process that copies the backups does not run"


class Copied(BaseModel):
    """What is known of one copy."""

    model_config = ConfigDict(frozen=True)

    name: str
    copied_at: AwareDatetime | None = None
    """What was at the first destination then is there."""
    problem: str = ""
    problem_since: AwareDatetime | None = None
    waiting_bytes: int | None = None
    """What is known to be missing there."""


class Told(BaseModel):
    """What is known of all of them."""

    model_config = ConfigDict(frozen=True)

    at: AwareDatetime
    copies: tuple[Copied, ...]

    def save(self, run_dir: Path) -> None:
        """Write it where the service finds it. Raises ConfigurationError."""
        write_private(run_dir / RECORD, self.model_dump_json())

    @classmethod
    def load(cls, run_dir: Path) -> Told | None:
        """Return what was saved last; None when nothing was."""
        try:
            return cls.model_validate_json((run_dir / RECORD).read_bytes())
        except (OSError, ValidationError):
            return None


def known(
    told: Told | None, names: Iterable[str], *, since: datetime, now: datetime
) -> Sequence[Copied]:
    """Return what is known of each copy. When its process has said nothing for a while, and not
    `since` the service began, that is a problem; and so is one that is far behind.
    """
    said = {} if told is None else {each.name: each for each in told.copies}
    last = since if told is None else max(since, told.at)
    is_silent = now - last > _SILENT
    found = []
    for name in names:
        each = said.get(name, Copied(name=name))
        at = each.copied_at
        if is_silent:
            each = _with_problem(each, _NOT_RUNNING, since=last)
        elif not each.problem and at is not None and now - at > _LATE:
            each = _with_problem(each, _LATE_WORDS, since=at)
        found.append(each)
    return found


def _with_problem(copied: Copied, problem: str, *, since: datetime) -> Copied:
    return copied.model_copy(update={"problem": problem, "problem_since": since})
