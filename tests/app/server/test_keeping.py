"""`memorybank model keep`: a process beside an Ollama server."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx
import pytest

from e2e.cluster.apiserver import free_ports
from memorybank.__main__ import main
from tests.support.ollama_server import OllamaServer, ollama_server

PATIENCE_SECONDS = 120.0


@contextmanager
def keeping(server: OllamaServer, port: int) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "memorybank", "model", "keep", "all-minilm"]
    where = ["--url", server.url, "--port", str(port)]
    with subprocess.Popen([*command, *where], stderr=subprocess.PIPE) as process:  # our own
        try:
            yield process
        finally:
            process.kill()


def answer(port: int) -> httpx.Response | None:
    try:
        return httpx.get(f"http://127.0.0.1:{port}/ready", timeout=60)
    except httpx.TransportError:
        return None


def wait_for(port: int, status: int) -> None:
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (found := answer(port)) is None or found.status_code != status:
        assert time.monotonic() < deadline, found and found.text
        time.sleep(0.05)


@pytest.mark.slow
def test_it_is_ready_while_the_model_answers_and_ends_when_it_is_told_to() -> None:
    (port,) = free_ports(1)
    with ollama_server() as server, keeping(server, port) as process:
        wait_for(port, 200)
        server.stop()
        wait_for(port, 503)
        server.start()
        wait_for(port, 200)
        process.send_signal(signal.SIGTERM)
        _, said = process.communicate(timeout=PATIENCE_SECONDS)
        assert process.returncode == 0
    assert b'"message": "all-minilm answers"' in said
    assert b"Traceback" not in said


@pytest.mark.slow
def test_a_keeper_that_is_killed_is_followed_by_another_one() -> None:
    (port,) = free_ports(1)
    with ollama_server() as server:
        with keeping(server, port):
            wait_for(port, 200)
        with keeping(server, port):
            wait_for(port, 200)
        assert server.requests.count("POST /api/pull") == 1, "the model is there"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--port", "70000"], "--port must be at most 65535"),
        (["--url", "ollama:11434"], "--url must begin with http:// or https://"),
    ],
)
def test_what_cannot_work_is_told(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["model", "keep", "m", *arguments]) == 2
    assert complaint in capsys.readouterr().err
