"""A bank that agents write to is moved by real processes, which are killed again and again."""

from __future__ import annotations

import asyncio
import itertools
import sys
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.repo.checkout import ROOT
from tests.support import postgres
from tests.support.server_process import ANSWER_SECONDS, Server, serving, until_ready

pytestmark = pytest.mark.slow

SEED = 20261122
KILLS = 5
"""In each direction."""
WRITERS = 3
PAUSE_SECONDS = 0.05
"""Of each writer, so that the processes that move get their part of a small machine."""
BEFORE = 50
"""Memories that there are when a move begins."""
TINY = {"MEMORY_BANK_EMBEDDING__PROVIDER": "builtin-tiny", "MEMORY_BANK_SERVER__DRAIN_SECONDS": "0"}


@pytest.fixture
def url() -> Iterator[str]:
    """The address of an empty database."""
    name = f"move-{uuid.uuid4().hex[:12]}"
    yield postgres.server().database(name)
    postgres.server().drop(name)


@dataclass
class Agents:
    """Who stores, changes and deletes memories, and knows what was acknowledged."""

    server: Server
    said: dict[str, str] = field(default_factory=dict)
    """What each memory says, by id."""
    former: dict[str, list[str]] = field(default_factory=dict)
    """What each said before, newest first."""
    links: dict[str, set[str]] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    doubtful: set[str] = field(default_factory=set)
    """Memories of which a change was not acknowledged: it may be there all the same."""
    refused: Counter[str] = field(default_factory=Counter)
    """Codes of answers to writes that were not taken."""

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[None]:
        """Write for as long as the block lasts."""
        async with self.server.async_client() as client:
            tasks = [asyncio.create_task(self._write(client, each)) for each in range(WRITERS)]
            try:
                yield
            finally:
                for task in tasks:
                    task.cancel()
                ended = await asyncio.gather(*tasks, return_exceptions=True)
        assert not [each for each in ended if not isinstance(each, asyncio.CancelledError)]

    async def _write(self, client: httpx.AsyncClient, writer: int) -> None:
        own: list[str] = []
        for number in itertools.count():
            text = f"Writer {writer} of {self.server.url} has seen {number} ships go by."
            made = await self._ask(client, None, "POST", "/v1/memories", json={"content": text})
            await asyncio.sleep(PAUSE_SECONDS)
            if made is None:
                continue
            new = made["id"]
            self.said[new] = text
            if own:
                path = f"/v1/memories/{new}/links"
                edge = {"target": own[-1], "type": "related_to"}
                if await self._ask(client, new, "POST", path, json=edge) is not None:
                    self.links.setdefault(new, set()).add(own[-1])
            own.append(new)
            if number % 3 == 1 and len(own) > 1:
                changed = own[-2]
                again = {"content": f"{self.said[changed]} And no more."}
                path = f"/v1/memories/{changed}"
                if await self._ask(client, changed, "PATCH", path, json=again) is not None:
                    self.former.setdefault(changed, []).insert(0, self.said[changed])
                    self.said[changed] = again["content"]
            if number % 7 == 6 and len(own) > 4:
                gone = own.pop(-4)
                path = f"/v1/memories/{gone}?purge=true"
                if await self._ask(client, gone, "DELETE", path) is not None:
                    self.deleted.add(gone)

    async def _ask(
        self, client: httpx.AsyncClient, memory: str | None, method: str, path: str, **body: Any
    ) -> Any:
        """Return what was answered, None when it was not done."""
        try:
            answer = await client.request(method, path, **body)
        except asyncio.CancelledError:
            self.doubtful.add(memory or "")
            raise
        if answer.status_code < 300:
            return answer.json() if answer.content else {}
        assert answer.status_code == 503, answer.text
        self.refused[answer.json()["error"]["message"]] += 1
        return None


