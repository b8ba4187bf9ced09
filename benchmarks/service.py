"""The memory service's figures through HTTP, embedding included, with the real model.

    python -m benchmarks.service [--memories 10000] [--samples 500] [--clients 16]
                                 [--tenants 0] [--tenant-memories 100]

Starts `memorybank serve` as a process, loads it with varied texts made from templates (seeded, so
every run stores the same), and prints one table, goals beside figures. Clients are lean: one kept
connection each, the standard library's http.client, in processes of their own, so that what is
measured is the service and not the client's own interpreter. No text and no question is sent twice,
unless the row says so: the service remembers the vectors of texts that it has seen.

`--tenants` measures so many tenants with `--tenant-memories` memories each instead of one bank.
"""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import multiprocessing
import os
import random
import socket
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from statistics import quantiles
from typing import Any
from urllib.parse import urlsplit

from tests.support.server_process import Server, serving

_SEED = 20_260_728

_ACTORS = [
    "Anna",
    "Bertil",
    "Chen",
    "Dora",
    "Emre",
    "Farid",
    "Grace",
    "Hugo",
    "Ines",
    "Jonas",
    "Kim",
    "Lena",
    "Mats",
    "Nora",
]
_SYSTEMS = [
    "the billing service",
    "the search cluster",
    "the mobile app",
    "the nightly import",
    "the login page",
    "the recommendation job",
    "the staging database",
    "the message queue",
    "the image resizer",
    "the reporting dashboard",
    "the payment gateway",
    "the DNS zone",
    "the feature flags",
    "the audit log",
]
_EVENTS = [
    "fails with a timeout after {n} seconds when the cache is cold",
    "was moved from version {n} to {m} and needs a new configuration file",
    "must not be deployed between {n} and {m} o'clock",
    "uses {n} connections and {m} workers, more make it slower",
    "stores dates in local time, which broke the report of week {n}",
    "got a retry with backoff of {n} milliseconds, and the errors stopped",
    "needs {n} GB of memory for {m} thousand documents",
    "is owned by the platform team since ticket {n}{m}",
]
_REASONS = [
    "because the vendor changed its certificate",
    "after the incident in the spring",
    "so that customers in Asia wait less",
    "which nobody had written down before",
    "as the load test showed",
    "until the new data centre is ready",
    "although the documentation says otherwise",
    "and the rollback takes two minutes",
]
_QUESTIONS = [
    "why does {system} fail when nothing is cached?",
    "when may we release {system}?",
    "who is responsible for {system} now?",
    "how much memory does {system} need?",
    "what fixed the errors of {system}?",
    "which time zone does {system} use?",
    "how many workers should {system} have?",
    "what did {actor} find out about {system}?",
]

_BATCH, _BATCHES = 200, 5
_SMALL = 10_000
"""Memories up to which the goals of a small bank hold."""

