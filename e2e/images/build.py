"""Builds an image unless the engine has one made from the same inputs."""

from __future__ import annotations

from e2e.cluster import paths
from e2e.cluster.console import say, step

from . import index
from .engines import Build, Engine
from .inputs import Inputs, git

# Where an image says what it was made from.
DIGEST_LABEL = "dev.memorybank.inputs"
PREFIX = "localhost/"
IMAGES = {"app": "memorybank-app", "operator": "memorybank-operator"}


def build(distribution: str, engine: Engine, base: str, *, tag: str, force: bool = False) -> str:
    """Have the image of a distribution; return its name. Raises ImageError.

    A killed build leaves the former image under the name, or none: engines name an image last.
    """
    inputs = Inputs(distribution)
    image = f"{PREFIX}{IMAGES[distribution]}:{tag}"
    revision = inputs.revision()
    digest = inputs.digest(base, revision)
    if not force and (engine.labels(image) or {}).get(DIGEST_LABEL) == digest:
        say(f"{image}: up to date, {engine.size(image)}")
        return image
    log = paths.cache() / "images" / f"{distribution}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    arguments = {
        "BASE_IMAGE": base,
        "VERSION": inputs.version(),
        "REVISION": revision,
        "SOURCE": source(),
    }
    with step(f"building {image} with {engine.name}"), index.secrets() as secrets:
        engine.build(
            Build(
                image=image, dockerfile=inputs.dockerfile, context=paths.ROOT, arguments=arguments,
                labels={DIGEST_LABEL: digest}, secrets=secrets, epoch=inputs.epoch(),
            ),
            log=log,
        )  # fmt: skip
    say(f"{image}: {engine.size(image)}")
    return image


def source() -> str:
    """Where the project's sources are, when the checkout came from the web. Never credentials."""
    scheme, _, rest = git("remote", "get-url", "origin").partition("://")
    return f"https://{rest.rpartition('@')[2]}" if scheme in ("http", "https") else ""
