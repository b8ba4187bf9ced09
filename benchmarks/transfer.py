"""Export and import through HTTP, with vectors in the file, by a real service.

    python -m benchmarks.transfer [--memories 20000]

Prints one table. The bank is filled by an import of made-up memories with made-up unit vectors, so
that no time goes into embedding; the second service takes the first one's export.
"""

from __future__ import annotations

import argparse
import base64
import hashlib
import json
import random
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import numpy as np

from tests.support.server_process import Server, serving

_GOAL = 5_000
_SEED = 20_261_121
_WORDS = 12_000
_TIMEOUT_SECONDS = 600


def made_up(memories: int, space: dict[str, object]) -> Iterator[bytes]:
    """Yield the lines of an export that nobody wrote."""
    dice = random.Random(_SEED)  # noqa: S311  # figures need the same texts each time
    noise = np.random.default_rng(_SEED)
    words = [f"word{number}" for number in range(_WORDS)]
    header = {"kind": "header", "format": "memory-bank", "version": 1}
    hashed = hashlib.sha256()

    def line(value: dict[str, object]) -> bytes:
        text = json.dumps(value).encode() + b"\n"
        hashed.update(text)
        return text

    yield line(header | {"tenants": ["default"], "embeddings": space})
    dimensions = int(str(space["dimensions"]))
    for number in range(memories):
        vector = noise.standard_normal(dimensions, dtype=np.float32)
        vector /= np.linalg.norm(vector)
        memory = {
            "id": f"00000000-0000-7000-8000-{number:012}",
            "tenant": "default",
            "content": " ".join(dice.choices(words, k=25)),
            "tags": ["bench", f"t{number % 50}"],
            "created_at": "2026-03-01T12:00:00Z",
            "updated_at": "2026-03-01T12:00:00Z",
        }
        encoded = base64.b64encode(vector.tobytes()).decode()
        yield line({"kind": "memory", "memory": memory, "vector": encoded})
    end = {"lines": memories + 2, "counts": {"memory": memories}, "sha256": hashed.hexdigest()}
    yield json.dumps({"kind": "end", **end}).encode() + b"\n"


def send(client: httpx.Client, file: Path, **query: bool) -> tuple[float, dict[str, int]]:
    """Import a file; return seconds and the report."""

    def pieces() -> Iterator[bytes]:
        with file.open("rb") as source:
            while piece := source.read(1 << 20):
                yield piece

    began = time.perf_counter()
    headers = {"Content-Type": "application/x-ndjson"}
    answer = client.post("/v1/import", content=pieces(), headers=headers, params=query)
    answer.raise_for_status()
    return time.perf_counter() - began, answer.json()


def fetch(client: httpx.Client, file: Path, **query: bool) -> float:
    """Export into a file; return seconds."""
    began = time.perf_counter()
    with client.stream("GET", "/v1/export", params=query) as answer, file.open("wb") as sink:
        answer.raise_for_status()
        for piece in answer.iter_bytes():
            sink.write(piece)
    return time.perf_counter() - began


def client_of(server: Server) -> httpx.Client:
    """Return a client with the admin key."""
    headers = {"Authorization": f"Bearer {server.key}"}
    return httpx.Client(base_url=server.url, headers=headers, timeout=_TIMEOUT_SECONDS)


def show(what: str, memories: int, seconds: float, more: str = "") -> None:
    """Print one row."""
    rate = memories / seconds
    verdict = "" if "gzip" in what else ("met" if rate >= _GOAL else "missed")
    print(f"| {what} | {rate:,.0f}/s | {_GOAL:,}/s | {verdict} | {more} |", flush=True)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memories", type=int, default=20_000)
    memories = parser.parse_args().memories
    print("| what | measured | goal | | |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        with serving(folder / "one") as first, client_of(first) as client:
            head = client.get("/v1/export").raise_for_status().content.splitlines()[0]
            source = folder / "source.jsonl"
            with source.open("wb") as sink:
                sink.writelines(made_up(memories, json.loads(head)["embeddings"]))
            before = first.resident_mib()
            seconds, report = send(client, source)
            assert report["added"] == memories, report  # noqa: S101  # else the figure means nothing
            show("import, searchable when answered", memories, seconds)
            seconds, report = send(client, source)
            assert report["unchanged"] == memories, report  # noqa: S101  # as above
            show("the same file again", memories, seconds)
            seconds = fetch(client, folder / "export.jsonl")
            size = (folder / "export.jsonl").stat().st_size / memories
            show("export", memories, seconds, f"{size:,.0f} bytes each")
            seconds = fetch(client, folder / "export.jsonl.gz", gzip=True)
            size = (folder / "export.jsonl.gz").stat().st_size / memories
            show("export, gzip", memories, seconds, f"{size:,.0f} bytes each")
            print(f"| resident | {before:.0f} -> {first.resident_mib():.0f} MiB | | | |")
        with serving(folder / "two") as second, client_of(second) as client:
            seconds, report = send(client, folder / "export.jsonl")
            assert report["added"] == memories, report  # noqa: S101  # as above
            show("import of that export", memories, seconds)


if __name__ == "__main__":
    main()
