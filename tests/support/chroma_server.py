"""A real Chroma server on the loopback interface, from the wheel that Chroma publishes.

The server is one library of that wheel: none of the hundred packages that Chroma's Python client
asks for is needed. It is kept outside the checkout, and never among our own dependencies.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from e2e.cluster import paths
from e2e.cluster.apiserver import free_ports

VERSION = "1.5.9"
_HASHES = (
    "cc09b3df76e5a5cb386aed2715a2eea152e3949f9e1ba93c7119505377749929",  # x86_64
    "9192d111bd662241625867962333d99369a00769a50f8b2f58cb388731274d7e",  # aarch64
)
_RUN = (
    "import sys; sys.path.insert(0, sys.argv.pop(1));"
    "from chromadb_rust_bindings import cli; cli(['chroma', *sys.argv[1:]])"
)
_START_SECONDS = 120
_STOP_SECONDS = 60


def library() -> Path:
    """Return the folder of the server; it is fetched when it is not there."""
    folder = paths.cache() / "chroma" / VERSION
    with paths.locked(paths.cache() / "chroma.lock"):
        if not folder.exists():
            partial = folder.with_name(f".{VERSION}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            hashes = " ".join(f"--hash=sha256:{each}" for each in _HASHES)
            wanted = partial / "requirements.txt"
            wanted.write_text(f"chromadb=={VERSION} {hashes}\n")
            pip = paths.cache() / "uv" / "bin" / "python"  # which has pip, as .venv has not
            subprocess.run(
                [
                    pip, "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
                    "--no-deps", "--no-compile", "--only-binary", ":all:", "--require-hashes",
                    "--target", partial, "--requirement", wanted,
                ],
                check=True,
            )  # fmt: skip
            partial.rename(folder)
    return folder


class Chroma:
    """A server that can be killed, lose what it has, and come back at the same address."""

    def __init__(self, folder: Path) -> None:
        """Nothing runs yet. The server's files and its log are in the folder."""
        self._folder = folder
        (self.port,) = free_ports(1)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return when it answers."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    sys.executable, "-c", _RUN, library(), "run", "--host", "127.0.0.1",
                    "--port", str(self.port), "--path", self._folder / "data",
                ],
                cwd=self._folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL,
                env=os.environ | {"ANONYMIZED_TELEMETRY": "False"},
            )  # fmt: skip
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "log").read_text()
            assert time.monotonic() < deadline, "Chroma does not start"
            time.sleep(0.05)

    def kill(self) -> None:
        """End it at once, as a lost machine does."""
        assert self._process is not None
        self._process.kill()
        self._process.wait(_STOP_SECONDS)
        self._process = None

    def lose_everything(self) -> None:
        """Remove its files; it must not run."""
        assert self._process is None
        shutil.rmtree(self._folder / "data", ignore_errors=True)

    def names(self) -> list[str]:
        """Return the names of its collections."""
        return sorted(each["name"] for each in self.collections())

    def collections(self) -> list[dict[str, str]]:
        """Return its collections."""
        answer = httpx.get(self.collections_url, params={"limit": 1_000}, timeout=60)
        answer.raise_for_status()
        listed: list[dict[str, str]] = answer.json()
        return listed

    @property
    def collections_url(self) -> str:
        return f"{self.url}/api/v2/tenants/default_tenant/databases/default_database/collections"

    def _answers(self) -> bool:
        try:
            return httpx.get(f"{self.url}/api/v2/healthcheck", timeout=5).status_code == 200
        except httpx.TransportError:
            return False


@contextmanager
def chroma_server(folder: Path) -> Iterator[Chroma]:
    """Run a server until the block ends."""
    server = Chroma(folder)
    server.start()
    try:
        yield server
    finally:
        if server._process is not None:
            server.kill()
