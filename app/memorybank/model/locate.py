"""Where the built-in model is."""

from __future__ import annotations

import os
from pathlib import Path

from memorybank.errors import ConfigurationError
from memorybank.model import weights
from memorybank.model.manifest import MANIFEST_FILE, MODEL_NAME, PREPARE_HINT
from memorybank.model.prepare import Progress, prepare

MODEL_DIR_VARIABLE = "MEMORY_BANK_MODEL_DIR"


def locate(configured: Path | None, progress: Progress) -> Path:
    """Return the folder of the built-in model.

    In this order: the folder that is configured, or named by MEMORY_BANK_MODEL_DIR, as it is; the
    user's cache; made into the user's cache, where the extra `model` is installed. Raises
    ConfigurationError that names the one command to run when there is none.
    """
    explicit = configured or _from_environment()
    if explicit is not None:
        return explicit
    cached = cache_folder()
    if weights.installed() is not None:
        prepare(cached, progress)
    elif not (cached / MANIFEST_FILE).exists():
        raise ConfigurationError(
            "the built-in embedding model is not on this machine",
            field="model_dir",
            hint=PREPARE_HINT,
        )
    return cached


def cache_folder() -> Path:
    """Return the user's folder for this model, there or not."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    name = f"{MODEL_NAME}-{weights.WEIGHTS_SHA256[:8]}"
    return Path(base) / "memorybank" / "models" / name


def _from_environment() -> Path | None:
    named = os.environ.get(MODEL_DIR_VARIABLE)
    return Path(named) if named else None