_SPREAD = 100
"""Tenants that are searched in turn."""


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service", description=__doc__)
    parser.add_argument("--memories", type=int, default=10_000)
    parser.add_argument("--samples", type=int, default=500)
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--tenants", type=int, default=0)
    parser.add_argument("--tenant-memories", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        with serving(Path(folder) / "bank") as server:
            started = time.monotonic() - began
            print(f"load average of the machine at the start: {os.getloadavg()[0]:.1f}")
            print("| through HTTP | goal | measured |")
            print("|---|---|---|")
            row("start -> listening, empty", "2 s", f"{started:.2f} s")
            if options.tenants:
                measure_tenants(server, options.tenants, options.tenant_memories, options.samples)
            else:
                measure_bank(server, options.memories, options.samples, options.clients)
        print(f"load average at the end: {os.getloadavg()[0]:.1f}")


def measure_bank(server: Server, memories: int, samples: int, clients: int) -> None:
    """Load one bank and time single requests."""
    first = Client(server.url, server.key)
    first.get("/ready")
    first.post("/mcp", {"jsonrpc": "2.0", "id": 1, "method": "tools/list"})  # all is loaded then
    first.close()
    row("RSS, idle", "180 MiB", f"{server.resident_mib():.0f} MiB")
    texts, questions = stories(random.Random(_SEED)), queries(random.Random(_SEED))  # noqa: S311  # no secret
    rate = load(server, list(itertools.islice(texts, memories)), clients)
    row(f"add, {clients} clients, {memories} memories", "400/s", f"{rate:.0f}/s")
    row("RSS, loaded", "400 MiB at 100,000", f"{server.resident_mib():.0f} MiB")
    me = Client(server.url, server.key)  # only now: a connection that idles for long is closed
    row("add, 1 client", "p50 8 ms", timed(samples, lambda: me.add(next(texts))))
    row(f"add, batches of {_BATCH}, 1 client", "800/s", f"{load_batches(me, texts):.0f}/s")
    goal = "5/12 ms" if memories <= _SMALL else "8/20 ms"
    row(
        f"search, 1 client, {memories} memories",
        goal,
        timed(samples, lambda: me.search(next(questions))),
    )
    again = next(questions)
    row("search, the same question again", "-", timed(samples, lambda: me.search(again)))
    rate = search_together(server, list(itertools.islice(questions, samples * 4)), clients)
    row(f"search, {clients} clients", "-", f"{rate:.0f}/s")


def measure_tenants(server: Server, tenants: int, each: int, samples: int) -> None:
    """Fill many tenants and search them in turn."""
    admin = Client(server.url, server.key)
    dice = random.Random(_SEED)  # noqa: S311  # no secret
    texts, questions = stories(dice), queries(dice)
    keys = []
    for number in range(tenants):
        tenant = f"tenant-{number}"
        admin.post("/v1/admin/tenants", {"name": tenant})
        made = admin.post("/v1/admin/keys", {"name": tenant, "role": "admin", "tenant": tenant})
        keys.append(str(made["key"]))
    began = time.monotonic()
    for key in keys:
        client = Client(server.url, key)
        for memory in itertools.islice(texts, each):
            client.add(memory)
        client.close()
    seconds = time.monotonic() - began
    row(f"add, {tenants} tenants x {each}, 1 client", "-", f"{tenants * each / seconds:.0f}/s")
    row("RSS, loaded", "-", f"{server.resident_mib():.0f} MiB")
    clients = itertools.cycle(
        [Client(server.url, key) for key in dice.sample(keys, min(tenants, _SPREAD))]
    )
    row(
        f"search, {tenants} tenants in turn",
        "5/12 ms",
        timed(samples, lambda: next(clients).search(next(questions))),
    )


class Client:
    """One kept connection."""

    def __init__(self, url: str, key: str) -> None:
        address = urlsplit(url)
        self._connection = http.client.HTTPConnection(
            address.hostname or "", address.port, timeout=60
        )
        self._connection.connect()
        self._connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._headers = {
            "Authorization": f"Bearer {key}",
            "Content-Type": "application/json",
            "Accept": "application/json, text/event-stream",
        }

    def get(self, path: str) -> Any:
        """Return the answer's value."""
        return self._exchange("GET", path, None)

    def post(self, path: str, value: object) -> Any:
        """Return the answer's value."""
        return self._exchange("POST", path, json.dumps(value).encode())

    def add(self, memory: dict[str, object]) -> None:
        """Store one memory."""
        self.post("/v1/memories", memory)

    def search(self, query: str) -> None:
        """Find the ten best."""
        answer = self.post("/v1/search", {"query": query, "limit": 10})
        if len(answer["results"]) != 10:
            raise RuntimeError("a search over a hundred memories and more must fill its limit")

    def close(self) -> None:
        """Hang up."""
        self._connection.close()

    def _exchange(self, method: str, path: str, body: bytes | None) -> Any:
        self._connection.request(method, path, body, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
        return json.loads(content)


def load(server: Server, memories: list[dict[str, object]], clients: int) -> float:
    """Store the memories by so many clients at once; return how many per second."""
    return together(server, memories, clients, Client.add)


def load_batches(client: Client, texts: Iterator[dict[str, object]]) -> float:
    """Store some batches; return how many memories per second."""
    began = time.monotonic()
    for _ in range(_BATCHES):
        memories = list(itertools.islice(texts, _BATCH))
        answer = client.post("/v1/memories:batch", {"memories": memories})
        if answer["stored"] != _BATCH:
            raise RuntimeError(f"{answer['refused']} of a batch were refused")
    return _BATCHES * _BATCH / (time.monotonic() - began)


def search_together(server: Server, questions: list[str], clients: int) -> float:
    """Ask the questions by so many clients at once; return how many per second."""
    return together(server, questions, clients, Client.search)


def together(
    server: Server, work: list[Any], clients: int, action: Callable[[Client, Any], None]
) -> float:
    """Divide the work among processes that begin at the same moment; return items per second."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(clients + 1)
    processes = [
        context.Process(
            target=_worker,
            args=(server.url, server.key, work[number::clients], action, barrier),
            daemon=True,
        )
        for number in range(clients)
    ]
    for process in processes:
        process.start()
    barrier.wait()
    began = time.monotonic()
    for process in processes:
        process.join()
        if process.exitcode != 0:
            raise RuntimeError("a client failed")
    return len(work) / (time.monotonic() - began)


def _worker(
    url: str, key: str, work: Iterable[Any], action: Callable[[Client, Any], None], barrier: Any
) -> None:
    client = Client(url, key)
    barrier.wait()
    for item in work:
        action(client, item)


def timed(samples: int, request: Callable[[], None]) -> str:
    """Say the median and the 95th percentile of the times of `samples` requests in a row."""
    times = []
    for _ in range(samples):
        began = time.perf_counter()
        request()
        times.append((time.perf_counter() - began) * 1_000)
    cuts = quantiles(times, n=100)
    return f"p50 {cuts[49]:.1f} ms, p95 {cuts[94]:.1f} ms"


def row(what: str, goal: str, measured: str) -> None:
    """Print a line of the table, as soon as it is known."""
    print(f"| {what} | {goal} | {measured} |", flush=True)


def stories(dice: random.Random) -> Iterator[dict[str, object]]:
    """Yield memories without end: one or two sentences, 15 to 40 words."""
    while True:
        system = dice.choice(_SYSTEMS)
        sentences = []
        for _ in range(dice.randint(1, 2)):
            event = dice.choice(_EVENTS).format(n=dice.randint(2, 90), m=dice.randint(2, 900))
            sentences.append(f"{dice.choice(_ACTORS)}: {system} {event} {dice.choice(_REASONS)}.")
        yield {
            "content": " ".join(sentences),
            "type": dice.choice(["note", "fact", "decision", "error_solution"]),
            "project": dice.choice(["shop", "core", "mobile"]),
            "session": f"s{dice.randint(1, 400)}",
            "tags": dice.sample(["ops", "cost", "speed", "bug", "team"], 2),
        }


def queries(dice: random.Random) -> Iterator[str]:
    """Yield questions without end, none twice."""
    for number in itertools.count(1):
        question = dice.choice(_QUESTIONS).format(
            system=dice.choice(_SYSTEMS), actor=dice.choice(_ACTORS)
        )
        yield f"{question} ticket {number}"


if __name__ == "__main__":
    main()
