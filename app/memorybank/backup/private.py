"""Files that hold what nobody else may read."""

from __future__ import annotations

import os
from pathlib import Path

from memorybank.errors import ConfigurationError


def write_private(file: Path, text: str) -> None:
    """Write a file that only this user can read, as a whole. Raises ConfigurationError."""
    beside = file.with_name(f".{file.name}.new")
    try:
        file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        beside.unlink(missing_ok=True)
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as new:
            new.write(text)
        beside.replace(file)
    except OSError as error:
        raise ConfigurationError(
            f"{file} cannot be written: {error.strerror}",
            field="backup.run_dir",
            hint="name a folder that is writable for the user that the service runs as",
        ) from None
