"""Images of real servers for clusters that no registry reaches: files of this machine, laid over
the image of the memory service, which has Python.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

from e2e.cluster import paths
from e2e.cluster.console import step
from e2e.images import engines
from e2e.images.build import DIGEST_LABEL
from e2e.images.engines import Build
from e2e.stack import IMAGES, Stack, run_module

BUILT_FROM = ("Dockerfile", "run.py")


def load(stack: Stack, image: str, folder: Path, contents: Iterable[Path], *, version: str) -> str:
    """Have an image on the cluster's nodes, built by the Dockerfile and the run.py of a folder and
    from these other folders, which `version` tells from others; return its name.
    """
    engine = engines.find()
    base = f"{IMAGES[0]}:{stack.tag}"
    made_of = (engine.labels(base) or {}).get(DIGEST_LABEL, "")
    digest = _digest(made_of, version, *((folder / each).read_text() for each in BUILT_FROM))
    if (engine.labels(image) or {}).get(DIGEST_LABEL) != digest:
        log = paths.cache() / "images" / f"{folder.name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as temporary, step(f"building {image}"):
            context = Path(temporary)
            for each in contents:
                shutil.copytree(each, context / each.name, symlinks=True)
            shutil.copy(folder / "run.py", context)
            engine.build(
                Build(
                    image=image, dockerfile=folder / "Dockerfile", context=context,
                    arguments={"BASE_IMAGE": base}, labels={DIGEST_LABEL: digest},
                    secrets={}, epoch=0,
                ),
                log=log,
            )  # fmt: skip
    run_module("e2e.cluster", "load", "--name", stack.cluster, image)
    return image


def _digest(*parts: str) -> str:
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
