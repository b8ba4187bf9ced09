"""An image of a real Chroma server for clusters that no registry reaches: the server's own library,
on the image of the memory service, with the same command as the official image.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from pathlib import Path

from e2e.cluster import paths
from e2e.cluster.console import step
from e2e.images import engines
from e2e.images.build import DIGEST_LABEL
from e2e.images.engines import Build
from e2e.stack import IMAGES, Stack, run_module
from tests.support.chroma_server import VERSION, library

FOLDER = Path(__file__).parent
IMAGE = f"localhost/chroma:{VERSION}"
BINDINGS = "chromadb_rust_bindings"


def load_chroma(stack: Stack) -> str:
    """Have the image on the cluster's nodes; return its name."""
    engine = engines.find()
    base = f"{IMAGES[0]}:{stack.tag}"
    digest = _digest((engine.labels(base) or {}).get(DIGEST_LABEL, ""))
    if (engine.labels(IMAGE) or {}).get(DIGEST_LABEL) != digest:
        log = paths.cache() / "images" / "chroma.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder, step(f"building {IMAGE}"):
            context = Path(folder)
            shutil.copytree(library() / BINDINGS, context / BINDINGS)
            shutil.copy(FOLDER / "run.py", context)
            engine.build(
                Build(
                    image=IMAGE, dockerfile=FOLDER / "Dockerfile", context=context,
                    arguments={"BASE_IMAGE": base}, labels={DIGEST_LABEL: digest},
                    secrets={}, epoch=0,
                ),
                log=log,
            )  # fmt: skip
    run_module("e2e.cluster", "load", "--name", stack.cluster, IMAGE)
    return IMAGE


def _digest(base: str) -> str:
    """Name what the image is made from."""
    parts = [base, VERSION, *((FOLDER / each).read_text() for each in ("Dockerfile", "run.py"))]
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