async def moved(direction: str, folder: Path, url: str, *, seed: int) -> None:
    """Run the command, killed at KILLS moments, then to its end."""
    file = folder.with_name("database-url")
    file.write_text(url)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.support.mover", str(seed), str(KILLS)),
        *("move", direction, "--data", str(folder), "--url-file", str(file), "--output", "json"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = (each.decode() for each in await process.communicate())
    assert process.returncode == 0, out + err
    assert postgres.PASSWORD not in out + err
    killed = [line for line in out.splitlines() if line.endswith(" -9")]
    assert len(killed) == KILLS, out


async def shown(client: httpx.AsyncClient) -> dict[str, str]:
    """Return what all memories say, by id."""
    found: dict[str, str] = {}
    cursor: str | None = None
    while True:
        query = {"limit": "100"} | ({"cursor": cursor} if cursor else {})
        page = (await client.get("/v1/memories", params=query)).json()
        found |= {each["id"]: each["content"] for each in page["memories"]}
        cursor = page["next_cursor"]
        if cursor is None:
            return found


async def require_all(server: Server, agents: Agents) -> None:
    """See that all that was acknowledged is with a server."""
    async with server.async_client() as client:
        found = await shown(client)
        sure = agents.said.keys() - agents.deleted - agents.doubtful
        lost = {each for each in sure if found.get(each) != agents.said[each]}
        assert not lost, f"{len(lost)} of {len(sure)} were lost or are not what they were"
        assert not agents.deleted & found.keys(), "what was deleted came back"
        for memory in sorted(agents.former.keys() & sure):
            told = (await client.get(f"/v1/memories/{memory}/history")).json()
            former = [each["memory"]["content"] for each in told["revisions"]]
            assert former == agents.former[memory]
        for memory in sorted(agents.links.keys() & sure):
            listed = (await client.get(f"/v1/memories/{memory}/links")).json()["links"]
            targets = {each["target"] for each in listed if each["source"] == memory}
            assert agents.links[memory] - agents.deleted - agents.doubtful <= targets


async def moved_under_writes(
    direction: str, agents: Agents, folder: Path, url: str, *, seed: int
) -> None:
    """Move the bank that agents write to, until none of them can."""
    async with agents.writing():
        async with asyncio.timeout(ANSWER_SECONDS):
            while len(agents.said) < BEFORE:  # noqa: ASYNC110  # another process cannot set an event
                await asyncio.sleep(0.02)
        before = len(agents.said)
        await moved(direction, folder, url, seed=seed)
        assert len(agents.said) > before, "writes went on meanwhile"
        async with asyncio.timeout(ANSWER_SECONDS):
            while not any("was moved" in each for each in agents.refused):  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        async with agents.server.async_client() as client:
            assert len(await shown(client)) >= len(agents.said.keys() - agents.deleted)


async def test_nothing_that_was_acknowledged_is_lost_there_or_back(
    url: str, tmp_path: Path
) -> None:
    here, back = tmp_path / "here", tmp_path / "back"
    with serving(here, environ=TINY) as server:
        first = Agents(server)
        await moved_under_writes("to-postgres", first, here, url, seed=SEED)
    environ = TINY | {
        "MEMORY_BANK_DATABASE__ENGINE": "postgres",
        "MEMORY_BANK_DATABASE__CONNECT_SECONDS": "60",
        "MEMORY_BANK_DATABASE_URL": url,
    }
    with serving(tmp_path / "there", key=server.key, environ=environ) as server:
        await require_all(server, first)
        second = Agents(server)
        await moved_under_writes("to-sqlite", second, back, url, seed=SEED + 1)
    with serving(back, key=server.key, environ=TINY) as server:
        await require_all(server, first)
        await require_all(server, second)
        async with server.async_client() as client:
            await until_ready(client)
            checked = await client.post("/v1/admin/check")
            assert checked.json()["ok"], checked.text
            verified = await client.get("/v1/admin/audit", params={"limit": "1"})
            assert verified.json()["total"] > len(first.said) + len(second.said)
