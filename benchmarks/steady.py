"""Requests that many banks are asked all the time, through their Services, from the node's network.

Each request is a connection of its own: one that is kept open would go on to a pod that its
Service has left, and ends when an idle server closes it, which is nobody's failure.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import httpx

from e2e.bank import Bank

FACT = "The key of the archive hangs behind the door of the boiler room."
QUESTION = "Where do I find the key to the archive?"
ANSWER_SECONDS = 30.0
"""A request that is not answered by then has failed."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request and what became of it."""

    bank: str
    part: str
    """In which part of the measurement it was sent."""
    sent: float
    """Seconds of the monotonic clock, as is the next one."""
    ended: float
    failure: str
    """What was wrong; empty for nothing."""


@dataclass
class Load:
    """What was asked so far."""

    part: str = ""
    """The part of the measurement that goes on."""
    asked: list[Asked] = field(default_factory=list)

    def of(self, part: str) -> list[Asked]:
        """Return the requests of a part, in the order of their ends."""
        return [each for each in self.asked if each.part == part]

    def longest_gap(self, part: str) -> float:
        """Return for how long a bank answered nothing in a part, at most, in seconds: from the
        first request that failed to the end of the next one that did not.
        """
        longest, since = 0.0, dict[str, float]()
        for each in self.of(part):
            if each.failure:
                longest = max(longest, each.ended - since.setdefault(each.bank, each.sent))
            elif each.bank in since:
                longest = max(longest, each.ended - since.pop(each.bank))
        return longest


@contextmanager
def asked(banks: Sequence[Bank], rate: float) -> Iterator[Load]:
    """Store FACT in each bank, then write and search all the time: `rate` requests a second."""
    load, done, ready = Load(), threading.Event(), threading.Event()

    async def work() -> None:
        limits = httpx.Limits(max_keepalive_connections=0)
        async with httpx.AsyncClient(
            timeout=ANSWER_SECONDS, limits=limits, trust_env=False
        ) as client:
            clients = [_Client(bank, client) for bank in banks]
            for each in clients:
                await each.store(FACT)
            ready.set()
            await asyncio.gather(
                *(
                    _ask(each, load, done, len(banks) / rate, number / rate)
                    for number, each in enumerate(clients)
                )
            )

    worker = threading.Thread(target=asyncio.run, args=[work()])
    worker.start()
    try:
        while not ready.wait(1):
            if not worker.is_alive():
                raise RuntimeError("a bank did not take its first memory")
        yield load
    finally:
        done.set()
        worker.join()


class _Client:
    """One bank as the node reaches it: by its Service's address and its key."""

    def __init__(self, bank: Bank, client: httpx.AsyncClient) -> None:
        service = bank.child("service") or {}
        self.name = bank.name
        self._url = f"http://{service['spec']['clusterIP']}:8080/v1"
        self._headers = {"Host": bank.host, "Authorization": f"Bearer {bank.key()}"}
        self._client = client

    async def store(self, content: str) -> None:
        """Store a memory. Raises httpx.HTTPError."""
        await self._post("memories", content=content)

    async def find(self) -> None:
        """Search for FACT. Raises httpx.HTTPError, or LookupError when it is not found."""
        answer = await self._post("search", query=QUESTION)
        if FACT not in [each["memory"]["content"] for each in answer.json()["results"]]:
            raise LookupError("the memory was not found")

    async def _post(self, path: str, **body: str) -> httpx.Response:
        answer = await self._client.post(f"{self._url}/{path}", headers=self._headers, json=body)
        return answer.raise_for_status()


async def _ask(
    client: _Client, load: Load, done: threading.Event, period: float, delay: float
) -> None:
    """Ask one bank once in a period, in seconds: to store a memory, to find one, and so on."""
    await asyncio.sleep(delay)
    number = 0
    while not done.is_set():
        part, sent, failure = load.part, time.monotonic(), ""
        number += 1
        try:
            if number % 2:
                await client.store(f"Visitor {number} was seen at the door of the archive.")
            else:
                await client.find()
        except httpx.HTTPStatusError as error:
            failure = str(error.response.status_code)
        except (httpx.HTTPError, LookupError) as error:
            failure = type(error).__name__
        load.asked.append(Asked(client.name, part, sent, time.monotonic(), failure))
        await asyncio.sleep(max(0.0, sent + period - time.monotonic()))
