"""The command itself, as a process: it starts, serves its probes, ends when told, and restarts."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest

from e2e.cluster import apiserver
from e2e.cluster.apiserver import ApiServer, free_ports
from memorybank_operator.api import crd
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.kube.connection import from_kubeconfig
from memorybank_operator.settings import PREFIX
from tests.integration.operator.conftest import define, serve_kind
from tests.integration.operator.world import CHILDREN, World, until
from tests.support.apiserver import DEFINITIONS

START_SECONDS = 300.0
CREATION_WRITES = 7
"""Six objects and a status."""
CHANGE_WRITES = 3
"""Of a changed setting: its file, the pod and the status."""


class Process:
    """An operator's process."""

    def __init__(self, process: asyncio.subprocess.Process, *, log: Path, port: int) -> None:
        self._process = process
        self._log = log
        self.url = f"http://127.0.0.1:{port}"

    def lines(self) -> list[dict[str, str]]:
        # A last line that is still being written is read the next time.
        lines, _, _ = self._log.read_text().rpartition("\n")
        return [json.loads(line) for line in lines.splitlines()]

    async def get(self, path: str) -> tuple[int, str]:
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as answer:
            return answer.status, await answer.text()

    async def is_ready(self) -> bool:
        assert self._process.returncode is None, self._log.read_text()
        with contextlib.suppress(aiohttp.ClientError):
            return (await self.get("/readyz"))[0] == 200
        return False

    async def wait(self) -> int:
        return await self._process.wait()

    def send(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    async def end(self, number: signal.Signals) -> int:
        self._process.send_signal(number)
        return await self._process.wait()


@asynccontextmanager
async def operator(
    api_server: ApiServer,
    namespaces: str,
    folder: Path,
    *,
    kubeconfig: Path | None = None,
    **settings: str,
) -> AsyncIterator[Process]:
    (port,) = free_ports(1)
    chosen = {
        "NAMESPACES": namespaces,
        "HTTP_HOST": "127.0.0.1",
        "HTTP_PORT": str(port),
        **settings,
    }
    environment = os.environ | {"KUBECONFIG": str(kubeconfig or api_server.kubeconfig)}
    log = folder / f"{port}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "memorybank_operator",
            env=environment | {PREFIX + key: value for key, value in chosen.items()},
            stderr=output,
        )  # fmt: skip
    try:
        yield Process(process, log=log, port=port)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def made(world: World) -> bool:
    return (await world.children()).keys() == CHILDREN.keys() and bool(await world.ready())


async def until_written(world: World, count: int) -> None:
    """Wait until the audit tells of so many writes: it does a moment after their effect shows."""

    async def are_told() -> bool:
        return len(world.writes()) >= count

    await until(are_told)


async def test_it_serves_its_probes_and_ends_with_0_on_sigterm(
    api_server: ApiServer, world: World, tmp_path: Path
) -> None:
    async with operator(api_server, world.namespace, tmp_path) as process:
        await until(process.is_ready, seconds=START_SECONDS)
        assert await process.get("/healthz") == (200, "ok\n")
        assert "memorybank_operator_build_info" in (await process.get("/metrics"))[1]
        await world.create()
        await until(lambda: made(world))
        async with asyncio.timeout(START_SECONDS):
            assert await process.end(signal.SIGTERM) == 0
    assert process.lines()[-1]["message"] == "stopped"
    about_the_bank = [line for line in process.lines() if "bank" in line]
    assert {(line["namespace"], line["bank"]) for line in about_the_bank} == {
        (world.namespace, "agents")
    }


async def test_killed_and_started_again_it_writes_nothing_and_goes_on_working(
    api_server: ApiServer, world: World, tmp_path: Path
) -> None:
    async with operator(api_server, world.namespace, tmp_path) as process:
        await world.create()
        await until(lambda: made(world), seconds=START_SECONDS)
        await until_written(world, CREATION_WRITES)
        await process.end(signal.SIGKILL)
    writes = world.writes()
    async with operator(api_server, world.namespace, tmp_path) as process:
        await until(process.is_ready, seconds=START_SECONDS)
        deleted = await world.delete("ConfigMap", "agents-config")

        async def is_back() -> bool:
            found = await world.get(kinds.CONFIG_MAP, "agents-config")
            return found is not None and found["metadata"]["uid"] != deleted["metadata"]["uid"]

        await until(is_back)
        await until_written(world, len(writes) + 1)
        assert await process.end(signal.SIGTERM) == 0
    assert world.writes()[len(writes) :] == ["patch configmaps agents-config"]


