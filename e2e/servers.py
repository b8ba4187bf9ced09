"""Images of real servers for clusters that no registry reaches: files of this machine, laid over
the image of the memory service, which has Python.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from e2e.cluster import binaries, paths
from e2e.cluster.console import step
from e2e.images import engines
from e2e.images.build import DIGEST_LABEL
from e2e.images.engines import Build
from e2e.stack import IMAGES, Stack, run_module

BUILT = Path(__file__).parent / "program.Dockerfile"


def load(
    stack: Stack, image: str, dockerfile: Path, *, made_of: str, fill: Callable[[Path], None]
) -> str:
    """Have an image on the cluster's nodes, built by this Dockerfile from what `fill` puts into a
    folder, which `made_of` tells from anything else; return its name.
    """
    engine = engines.find()
    base = f"{IMAGES[0]}:{stack.tag}"
    below = (engine.labels(base) or {}).get(DIGEST_LABEL, "")
    digest = _digest(below, made_of, dockerfile.read_text())
    if (engine.labels(image) or {}).get(DIGEST_LABEL) != digest:
        log = paths.cache() / "images" / f"{image.partition('/')[2].partition(':')[0]}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder, step(f"building {image}"):
            context = Path(folder)
            fill(context)
            engine.build(
                Build(
                    image=image, dockerfile=dockerfile, context=context,
                    arguments={"BASE_IMAGE": base}, labels={DIGEST_LABEL: digest},
                    secrets={}, epoch=0,
                ),
                log=log,
            )  # fmt: skip
    run_module("e2e.cluster", "load", "--name", stack.cluster, image)
    return image


def load_program(
    stack: Stack, image: str, folder: Path, contents: Iterable[Path], *, version: str
) -> str:
    """Do so by the Dockerfile and the run.py of a folder, from these other folders, which `version`
    tells from others.
    """
    run = folder / "run.py"

    def fill(context: Path) -> None:
        for each in contents:
            shutil.copytree(each, context / each.name, symlinks=True)
        shutil.copy(run, context)

    made_of = f"{version}\0{run.read_text()}"
    return load(stack, image, folder / "Dockerfile", made_of=made_of, fill=fill)


def load_built(stack: Stack, name: str) -> str:
    """Do so with one of the programs that are built from Go modules."""
    program = binaries.ensure(name)

    def fill(context: Path) -> None:
        shutil.copy(program, context / "program")

    key = program.parent.name.removeprefix(f"{name}-")
    return load(stack, f"localhost/{name}:{key}", BUILT, made_of=key, fill=fill)


def filled(manifest: Path, **words: str) -> str:
    """Return a manifest with something in the place of each of these words."""
    text = manifest.read_text()
    for word, value in words.items():
        text = text.replace(word, value)
    return text


def _digest(*parts: str) -> str:
    """Name what an image is made from."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
