"""The service as app/deploy runs it: by systemd's unit, and by the compose file."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from memorybank.auth import tokens
from tests.repo.checkout import ROOT
from tests.support.server_process import serving, until_ready

pytestmark = pytest.mark.slow

UNIT = ROOT / "app/deploy/memorybank.service"
COMPOSE = ROOT / "app/deploy/compose.yaml"
PROGRAM = "/opt/memorybank/bin/memorybank"


def settings() -> dict[str, list[str]]:
    """The lines of the unit, by their names."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^([A-Z]\w+)=(.*)$", UNIT.read_text(), re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def variables(credentials: Path, cache: Path) -> dict[str, str]:
    """The environment that the unit makes."""
    [line] = settings()["Environment"]
    filled = line.replace("%d", str(credentials)).replace("%C", str(cache))
    return dict(each.split("=", 1) for each in shlex.split(filled))


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not installed")
def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    unit = tmp_path / UNIT.name
    unit.write_text(UNIT.read_text().replace(PROGRAM, sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],  # noqa: S607
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert UNIT.name not in done.stderr, done.stderr


async def test_the_unit_starts_a_bank_that_takes_its_key_from_a_credential(tmp_path: Path) -> None:
    [start] = settings()["ExecStart"]
    program, command, *arguments = shlex.split(start)
    assert (program, command) == (PROGRAM, "serve")
    data = tmp_path / "state"
    assert arguments[:2] == ["--data", "${STATE_DIRECTORY}"]
    (tmp_path / "admin-key").write_text(key := tokens.generate())
    # The model is in the cache of whoever runs the tests.
    environment = variables(tmp_path, tmp_path) | {"XDG_CACHE_HOME": ""}
    with serving(data, *arguments[2:], key="", environ=environment) as server:
        server.key = key
        async with server.async_client() as client:
            await until_ready(client)
            stored = await client.post("/v1/memories", json={"content": "Kept by systemd."})
            assert stored.status_code == 201, stored.text
        assert key not in server.output()
        assert server.stop() == 0


def test_a_wrong_setting_ends_by_the_code_that_the_unit_does_not_start_again_for(
    tmp_path: Path,
) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "memorybank", "serve", "--data", str(tmp_path), "--port", "-1"],
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert [str(done.returncode)] == settings()["RestartPreventExitStatus"], done.stderr


def test_the_compose_file_gives_the_image_what_its_pod_has() -> None:
    service = yaml.safe_load(COMPOSE.read_text())["services"]["memorybank"]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert [each.rpartition(":")[2] for each in service["volumes"]] == ["/data"]
    assert all(each.startswith("127.0.0.1:") for each in service["ports"])
    image = (ROOT / "Dockerfile.app").read_text()
    assert f"EXPOSE {service['ports'][0].rpartition(':')[2]} " in image
    assert "/ready" in service["healthcheck"]["test"][-1]
    assert (COMPOSE.parent / service["build"]["context"]).resolve() == ROOT
