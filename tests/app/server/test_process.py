"""`memorybank serve` as a real process: start, stop under load, kill, restart, refuse."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import signal
from pathlib import Path
from typing import Any

import httpx
import httpx2
import pytest
from mcp import Client
from mcp.client.streamable_http import streamable_http_client

from memorybank.auth import tokens
from tests.support.server_process import ANSWER_SECONDS, Server, serving, until_ready

pytestmark = pytest.mark.slow

QUICK = {"MEMORY_BANK_SERVER__DRAIN_SECONDS": "0"}

IDLE_MIB = 195
"""What an idle bank may take, with everything loaded. The goal is 180, which it missed by some
MiB when kinds of work joined: docs/benchmarks.md.
"""


async def stored_ids(client: httpx.AsyncClient) -> set[str]:
    ids: set[str] = set()
    cursor: dict[str, str] = {}
    while True:
        page = (await client.get("/v1/memories", params={"limit": 200, **cursor})).json()
        ids |= {memory["id"] for memory in page["memories"]}
        if page["next_cursor"] is None:
            assert len(ids) == page["total"]
            return ids
        cursor = {"cursor": page["next_cursor"]}


class Load:
    """Stores memories as fast as the server takes them, and notes what was acknowledged."""

    def __init__(self, server: Server, workers: int = 4) -> None:
        self.acknowledged: set[str] = set()
        self.enough = asyncio.Event()
        self.statuses: set[int] = set()
        self._server = server
        self._workers = workers

    async def run(self, enough: int) -> None:
        """Run until the server is gone; `enough` is set after that many memories."""
        await asyncio.gather(*(self._work(number, enough) for number in range(self._workers)))

    async def _work(self, number: int, enough: int) -> None:
        async with self._server.async_client() as client:
            while True:
                body = {"content": f"memory {len(self.acknowledged)} of worker {number}"}
                try:
                    answer = await client.post("/v1/memories", json=body)
                except httpx.TransportError:
                    return
                self.statuses.add(answer.status_code)
                if answer.status_code == 201:
                    self.acknowledged.add(answer.json()["id"])
                if len(self.acknowledged) >= enough:
                    self.enough.set()


async def test_a_memory_is_found_by_other_words_and_by_an_agent(tmp_path: Path) -> None:
    with serving(tmp_path / "bank", environ=QUICK) as server:
        headers = {"Authorization": f"Bearer {server.key}"}
        fact = "Deploys to production are frozen every Friday afternoon."
        other = "The coffee machine on the second floor needs new filters."
        async with server.async_client() as client:
            for content in (fact, other):
                assert (await client.post("/v1/memories", json={"content": content})).is_success
        async with (
            httpx2.AsyncClient(headers=headers, timeout=ANSWER_SECONDS) as http,
            Client(streamable_http_client(f"{server.url}/mcp", http_client=http)) as agent,
        ):
            question = "When should we not release new versions?"
            answer = await agent.call_tool("recall", {"query": question, "limit": 1})
        (result,) = answer.structured_content["results"]
        assert result["memory"]["content"] == fact


async def test_the_idle_process_is_small(tmp_path: Path) -> None:
    with serving(tmp_path / "bank") as server:
        async with server.async_client() as client:
            await until_ready(client)
            assert (await client.get(server.metrics_url)).status_code == 200
            # Answered when all is loaded; then the process gives back what loading took.
            listing = {"jsonrpc": "2.0", "id": 1, "method": "tools/list"}
            headers = {"Accept": "application/json, text/event-stream"}
            assert (await client.post("/mcp", json=listing, headers=headers)).status_code == 200
        async with asyncio.timeout(ANSWER_SECONDS):
            while server.resident_mib() > IDLE_MIB:  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(0.05)


async def test_a_stop_under_load_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with serving(tmp_path / "bank") as server:
        load = Load(server)
        running = asyncio.create_task(load.run(enough=30))
        await asyncio.wait_for(load.enough.wait(), 300)
        assert await asyncio.to_thread(server.stop) == 0
        await running
        assert load.statuses == {201}  # in-flight requests were finished, none was turned away
        messages = [line["message"] for line in server.log()]
        assert messages[-2:] == ["stopping", "stopped"] or messages[-1] == "stopped"
        assert not any(line["level"] in ("warning", "error") for line in server.log())
    with serving(tmp_path / "bank", environ=QUICK) as server:
        async with server.async_client() as client:
            assert await stored_ids(client) >= load.acknowledged


async def test_a_kill_under_load_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    with serving(tmp_path / "bank") as server:
        load = Load(server)
        running = asyncio.create_task(load.run(enough=30))
        await asyncio.wait_for(load.enough.wait(), 300)
        await asyncio.to_thread(server.stop, signal.SIGKILL)
        await running
    with serving(tmp_path / "bank", environ=QUICK) as server:
        async with server.async_client() as client:
            assert await stored_ids(client) >= load.acknowledged
            found = await client.post("/v1/search", json={"query": "memory of worker", "limit": 5})
            assert len(found.json()["results"]) == 5
            await until_ready(client)


async def test_a_stopping_server_is_unready_first_and_finishes_what_it_began(
    tmp_path: Path,
) -> None:
    with serving(tmp_path / "bank", environ={"MEMORY_BANK_SERVER__DRAIN_SECONDS": "300"}) as server:
        async with server.async_client() as client:
            await until_ready(client)
            began, body_may_end = asyncio.Event(), asyncio.Event()

            async def slow_body() -> Any:
                yield b'{"content": "began before the stop"'
                began.set()
                await body_may_end.wait()
                yield b"}"

            headers = {"Content-Type": "application/json"}
            slow = asyncio.create_task(
                client.post("/v1/memories", content=slow_body(), headers=headers)
            )
            await began.wait()
            server.process.send_signal(signal.SIGTERM)
            async with asyncio.timeout(120):
                while (await client.get("/ready")).status_code != 503:
                    pass
            # Unready, and still serving, also on new connections.
            async with server.async_client() as late:
                assert (await late.get("/v1/memories")).status_code == 200
            body_may_end.set()
            assert (await slow).status_code == 201
        assert await asyncio.to_thread(server.stop) == 0  # the second signal ends the waiting


def test_a_made_key_is_printed_once(tmp_path: Path) -> None:
    with serving(tmp_path / "bank", key="", environ=QUICK) as server:
        lines = server.output().splitlines()
        assert len(lines) == 2
        assert "shown only now" in lines[0]
        made = lines[1]
        assert tokens.is_well_formed(made)
        assert made not in (server.folder / "stderr").read_text()
        with server.client(made) as client:
            assert client.get("/v1/memories").status_code == 200
        assert server.stop() == 0
    with serving(tmp_path / "bank", key="", environ=QUICK) as server:
        assert server.output() == ""
        with server.client(made) as client:
            assert client.get("/v1/memories").status_code == 200
        assert server.stop(signal.SIGINT) == 0


def test_a_given_key_replaces_the_one_before_and_is_never_shown(tmp_path: Path) -> None:
    first, second = tokens.generate(), tokens.generate()
    for key in (first, second):
        with serving(tmp_path / "bank", key=key, environ=QUICK) as server:
            for tried in (first, second):
                with server.client(tried) as client:
                    status = client.get("/v1/memories").status_code
                assert status == (200 if tried == key else 401)
            assert server.stop() == 0
            assert server.output() == ""
            assert "mb_" not in (server.folder / "stderr").read_text()


@pytest.mark.parametrize("key", ["the bank's", "mb_" + "x" * 43])
def test_a_simple_client_that_sends_far_too_much_sees_why_it_is_refused(
    tmp_path: Path, key: str
) -> None:
    with serving(tmp_path / "bank", environ=QUICK) as server:
        known = not key.startswith("mb_")
        client = http.client.HTTPConnection(
            server.url.removeprefix("http://"), timeout=ANSWER_SECONDS
        )
        with contextlib.closing(client):
            client.request(
                "POST",
                "/v1/memories",
                body=b'{"content": "' + b"x" * 10_000_000 + b'"}',
                headers={
                    "Authorization": f"Bearer {server.key if known else key}",
                    "Content-Type": "application/json",
                    "Connection": "close",
                },
            )
            refused = client.getresponse()
            expected = (413, "body_too_large") if known else (401, "unauthenticated")
            assert (refused.status, json.load(refused)["error"]["code"]) == expected


async def test_half_a_request_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    with serving(tmp_path / "bank", environ=QUICK) as server:
        host, port = server.url.removeprefix("http://").split(":")
        writers = []
        for sent in (b"GET / HTTP/1.1\r\n", b"nonsense\r\n\r\n", b"\x00" * 100, b""):
            _reader, writer = await asyncio.open_connection(host, int(port))
            writer.write(sent)
            await writer.drain()
            writers.append(writer)
        async with server.async_client() as client:
            assert (await client.get("/live")).status_code == 200
        assert await asyncio.to_thread(server.stop) == 0
        for writer in writers:
            writer.close()
