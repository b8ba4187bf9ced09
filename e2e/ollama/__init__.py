"""Images of a real Ollama and of a small real model for it, for clusters that no registry reaches:
Ollama as it is built from its Go module, on the image of the memory service, with the same command
as the official image; the model as a GGUF file beside the command that copies it.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from e2e import servers
from e2e.cluster import binaries, paths
from e2e.ollama.gguf import write_minilm
from e2e.stack import Stack

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

    dockerfile = FOLDER / "Dockerfile"
    return servers.load(stack, SERVER, dockerfile, made_of=program.parent.name, fill=fill)


def load_model(stack: Stack) -> str:
    """Have the image with the model's file there, at MODEL_PATH; return its name."""

    def fill(context: Path) -> None:
        write_minilm(context / Path(MODEL_PATH).name)

    made_of = (FOLDER / "gguf.py").read_text()
    return servers.load(stack, MODEL, FOLDER / "Dockerfile.model", made_of=made_of, fill=fill)
