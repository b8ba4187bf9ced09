"""The memory service's config.yaml: a typed model written as YAML, never a text template.

The service defines what it reads in memorybank.settings; tests/contract loads what is written here
there.
"""

from __future__ import annotations

from functools import lru_cache

import yaml
from pydantic import BaseModel, ConfigDict

from memorybank_operator.api.v1alpha1.memorybank import MemoryBank


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Embedding(_Section):
    """What turns texts into vectors."""

    provider: str = "builtin"


class Security(_Section):
    """Which Host headers are answered."""

    allowed_hosts: tuple[str, ...]


class Limits(_Section):
    """What a client may ask for."""

    max_body_bytes: int


class Logging(_Section):
    """What is logged."""

    level: str
    format: str


class AppConfig(_Section):
    """The file as a whole."""

    environment: str = "production"
    embedding: Embedding = Embedding()
    security: Security
    limits: Limits
    logging: Logging


def app_config(bank: MemoryBank, *, hosts: tuple[str, ...]) -> AppConfig:
    """Return the configuration of a bank that is addressed by any of these host names."""
    spec = bank.spec
    return AppConfig(
        security=Security(allowed_hosts=hosts),
        limits=Limits(max_body_bytes=spec.limits.max_body_bytes),
        logging=Logging(level=spec.logging.level, format=spec.logging.format),
    )


@lru_cache(maxsize=1024)  # writing YAML takes longer than the rest of a plan, and seldom changes
def render(config: AppConfig) -> str:
    """Return the content of config.yaml."""
    return yaml.safe_dump(config.model_dump(mode="json"), sort_keys=False)
