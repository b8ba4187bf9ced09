"""A real server on a volume that is full, read-only or damaged, and what it says of it.

The volumes are real file systems, mounted in a user and mount namespace of the server's own.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import subprocess
from pathlib import Path

import httpx
import pytest

from tests.app.server.test_process import stored_ids
from tests.support.server_process import Server, serving, until_ready


def _namespaces_are_allowed() -> bool:
    unshare = shutil.which("unshare")
    if unshare is None:
        return False
    command = [unshare, "--user", "--map-root-user", "--mount", "true"]
    return subprocess.run(command, check=False, capture_output=True).returncode == 0


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not _namespaces_are_allowed(), reason="this system gives no namespaces to its users"
    ),
]

VOLUME_MIB = 6
TINY = {"MEMORY_BANK_EMBEDDING__PROVIDER": "builtin-tiny"}


def on(volume: Path, mount: str) -> list[str]:
    """Return a command that mounts something at a folder before it becomes another program."""
    volume.mkdir(exist_ok=True)
    script = f'set -e; volume=$1; shift; {mount}; exec "$@"'
    return [
        *("unshare", "--user", "--map-root-user", "--mount"),
        "sh",
        "-c",
        script,
        "-",
        str(volume),
    ]


def seen_by(server: Server, file: Path) -> Path:
    """Return the path to a file as the server's namespace has it."""
    return Path(f"/proc/{server.process.pid}/root{file}")


async def test_a_full_volume_refuses_writes_clearly_and_loses_nothing(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    tmpfs = f'mount -t tmpfs -o size={VOLUME_MIB}m none "$volume"'
    with serving(volume, inside=on(volume, tmpfs)) as server:
        async with server.async_client() as client:
            kept = set()
            for number in range(5):
                body = {"content": f"The door of room {number} squeaks."}
                kept.add((await client.post("/v1/memories", json=body)).json()["id"])

            ballast = seen_by(server, volume / "ballast")
            with ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
                while True:
                    file.write(b"\0" * 4_096)
            refused = None
            for number in range(50):  # the log may have room of its own left
                body = {"content": f"Note {number}: {'the lamp is out, ' * 500}"}
                answer = await client.post("/v1/memories", json=body)
                if answer.status_code != 201:
                    refused = answer
                    break
                kept.add(answer.json()["id"])
            assert refused is not None
            error = refused.json()["error"]
            assert (refused.status_code, error["code"]) == (503, "store_unavailable")
            assert "full" in error["message"]
            assert "enlarge the volume" in error["hint"]
            assert "full" in await until_ready(client, 503)

            found = await client.post("/v1/search", json={"query": "which door squeaks?"})
            assert found.json()["results"]
            assert await stored_ids(client) == kept

            ballast.unlink()
            await until_ready(client, 200)
            answer = await client.post("/v1/memories", json={"content": "There is room again."})
            assert answer.status_code == 201
            assert await stored_ids(client) == {*kept, answer.json()["id"]}


async def test_a_read_only_volume_stops_the_start_with_the_cure(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    with serving(volume):
        pass
    read_only = 'mount --bind "$volume" "$volume"; mount -o remount,bind,ro "$volume"'
    with (
        pytest.raises(RuntimeError, match="did not start") as caught,
        serving(volume, inside=on(volume, read_only)),
    ):
        pass
    said = str(caught.value)
    assert "disk that is writable" in said
    assert "Traceback" not in said


async def test_a_damaged_database_stops_the_start_and_is_left_as_it_is(
    tmp_path: Path,
) -> None:
    volume = tmp_path / "volume"
    with serving(volume) as server:
        async with server.async_client() as client:
            for number in range(20):
                body = {"content": f"Note {number}: {'the lamp is out, ' * 500}"}
                assert (await client.post("/v1/memories", json=body)).status_code == 201
        assert await asyncio.to_thread(server.stop) == 0
    database = next(volume.glob("*.db"))
    content = database.read_bytes()
    damaged = content[:4_096] + b"\xff" * (len(content) - 4_096)
    database.write_bytes(damaged)
    with pytest.raises(RuntimeError, match="did not start") as caught, serving(volume):
        pass
    said = str(caught.value)
    assert "damaged" in said
    assert "backup" in said
    assert "Traceback" not in said
    assert database.read_bytes() == damaged


@pytest.mark.parametrize("share", [(0.4, 0.5), (0.0, 1.0)], ids=["a part", "all"])
async def test_damage_under_a_running_server_is_told_and_hides_nothing(
    tmp_path: Path, share: tuple[float, float]
) -> None:
    volume = tmp_path / "volume"
    notes = [
        {"content": f"The lamp of room {number} is out.", "metadata": {"ballast": "x y z " * 2_000}}
        for number in range(300)  # more than SQLite keeps in memory
    ]
    names: list[str] = []
    with serving(volume, environ=TINY) as server:
        async with server.async_client() as client:
            for start in range(0, len(notes), 60):
                batch = {"memories": notes[start : start + 60]}
                answer = await client.post("/v1/memories:batch", json=batch)
                names += [each["id"] for each in answer.json()["results"]]
        assert await asyncio.to_thread(server.stop) == 0  # all is in the database file now
    with serving(volume, environ=TINY) as server:
        async with server.async_client() as client:
            await until_ready(client, 200)
            overwrite(next(volume.glob("*.db")), *share)
            answers = [await client.get(f"/v1/memories/{name}") for name in names]
            assert {answer.status_code for answer in answers} <= {200, 503}
            refused = [answer.json()["error"] for answer in answers if answer.status_code == 503]
            assert refused
            for error in refused:
                assert error["code"] == "store_unavailable"
                assert "damaged" in error["message"]
                assert "backup" in error["hint"]
            for number, answer in enumerate(answers):
                assert (
                    answer.status_code == 503
                    or answer.json()["metadata"] == (notes[number]["metadata"])
                )
            assert "damaged" in await until_ready(client, 503)
            checked = await client.post("/v1/admin/check")
            assert checked.status_code == 503 or checked.json()["ok"] is False
            exported = b""
            with contextlib.suppress(httpx.RemoteProtocolError):
                async with client.stream("GET", "/v1/export") as answer:
                    async for piece in answer.aiter_bytes():
                        exported += piece
            assert b'"kind":"end"' not in exported  # an export that looks whole is whole
            assert (await client.get("/live")).status_code == 200
            assert "memorybank_memories" in (await client.get(server.metrics_url)).text
        assert await asyncio.to_thread(server.stop) == 0
        assert "Traceback" not in (server.folder / "stderr").read_text()


def overwrite(database: Path, start: float, end: float) -> None:
    """Damage a share of the pages in place, the first one left out."""
    pages = database.stat().st_size // 4_096
    with database.open("r+b") as file:
        for page in range(max(1, int(pages * start)), int(pages * end)):
            file.seek(page * 4_096)
            file.write(b"\xff" * 4_096)
