"""Which image a bank runs."""

from __future__ import annotations

from memorybank_operator.api.v1alpha1.spec import Spec
from memorybank_operator.resources.context import RenderSettings


def image_of(spec: Spec, settings: RenderSettings) -> str:
    """Return the spec's image, or the operator's default, in the spec's version if it names one."""
    if spec.image is not None:
        return spec.image
    if spec.version is not None:
        return f"{_repository(settings.app_image)}:{spec.version}"
    return settings.app_image


def _repository(image: str) -> str:
    """Drop tag and digest; a colon before the last slash belongs to the registry's port."""
    without_digest, _, _ = image.partition("@")
    folder, slash, last = without_digest.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"