async def test_neither_keys_nor_tracebacks_are_in_the_log(
    api_server: ApiServer, world: World, tmp_path: Path
) -> None:
    async with operator(api_server, world.namespace, tmp_path, LOG_LEVEL="debug") as process:
        await world.create()
        await until(lambda: made(world), seconds=START_SECONDS)
        secret = await world.delete("Secret", "agents-key")
        await world.create("named-by-nobody", auth={"adminKeySecretRef": {"name": "missing"}})
        await world.client.merge(
            kinds.MEMORY_BANK, world.namespace, name="agents",
            changes={"spec": {"podLabels": {"x": "y"}}},
        )  # fmt: skip

        async def is_replaced() -> bool:
            found = await world.get("Secret", "agents-key")
            return found is not None and found["data"] != secret["data"]

        await until(is_replaced)
        new = await world.must("Secret", "agents-key")
        await process.end(signal.SIGTERM)
    log = "\n".join(line["message"] for line in process.lines())
    assert not [line for line in process.lines() if "exception" in line]
    for body in (secret, new):
        assert body["data"]["token"] not in log
    assert "mb_" not in log


@pytest.mark.parametrize(
    ("environment", "said"),
    [
        ({"MEMORYBANK_OPERATOR_WORKERS": "many"}, "MEMORYBANK_OPERATOR_WORKERS: "),
        ({"KUBECONFIG": "/nowhere"}, "kubeconfig /nowhere cannot be read"),
    ],
)
async def test_a_wrong_configuration_is_one_sentence_and_2(
    environment: dict[str, str], said: str
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "memorybank_operator",
        env=os.environ | environment, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, error = await process.communicate()
    assert process.returncode == 2
    assert error.decode().startswith(f"memorybank-operator: {said}")
    assert len(error.decode().splitlines()) == 1


async def test_it_waits_for_its_kind_and_ends_with_1_when_the_kind_is_removed(
    tmp_path: Path,
) -> None:
    # A server of its own: the others need the kind.
    with apiserver.api_server() as own:
        connection = from_kubeconfig(own.kubeconfig)
        async with (
            connection.session() as session,
            operator(own, "", tmp_path) as process,
        ):

            async def is_waiting() -> bool:
                return any("not installed yet" in line["message"] for line in process.lines())

            await until(is_waiting, seconds=START_SECONDS)
            assert (await process.get("/readyz"))[0] == 503
            assert (await process.get("/healthz"))[0] == 200
            await define(connection, crd.build_all())
            await until(process.is_ready, seconds=START_SECONDS)
            async with session.delete(f"{connection.server}{DEFINITIONS}/{crd.NAME}") as removed:
                assert removed.status == 200
            async with asyncio.timeout(START_SECONDS):
                assert await process.wait() == 1
    assert process.lines()[-1]["message"] == (
        "memorybanks: the API server does not serve this any more"
    )
    assert not [line for line in process.lines() if "exception" in line], "a traceback"


async def test_an_api_server_that_crashes_and_comes_back_is_followed_without_a_restart(
    tmp_path: Path,
) -> None:
    # Commands of another thread would end with it.
    with apiserver.api_server() as own:
        connection = from_kubeconfig(own.kubeconfig)
        async with connection.session() as session, operator(own, "", tmp_path) as process:
            session.headers["User-Agent"] = "somebody"
            client = KubeClient(session, connection.server, field_manager="somebody")
            await serve_kind(client, connection)
            await until(process.is_ready, seconds=START_SECONDS)
            world = World(client, connection, namespace="default", audit_log=own.audit_log)
            await world.create()
            await until(lambda: made(world), seconds=START_SECONDS)
            await until_written(world, CREATION_WRITES)
            written = len(world.writes())

            own.crash_and_restart()

            async def is_changed() -> bool:
                with contextlib.suppress(errors.Unreachable):  # our own connections died as well
                    await world.change(lifecycle={"drainSeconds": 7})
                    return True
                return False

            await until(is_changed)

            async def is_followed() -> bool:
                return bool(await world.ready())

            await until(is_followed, seconds=START_SECONDS)
            await until(process.is_ready, seconds=START_SECONDS)
            await until_written(world, written + CHANGE_WRITES)
            assert (await process.get("/healthz"))[0] == 200
            writes = Counter(world.writes()[written:])
            # What the change is about, and nothing because of the crash but that it may be told.
            assert writes.pop("patch memorybanks/status agents") <= 2
            assert writes == {"patch configmaps agents-config": 1, "patch deployments agents": 1}
    assert not [line for line in process.lines() if "exception" in line], "a traceback"
