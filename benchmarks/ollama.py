"""A real Ollama on the loopback interface, with the model that is built into the service."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from e2e.cluster import binaries
from e2e.cluster.apiserver import free_ports
from e2e.ollama.gguf import write_minilm

MODEL = "minilm"
_START_SECONDS = 120


@contextmanager
def ollama_server(folder: Path) -> Iterator[str]:
    """Run a server that has MODEL until the block ends; yield its URL. Its binary is built when it
    is not there, which takes minutes. Raises RuntimeError if it does not start.
    """
    folder.mkdir()
    program = binaries.ensure("ollama")
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    environ = os.environ | {"OLLAMA_HOST": url, "HOME": str(folder), "NO_PROXY": "127.0.0.1"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve"], env=environ, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + _START_SECONDS
        while not _answers(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Ollama does not start: {(folder / 'log').read_text()}")
            time.sleep(0.1)
        write_minilm(folder / "minilm.gguf")
        recipe = folder / "Modelfile"
        recipe.write_text("FROM ./minilm.gguf\n")
        subprocess.run(
            [program, "create", MODEL, "-f", recipe],
            env=environ, cwd=folder, check=True, capture_output=True,
        )  # fmt: skip
        yield url
    finally:
        process.terminate()
        process.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(f"{url}/api/version", trust_env=False).is_success
    except httpx.TransportError:
        return False
