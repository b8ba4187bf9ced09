"""Images of a real Ollama and of a small real model for it, for clusters that no registry reaches:
Ollama as it is built from its Go module, on the image of the memory service, with the same command
as the official image; the model as a GGUF file beside the command that copies it.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

from e2e.cluster import binaries, paths
from e2e.cluster.console import step
from e2e.images import engines
from e2e.images.build import DIGEST_LABEL
from e2e.images.engines import Build
from e2e.ollama.gguf import write_minilm
from e2e.stack import IMAGES, Stack, run_module

FOLDER = Path(__file__).parent
VERSION = binaries.pinned_version(paths.MODULES / "ollama", "github.com/ollama/ollama")
SERVER = f"localhost/ollama:{VERSION.removeprefix('v')}"
MODEL = "localhost/minilm-gguf:1"
MODEL_PATH = "/models/minilm-f16.gguf"


def load_ollama(stack: Stack) -> str:
    """Have the server's image on the cluster's nodes; return its name."""
    program = binaries.ensure("ollama")

    def fill(context: Path) -> None:
        shutil.copy(program, context / "ollama")

    return _load(stack, SERVER, "Dockerfile", parts=program.parent.name, fill=fill)


def load_model(stack: Stack) -> str:
    """Have the image with the model's file there, at MODEL_PATH; return its name."""

    def fill(context: Path) -> None:
        write_minilm(context / Path(MODEL_PATH).name)

    parts = (FOLDER / "gguf.py").read_text()
    return _load(stack, MODEL, "Dockerfile.model", parts=parts, fill=fill)


def _load(
    stack: Stack, image: str, dockerfile: str, *, parts: str, fill: Callable[[Path], None]
) -> str:
    engine = engines.find()
    base = f"{IMAGES[0]}:{stack.tag}"
    below = (engine.labels(base) or {}).get(DIGEST_LABEL, "")
    digest = _digest(below, parts, (FOLDER / dockerfile).read_text())
    if (engine.labels(image) or {}).get(DIGEST_LABEL) != digest:
        log = paths.cache() / "images" / f"{image.partition('/')[2].partition(':')[0]}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as folder, step(f"building {image}"):
            context = Path(folder)
            fill(context)
            engine.build(
                Build(
                    image=image, dockerfile=FOLDER / dockerfile, context=context,
                    arguments={"BASE_IMAGE": base}, labels={DIGEST_LABEL: digest},
                    secrets={}, epoch=0,
                ),
                log=log,
            )  # fmt: skip
    run_module("e2e.cluster", "load", "--name", stack.cluster, image)
    return image


def _digest(*parts: str) -> str:
    """Name what an image is made from."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()
