"""Large banks and many tenants through HTTP: searches, memory, start.

    python -m benchmarks.scale [--memories 100000] [--samples 300]
    python -m benchmarks.scale --tenants 1000 [--memories 100000]
    python -m benchmarks.scale --encrypted
    python -m benchmarks.scale --chroma
    python -m benchmarks.scale --ollama --memories 10000
    python -m benchmarks.scale --memories 1000000

The bank is filled by an import with vectors, since embedding as many texts would take a quarter of
an hour and change nothing of what is measured. Texts are pieces of 15 to 40 words of the
documentation topics that come with Python. Some thousand of them are embedded for real; the vector
of every text is one of those, turned by noise to a cosine of about .8, so that vectors lie in
clusters as those of real texts do. Questions are embedded by the service, none is asked twice.

With --chroma the vectors are with a real Chroma beside the service, which loses everything in the
end and is filled again. With --ollama a real Ollama embeds, with the model that is built in; it is
asked in turns with the service, which shows what a search takes beyond it.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import hashlib
import itertools
import json
import random
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from pydoc_data.topics import topics
from statistics import median
from typing import Any

import httpx
import numpy as np
import numpy.typing as npt

from benchmarks.ollama import MODEL, ollama_server
from benchmarks.service import Client, row, timed
from benchmarks.transfer import client_of, send
from memorybank.embedders.builtin import BuiltinEmbedder
from memorybank.model import locate
from tests.support.chroma_server import Chroma, chroma_server
from tests.support.server_process import Server, serving

_SEED = 20_261_121
_EMBEDDED = 3_000
_NOISE = 0.75
"""Length of the noise beside a vector of length 1: the cosine between both is then .8."""
_SHARES = 100
"""Values of the tag that a filtered search asks for: each memory has one of them."""
_ASKED = 64
"""Tenants that are asked in turn."""
_RECALLS = 100
_WARM_UP = 20

Matrix = npt.NDArray[np.float32]


class Texts:
    """Pieces of natural text, the same ones in every run."""

    def __init__(self) -> None:
        self._words = " ".join(topics.values()).split()
        self._dice = random.Random(_SEED)  # noqa: S311  # no secret

    def piece(self, least: int, most: int) -> str:
        """Return so many words in a row."""
        count = self._dice.randint(least, most)
        start = self._dice.randrange(len(self._words) - count)
        return " ".join(self._words[start : start + count])


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--memories", type=int, default=100_000)
    parser.add_argument("--tenants", type=int, default=1)
    parser.add_argument("--samples", type=int, default=300)
    parser.add_argument("--encrypted", action="store_true")
    parser.add_argument("--chroma", action="store_true")
    parser.add_argument("--ollama", action="store_true")
    options = parser.parse_args()
    texts = Texts()
    vectors = asyncio.run(embed_around(texts, options.memories))
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        file = folder / "bank.jsonl"
        what = f"{options.memories} memories{', encrypted' if options.encrypted else ''}"
        print(f"| {what}, {options.tenants} tenants | goal | measured |\n|---|---|---|")
        environ = _encryption(folder / "ring.json") if options.encrypted else {}
        chroma, ollama = None, None
        if options.chroma:
            chroma = stack.enter_context(chroma_server(folder / "chroma"))
            environ |= _chroma(chroma)
        if options.ollama:
            ollama = stack.enter_context(ollama_server(folder / "ollama"))
            environ |= _ollama(ollama)
        with serving(folder / "bank", environ=environ) as server, client_of(server) as admin:
            head = json.loads(admin.get("/v1/export").raise_for_status().content.splitlines()[0])
            with file.open("wb") as sink:
                sink.writelines(export(head["embeddings"], texts, vectors, options.tenants))
            seconds, report = send(admin, file, all_tenants=options.tenants > 1)
            if report["added"] != options.memories or report["refused"]:
                raise RuntimeError(f"the import went wrong: {report}")
            row("import with vectors", "5000/s", f"{options.memories / seconds:.0f}/s")
            row("RSS after it", "-", f"{server.resident_mib():.0f} MiB")
            _stop(server)
        began = time.monotonic()
        with serving(folder / "bank", environ=environ) as server, client_of(server) as admin:
            row("start -> listening", "-", f"{time.monotonic() - began:.1f} s")
            until_ready(admin)
            goal = "10 s" if options.encrypted else "5 s"
            row("start -> ready", goal, f"{time.monotonic() - began:.1f} s")
            if chroma is not None:
                _until_filled(admin)
            if ollama is not None:
                _beyond_embedding(server, ollama, texts, options.samples)
                return
            keys = [server.key] if options.tenants == 1 else _keys(admin, options.tenants)
            _measure(server, keys, texts, options)
            if options.tenants == 1:
                _recall(Client(server.url, server.key), texts, vectors)
            if chroma is not None:
                _lose(chroma, admin, options.memories)


def _chroma(server: Chroma) -> dict[str, str]:
    """Return the settings by which vectors are with a server."""
    prefix = "MEMORY_BANK_VECTOR__"
    return {f"{prefix}PROVIDER": "chroma", f"{prefix}CHROMA__URL": server.url}


def _ollama(url: str) -> dict[str, str]:
    """Return the settings by which a server embeds."""
    prefix = "MEMORY_BANK_EMBEDDING__"
    return {
        f"{prefix}PROVIDER": "ollama",
        f"{prefix}MODEL": MODEL,
        f"{prefix}OLLAMA__URL": url,
    }


def _until_filled(admin: httpx.Client) -> None:
    """Wait until Chroma has all vectors."""
    while True:
        told = admin.get("/v1/admin/status").raise_for_status().json()["index"]["vectors"]
        if told["problem"] is None and told["lag"] == told["missing"] == 0:
            return
        time.sleep(0.05)


def _lose(chroma: Chroma, admin: httpx.Client, memories: int) -> None:
    """Have Chroma lose its volume; print how fast it is filled again, from its first answer on."""
    chroma.kill()
    chroma.lose_everything()
    while admin.get("/v1/admin/status").json()["index"]["vectors"]["problem"] is None:
        admin.post("/v1/search", json={"query": "what is not there?"})
    chroma.start()
    began = time.monotonic()
    _until_filled(admin)
    row("Chroma filled again", "1000/s", f"{memories / (time.monotonic() - began):.0f}/s")


def _beyond_embedding(server: Server, ollama: str, texts: Texts, samples: int) -> None:
    """Print what a search takes, and what of that its question's vector takes."""
    client, embedder = Client(server.url, server.key), Client(ollama, "")

    def embed() -> None:
        embedder.post("/api/embed", {"model": MODEL, "input": [texts.piece(6, 10)]})

    def search() -> None:
        client.post("/v1/search", {"query": texts.piece(6, 10), "limit": 10})

    for _ in range(_WARM_UP):
        embed()
        search()
    alone: list[float] = []
    all_in_all: list[float] = []
    for _ in range(samples):
        for act, times in ((embed, alone), (search, all_in_all)):
            began = time.perf_counter()
            act()
            times.append((time.perf_counter() - began) * 1e3)
    row("a question embedded by Ollama", "-", f"p50 {median(alone):.1f} ms")
    row("search", "that + 5 ms", f"p50 {median(all_in_all):.1f} ms")


