"""A real `memorybank serve` on free ports of the loopback interface."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from memorybank.auth import tokens

_START_SECONDS = 300  # the first start on a machine makes the model
_STOP_SECONDS = 60

ANSWER_SECONDS = 120.0
"""How long clients of a server wait for an answer: says nothing about how quick it is."""


@dataclass
class Server:
    """A running process; its log and output are files in `folder`."""

    process: subprocess.Popen[bytes]
    folder: Path
    key: str
    listening: dict[str, Any] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """Where it answers."""
        url: str = self.listening["url"]
        return url

    @property
    def metrics_url(self) -> str:
        """Where its metrics are."""
        url: str = self.listening["metrics"]
        return url

    def client(self, key: str | None = None) -> httpx.Client:
        """Return a client with a key, the server's own unless another is given."""
        headers = {"Authorization": f"Bearer {key or self.key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=ANSWER_SECONDS)

    def async_client(self, **options: Any) -> httpx.AsyncClient:
        """Return a client with the server's own key."""
        headers = {"Authorization": f"Bearer {self.key}"}
        return httpx.AsyncClient(
            base_url=self.url, headers=headers, timeout=ANSWER_SECONDS, **options
        )

    def log(self) -> list[dict[str, Any]]:
        """Return the lines that are complete."""
        complete, _, _ = (self.folder / "stderr").read_bytes().rpartition(b"\n")
        return [json.loads(line) for line in complete.splitlines() if line.endswith(b"}")]

    def output(self) -> str:
        """Return what it printed."""
        return (self.folder / "stdout").read_text()

    def resident_mib(self) -> float:
        """Return the resident memory."""
        return resident_mib(self.process.pid)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal and return the exit code."""
        self.process.send_signal(number)
        return self.process.wait(_STOP_SECONDS)


@contextmanager
def serving(
    data: Path,
    *arguments: str,
    key: str | None = None,
    environ: dict[str, str] | None = None,
    inside: Sequence[str] = (),
) -> Iterator[Server]:
    """Run a server on a data folder until the block ends; the key of a bank is the same each time.

    Pass `key=""` to configure none. `inside` is a command that replaces itself by the server.
    """
    folder = data.with_name(f"{data.name}.logs")
    folder.mkdir(exist_ok=True)
    known = folder / "key"
    if key is None:
        key = known.read_text() if known.exists() else tokens.generate()
        known.write_text(key)
    clean = {name: value for name, value in os.environ.items() if "MEMORY_BANK" not in name}
    command = [*inside, sys.executable, "-m", "memorybank", "serve", "--data", str(data)]
    command += ["--port", "0", "--metrics-port", "0", "--log-format", "json", *arguments]
    with (folder / "stdout").open("wb") as stdout, (folder / "stderr").open("wb") as stderr:
        process = subprocess.Popen(  # noqa: S603  # our own program
            command,
            stdout=stdout,
            stderr=stderr,
            env=clean | ({"MEMORY_BANK_ADMIN_KEY": key} if key else {}) | (environ or {}),
        )
    server = Server(process, folder, key)
    try:
        server.listening = _wait_until_listening(server)
        yield server
    finally:
        process.kill()
        process.wait()


def resident_mib(process: int) -> float:
    """Return the resident memory of a process."""
    return _memory_mib(process, "VmRSS:")


def most_resident_mib(process: int) -> float:
    """Return the most that was resident of it. What the system tells of ended children, ru_maxrss,
    begins with what their parent had.
    """
    return _memory_mib(process, "VmHWM:")


def _memory_mib(process: int, field: str) -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith(field):
            return int(line.split()[1]) / 1024
    raise LookupError("the process is gone")


async def until_ready(client: httpx.AsyncClient, status: int = 200) -> str:
    """Wait until /ready, which looks once in a while, answers so; return what it says.

    Once it may say 503 of a machine that is busy: it gives its own test five seconds.
    """
    async with asyncio.timeout(ANSWER_SECONDS):
        while True:
            answer = await client.get("/ready")
            if answer.status_code == status:
                return answer.text
            await asyncio.sleep(0.1)


def _wait_until_listening(server: Server) -> dict[str, Any]:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        for line in server.log():
            if line["message"] == "listening":
                return line
        if server.process.poll() is not None:
            break
        time.sleep(0.02)
    raise RuntimeError(f"the server did not start:\n{(server.folder / 'stderr').read_text()}")
