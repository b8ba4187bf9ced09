"""SIGHUP: what changes at once, what has to wait, what is refused."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.server_process import Server, serving


def logged(server: Server, text: str, count: int) -> dict[str, Any]:
    """Wait until a message was logged so many times; return the newest."""
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        found = [line for line in server.log() if text in line["message"]]
        if len(found) >= count:
            return found[-1]
        time.sleep(0.02)
    raise AssertionError(f"not logged: {text}")


@pytest.mark.slow
def test_a_signal_applies_what_it_can_and_names_the_rest(tmp_path: Path) -> None:
    file = tmp_path / "config.yaml"
    file.write_text("logging: {level: info, format: json}\n")
    with serving(tmp_path / "bank", "--config", str(file)) as server, server.client() as client:
        body = {"content": "x" * 3_000}
        assert client.post("/v1/memories", json=body).is_success
        file.write_text("limits: {max_body_bytes: 2000}\nserver: {drain_seconds: 7}\n")
        server.process.send_signal(signal.SIGHUP)
        line = logged(server, "was reloaded", 1)
        assert line["applied"] == "limits.max_body_bytes"
        assert line["needs_restart"] == "server.drain_seconds"
        assert client.post("/v1/memories", json=body).status_code == 413
        file.write_text("limits: {max_body_bites: 9000}\n")
        server.process.send_signal(signal.SIGHUP)
        line = logged(server, "was not reloaded", 1)
        assert "limits.max_body_bites" in line["message"]
        assert "max_body_bytes" in line["message"]
        assert client.post("/v1/memories", json=body).status_code == 413
        file.write_text("")
        server.process.send_signal(signal.SIGHUP)
        logged(server, "was reloaded", 2)
        assert client.post("/v1/memories", json=body).is_success