def _measure(server: Server, keys: list[str], texts: Texts, options: argparse.Namespace) -> None:
    clients = itertools.cycle([Client(server.url, key) for key in keys])
    shares = itertools.cycle(range(_SHARES))

    def ask(**filters: Any) -> None:
        body = {"query": texts.piece(6, 10), "limit": 10, **filters}
        next(clients).post("/v1/search", body)

    for _ in keys:
        ask()  # a tenant's index is built when it is asked for the first time
    goal = "15 ms" if options.chroma else _search_goal(options.memories // options.tenants)
    row("search", goal, timed(options.samples, ask))
    if options.tenants == 1:
        row(
            "search, filtered to 1 %",
            "as fast",
            timed(options.samples, lambda: ask(tags_all=[f"share-{next(shares)}"])),
        )
        row("search, words alone", "-", timed(options.samples, lambda: ask(mode="lexical")))
    row("RSS", "400 MiB", f"{server.resident_mib():.0f} MiB")


def _search_goal(memories: int) -> str:
    """Return the goal for p50 and p95 of a search of one tenant."""
    if memories > 100_000:
        return "30/80 ms"
    return "8/20 ms" if memories > 10_000 else "5/12 ms"


def _encryption(ring: Path) -> dict[str, str]:
    """Write a key ring; return the settings by which a bank is encrypted with it."""
    key = base64.b64encode(secrets.token_bytes(32)).decode()
    ring.write_text(json.dumps({"active": "1", "keys": {"1": key}}))
    prefix = "MEMORY_BANK_ENCRYPTION__"
    return {f"{prefix}ENABLED": "true", f"{prefix}KEY_RING_FILE": str(ring)}


def _recall(client: Client, texts: Texts, vectors: Matrix) -> None:
    """Compare the ten nearest, as the service finds them, with those of all vectors."""

    async def embedded(questions: list[str]) -> Matrix:
        embedder = await BuiltinEmbedder.open(locate(None, print))
        try:
            return await embedder.embed(questions)
        finally:
            await embedder.close()

    questions = [texts.piece(6, 10) for _ in range(_RECALLS)]
    found = 0
    for question, vector in zip(questions, asyncio.run(embedded(questions)), strict=True):
        nearest = {memory_id(int(place)) for place in np.argsort(vectors @ vector)[-10:]}
        answer = client.post("/v1/search", {"query": question, "limit": 10, "mode": "vector"})
        found += len(nearest & {each["memory"]["id"] for each in answer["results"]})
    row("vector recall@10 against brute force", "0.99", f"{found / 10 / _RECALLS:.3f}")


async def embed_around(texts: Texts, count: int) -> Matrix:
    """Return unit vectors around those of some thousand texts."""
    embedder = await BuiltinEmbedder.open(locate(None, print))
    real: Matrix = await embedder.embed([texts.piece(15, 40) for _ in range(min(_EMBEDDED, count))])
    await embedder.close()
    chance = np.random.default_rng(_SEED)
    noise = chance.standard_normal((count, real.shape[1]), dtype=np.float32)
    noise *= _NOISE / np.linalg.norm(noise, axis=1, keepdims=True)
    noise += real[chance.integers(len(real), size=count)]
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    return noise


def export(
    space: dict[str, object],
    texts: Texts,
    vectors: Matrix,
    tenants: int = 1,
    says: Callable[[int], dict[str, object]] = lambda _number: {},
) -> Iterator[bytes]:
    """Yield the lines of an export of these vectors, with texts of their own, the oldest first.

    `says` gives fields of the memory of a number that it has beside the others.
    """
    names = ["default"] if tenants == 1 else [f"tenant-{number}" for number in range(tenants)]
    hashed = hashlib.sha256()

    def line(value: dict[str, object]) -> bytes:
        text = json.dumps(value).encode() + b"\n"
        hashed.update(text)
        return text

    header = {"kind": "header", "format": "memory-bank", "version": 1, "tenants": names}
    yield line(header | {"embeddings": space})
    counts = {"memory": len(vectors)}
    if tenants > 1:
        counts["tenant"] = tenants
        for name in names:
            yield line({"kind": "tenant", "name": name})
    for number, vector in enumerate(vectors):
        memory = {
            "id": memory_id(number),
            "tenant": names[number % tenants],
            "content": texts.piece(15, 40),
            "session": f"s{number // 100}",
            "tags": [f"share-{number % _SHARES}"],
            "created_at": "2026-03-01T12:00:00Z",
            "updated_at": "2026-03-01T12:00:00Z",
            **says(number),
        }
        encoded = base64.b64encode(vector.tobytes()).decode()
        yield line({"kind": "memory", "memory": memory, "vector": encoded})
    lines = len(vectors) + 2 + counts.get("tenant", 0)
    end = {"kind": "end", "lines": lines, "counts": counts, "sha256": hashed.hexdigest()}
    yield json.dumps(end).encode() + b"\n"


def memory_id(number: int) -> str:
    """Return the id of the memory of a number."""
    return f"00000000-0000-7000-8000-{number:012}"


def _keys(admin: httpx.Client, tenants: int) -> list[str]:
    keys = []
    for number in random.Random(_SEED).sample(range(tenants), min(tenants, _ASKED)):  # noqa: S311  # no secret
        wanted = {"name": "bench", "role": "readonly", "tenant": f"tenant-{number}"}
        keys.append(admin.post("/v1/admin/keys", json=wanted).raise_for_status().json()["key"])
    return keys


def until_ready(client: httpx.Client) -> None:
    """Wait until the service says that it is ready."""
    while client.get("/ready").status_code != 200:
        time.sleep(0.02)


def _stop(server: Server) -> None:
    if server.stop() != 0:
        raise RuntimeError("the service did not stop cleanly")


if __name__ == "__main__":
    main()
