"""A model is kept answering, whatever happens to its server."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager

import httpx
import pytest

from memorybank.loading.keeper import Keeper
from memorybank.loading.ollama import OllamaModel
from memorybank.server.keeping import build_app
from tests.support.ollama_server import OllamaServer, ollama_server

PATIENCE_SECONDS = 60.0


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    with ollama_server() as running:
        yield running


@asynccontextmanager
async def keeping(server: OllamaServer) -> AsyncIterator[Keeper]:
    model = OllamaModel(server.url, "all-minilm", keep_alive="5m")
    keeper = Keeper(model, look_seconds=0.01, pauses=(0.01,))
    work = asyncio.create_task(keeper.run())
    try:
        yield keeper
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work
        await model.close()


async def until(holds: Callable[[], bool]) -> None:
    deadline = asyncio.get_running_loop().time() + PATIENCE_SECONDS
    while not holds():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.005)


async def until_it_answers(keeper: Keeper) -> None:
    await until(lambda: keeper.problem is None)


async def until_it_says(keeper: Keeper, words: str) -> None:
    await until(lambda: words in (keeper.problem or ""))


async def test_a_model_is_brought_in_and_warmed_up(server: OllamaServer) -> None:
    async with keeping(server) as keeper:
        await until_it_answers(keeper)
    assert server.models == {"all-minilm"}
    assert "all-minilm" in server.memory


async def test_a_model_that_is_there_is_not_brought_in_again(server: OllamaServer) -> None:
    server.models.add("all-minilm")
    async with keeping(server) as keeper:
        await until_it_answers(keeper)
    assert "POST /api/pull" not in server.requests
    assert "all-minilm" in server.memory, "it is warm nevertheless"


async def test_a_server_that_is_gone_is_waited_for_and_its_model_warmed_up_again(
    server: OllamaServer,
) -> None:
    async with keeping(server) as keeper:
        await until_it_answers(keeper)
        server.stop()
        await until_it_says(keeper, "cannot be reached")
        server.start()
        await until_it_answers(keeper)
        assert "all-minilm" in server.memory


async def test_a_model_that_is_lost_is_brought_in_again(server: OllamaServer) -> None:
    async with keeping(server) as keeper:
        await until_it_answers(keeper)
        server.models.clear()
        await until(lambda: keeper.problem is not None)
        await until_it_answers(keeper)
    assert server.requests.count("POST /api/pull") == 2


async def test_a_failure_is_said_and_tried_again(
    server: OllamaServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.fails["/api/pull"] = (500, "pull model manifest: no such host")
    with caplog.at_level(logging.INFO, logger="memorybank.loading"):
        async with keeping(server) as keeper:
            await until_it_says(keeper, "no such host")
            await until(lambda: server.requests.count("POST /api/pull") > 3)
            del server.fails["/api/pull"]
            await until_it_answers(keeper)
    told = [(each.levelname, each.message) for each in caplog.records]
    assert ("WARNING", "the server says: pull model manifest: no such host") in told
    assert told[-1] == ("INFO", "all-minilm answers")


async def test_probes_hear_whether_it_answers_and_what_is_done_about_it(
    server: OllamaServer,
) -> None:
    model = OllamaModel(server.url, "all-minilm", keep_alive="5m")
    keeper = Keeper(model, look_seconds=0.01, pauses=(0.01,))
    transport = httpx.ASGITransport(build_app(keeper))
    async with httpx.AsyncClient(transport=transport, base_url="http://keeper") as client:
        assert (await client.get("/live")).status_code == 200
        answer = await client.get("/ready")
        assert (answer.status_code, answer.json()["message"]) == (503, "starting")
        work = asyncio.create_task(keeper.run())
        await until_it_answers(keeper)
        answer = await client.get("/ready")
        assert (answer.status_code, answer.json()) == (200, {"status": "ready"})
        work.cancel()
    await model.close()
