"""Headers that a Go module with C++ in it needs and does not bring along.

Go leaves folders called vendor out of modules, and Ollama's llama.cpp has its libraries in one: all
three consist of headers alone. Two are Debian packages, the third is in the sources of a package
of PyPI.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tarfile
from pathlib import Path

from e2e.cluster import packages, paths
from e2e.cluster.console import step
from e2e.cluster.errors import ClusterError

MINIAUDIO = "1.71"
_HASH = "ff51e2887bb673e2e757752b586b3dc924d59aa5fbcae9bbc45f4a111bd3262b"
_MEMBER = f"miniaudio-{MINIAUDIO}/miniaudio/miniaudio.h"
_FILES = {
    "/usr/bin/g++": "g++",
    "/usr/include/nlohmann/json.hpp": "nlohmann-json3-dev",
    "/usr/include/stb/stb_image.h": "libstb-dev",
}


def environment() -> dict[str, str]:
    """Return what tells the compiler where the headers are; fetch what is missing.

    Raises ClusterError.
    """
    packages.ensure(_FILES, purpose="building Ollama")
    found = [str(_miniaudio()), *filter(None, [os.environ.get("CPATH")])]
    return {"CPATH": os.pathsep.join(found)}


def _miniaudio() -> Path:
    folder = paths.cache() / "headers" / f"miniaudio-{MINIAUDIO}"
    with paths.locked(paths.cache() / "headers" / ".lock"):
        if folder.exists():
            return folder
        partial = folder.with_name(f".{folder.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        (partial / "miniaudio").mkdir(parents=True)
        wanted = partial / "requirements.txt"
        wanted.write_text(f"miniaudio=={MINIAUDIO} --hash=sha256:{_HASH}\n")
        pip = paths.cache() / "uv" / "bin" / "python"  # which has pip, as .venv has not
        with step(f"fetching miniaudio {MINIAUDIO}"):
            done = subprocess.run(
                [
                    pip, "-m", "pip", "download", "--quiet", "--disable-pip-version-check",
                    "--no-deps", "--no-binary", ":all:", "--require-hashes", "--dest", partial,
                    "--requirement", wanted,
                ],
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        if done.returncode:
            raise ClusterError(f"miniaudio {MINIAUDIO} cannot be fetched:\n{done.stderr.strip()}")
        with tarfile.open(partial / f"miniaudio-{MINIAUDIO}.tar.gz") as archive:
            header = archive.extractfile(_MEMBER)
            if header is None:
                raise ClusterError(f"{_MEMBER} is no file")
            (partial / "miniaudio" / "miniaudio.h").write_bytes(header.read())
        partial.rename(folder)
    return folder
