"""What the builders build from: everything is decided before them."""

from __future__ import annotations

from dataclasses import dataclass

from memorybank_operator.api.v1alpha1.memorybank import MemoryBank


@dataclass(frozen=True, slots=True)
class RenderSettings:
    """The operator's settings that show in a bank's objects."""

    app_image: str
    """Image of banks that name none themselves."""
    cluster_domain: str
    """DNS domain of the cluster."""


@dataclass(frozen=True, slots=True)
class BuildContext:
    """One bank and what was decided about it."""

    bank: MemoryBank
    settings: RenderSettings
    admin_key: str | None
    """The key that goes into the Secret and opens the bank; None while there is none."""
    volume_size: str | None
    """What the volume claim asks for: the spec's size, or more where the volume has more; None
    while no volume can be had.
    """
    secrets: str | None = ""
    """Fingerprint of the Secrets that the spec names for the service; empty when it names none,
    None while one of them cannot be used.
    """
