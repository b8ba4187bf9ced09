"""Which configuration a pod is to run by, and what of it a running pod takes without a restart.

The service looks at its mounted files and reloads what it can; it tells by fingerprints what is in
effect. So a changed setting rolls the pod only if it is part of `restart_checksum`, and a changed
Secret never does: its value is read again wherever it is mounted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from memorybank_operator.configfiles.app_config import AppConfig
from memorybank_operator.configfiles.checksum import object_checksum, text_checksum

AT_ONCE = (
    "consolidation.",
    "cors.",
    "forgetting.",
    "limits.",
    "logging.",
    "security.allowed_hosts",
    "write_gate.",
)
"""Beginnings of the settings that a running service takes. It has the same table, in
memorybank.server.reload; tests/contract holds the two together."""
ADMIN_KEY = "admin_key_file"
"""The setting that names the file with the admin key."""


@dataclass(frozen=True, slots=True)
class Configuration:
    """The configuration and the secrets of a pod, by their fingerprints."""

    file: str
    """Of config.yaml."""
    secrets: tuple[tuple[str, str], ...]
    """Of each mounted secret, by the setting that names its file; sorted."""
    by_revision: bool = False
    """Whether the pod's revision proves it already."""

    @property
    def fingerprint(self) -> str:
        """Return one word for all of it."""
        return object_checksum([self.file, self.secrets])


def configuration_of(
    text: str, secrets: Mapping[str, str], *, by_revision: bool = False
) -> Configuration:
    """Return what a pod runs by that has this file and these fingerprints of secrets."""
    return Configuration(text_checksum(text), tuple(sorted(secrets.items())), by_revision)


def secret_checksum(setting: str, value: str) -> str:
    """Return the fingerprint by which the service tells a secret."""
    return text_checksum(f"{setting}:{value.strip()}")


@lru_cache(maxsize=1024)
def restart_checksum(config: AppConfig) -> str:
    """Return a fingerprint of the settings that a running service does not take."""
    return object_checksum(_without(config.model_dump(mode="json"), ""))


def _without(section: Mapping[str, Any], above: str) -> dict[str, Any]:
    kept = {}
    for name, value in section.items():
        path = f"{above}{name}"
        if f"{path}.".startswith(AT_ONCE):
            continue
        kept[name] = _without(value, f"{path}.") if isinstance(value, Mapping) else value
    return kept
