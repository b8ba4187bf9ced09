"""Which configuration a process runs by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True)
class ConfigurationReport:
    """What is in effect, told by fingerprints."""

    file: str | None = None
    """Of the configuration file's content; None without a file."""
    secrets: Mapping[str, str] = field(default_factory=dict)
    """Of the files that hold secrets, by the setting that names each."""
    needs_restart: tuple[str, ...] = ()
    """Settings of the file that the process does not run by yet."""
    problem: str | None = None
    """Why the newest files are not in effect; None when they are."""
    loaded_at: datetime | None = None
    """When what is in effect was read."""


class ConfigurationInEffect:
    """Holds the newest report; the process replaces it as a whole."""

    def __init__(self) -> None:
        self.report = ConfigurationReport()
