"""The example of two agents, as a person runs it, with a bank that is killed between them."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from examples.two_agents import MAX_TOKENS

from tests.repo.checkout import ROOT
from tests.support.server_process import Server, serving

_SHOWN = re.compile(r"^\$ .* python examples/two_agents.py\n(.*?)\n\([0-9]", re.M | re.S)
"""What the page says that the second agent is told."""

pytestmark = pytest.mark.slow


def ran(server: Server, *names: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, ROOT / "examples/two_agents.py", *names],
        env={**os.environ, "MEMORY_BANK_URL": server.url, "MEMORY_BANK_KEY": server.key},
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


def test_who_begins_anew_goes_on_after_one_call(tmp_path: Path) -> None:
    with serving(tmp_path / "bank") as bank:
        with bank.client() as others:
            for number in range(40):  # of which nobody is to hear
                new = {"type": "decision", "content": f"Paint {number}.", "project": "house"}
                others.post("/v1/memories", json=new).raise_for_status()
        done = ran(bank, "first")
        assert (done.returncode, done.stdout) == (0, ""), done.stderr
        bank.stop(signal.SIGKILL)
    with serving(tmp_path / "bank", key=bank.key) as bank:
        done = ran(bank, "second")
    assert done.returncode == 0, done.stderr
    told, _, tokens = done.stdout.rpartition("\n(")
    assert int(tokens.split()[0]) <= MAX_TOKENS
    [shown] = _SHOWN.findall((ROOT / "docs/service/handoffs.md").read_text())
    said = [line for line in told.splitlines() if not line.startswith("[")]
    assert said == [line for line in shown.splitlines() if not line.startswith("[")]


def test_an_agent_that_is_not_there_is_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "examples/two_agents.py", "third"],
        capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (
        1, "there is no agent third; use one of first, second\n"
    )  # fmt: skip
