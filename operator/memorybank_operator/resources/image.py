"""Which image a bank runs."""

from __future__ import annotations

from memorybank_operator.api.defaults import Defaults
from memorybank_operator.api.v1alpha1.spec import Spec
from memorybank_operator.resources.context import RenderSettings


def image_of(spec: Spec, settings: RenderSettings) -> str:
    """Return the spec's image, or the default one, in the version that the spec or the defaults
    name, from the registry that the defaults name.
    """
    if spec.image is not None:
        return spec.image
    defaults = settings.defaults
    image = with_registry(defaults.image or settings.app_image, defaults)
    version = spec.version or defaults.version
    return image if version is None else f"{_repository(image)}:{version}"


def with_registry(image: str, defaults: Defaults) -> str:
    """Return an image from the registry that the defaults name, if they name one."""
    if defaults.registry is None:
        return image
    return f"{defaults.registry}/{_without_registry(image)}"


def _without_registry(image: str) -> str:
    """Drop the registry: what is before the first slash and can be no folder."""
    first, slash, rest = image.partition("/")
    named = slash and ("." in first or ":" in first or first == "localhost")
    return rest if named else image


def _repository(image: str) -> str:
    """Drop tag and digest; a colon before the last slash belongs to the registry's port."""
    without_digest, _, _ = image.partition("@")
    folder, slash, last = without_digest.rpartition("/")
    return f"{folder}{slash}{last.partition(':')[0]}"
