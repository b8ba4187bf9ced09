"""Embedding services that are slow, broken, wrong, or gone."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memorybank.embedders.apis import OllamaApi, OpenAiApi
from memorybank.embedders.remote import Patience, RemoteEmbedder
from memorybank.errors import ConfigurationError, EmbedderUnavailable, TextRefused
from tests.app.embedders.test_contract import opened
from tests.support.embedding_server import MODEL, EmbeddingServer, embedding_server

KEY = "sk-very-secret"


@pytest.fixture
def server() -> Iterator[EmbeddingServer]:
    with embedding_server() as running:
        yield running


def ollama(server: EmbeddingServer, *, model: str = MODEL, **options: Any) -> RemoteEmbedder:
    patience = {
        "timeout_seconds": 60.0,
        "retries": 0,
        "breaker_failures": 100,
        "breaker_seconds": 60.0,
        "caller_seconds": 60.0,
    }
    changed = {name: options.pop(name, value) for name, value in patience.items()}
    return RemoteEmbedder(
        OllamaApi(model, dimensions=None, keep_alive="5m", truncate=True),
        url=server.url,
        patience=Patience(**changed),
        dimensions=384,
        **options,
    )


async def failure(embedder: RemoteEmbedder, text: str = "private words") -> EmbedderUnavailable:
    with pytest.raises(EmbedderUnavailable) as caught:
        await embedder.embed([text])
    said = f"{caught.value.message} {caught.value.hint} {caught.value!r}"
    assert text not in said
    assert KEY not in said
    return caught.value


async def test_ollama_is_asked_with_its_options(server: EmbeddingServer) -> None:
    embedder = ollama(server)
    await embedder.embed(["a", "b"])
    assert server.requests == [
        {"model": MODEL, "input": ["a", "b"], "truncate": True, "keep_alive": "5m"}
    ]
    assert embedder.model == f"ollama/{MODEL}"


async def test_openai_gets_the_key_of_the_file_and_the_dimensions(
    server: EmbeddingServer, tmp_path: Path
) -> None:
    file = tmp_path / "key"
    file.write_text(f"{KEY}\n")
    embedder = await opened(
        tmp_path,
        provider="openai",
        model=MODEL,
        dimensions=64,
        openai={"base_url": f"{server.url}/v1/", "key_file": str(file)},
    )
    vectors = await embedder.embed(["a"])
    assert vectors.shape == (1, 64)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert server.keys == [f"Bearer {KEY}"]
    assert server.requests[0]["dimensions"] == 64
    assert embedder.model == f"openai/{MODEL}/64"


@pytest.mark.parametrize("content", [None, "", "two words", "ключ"])
async def test_a_file_without_a_key_stops_the_start(tmp_path: Path, content: str | None) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_text(content)
    with pytest.raises(ConfigurationError) as caught:
        await opened(tmp_path, provider="openai", model=MODEL, openai={"key_file": str(file)})
    assert caught.value.field == "embedding.openai.key_file"


async def test_a_request_that_fails_in_passing_is_repeated(server: EmbeddingServer) -> None:
    server.failures_left = 2
    vectors = await ollama(server, retries=2).embed(["a"])
    assert vectors.shape == (1, 384)
    assert len(server.requests) == 3
    server.failures_left = 3
    await failure(ollama(server, retries=2))


async def test_a_connection_that_is_lost_as_it_is_made_is_no_fault_of_ours(
    server: EmbeddingServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    embedder = ollama(server)

    async def without_socket(_transport: object, _request: object) -> object:
        raise AttributeError("'NoneType' object has no attribute 'getpeername'")

    with monkeypatch.context() as lost:
        lost.setattr("httpx.AsyncHTTPTransport.handle_async_request", without_socket)
        assert "lost at once" in (await failure(embedder)).message
    assert len(await embedder.embed(["a"])) == 1


async def test_a_service_that_keeps_failing_is_left_alone_and_found_again(
    server: EmbeddingServer,
) -> None:
    now = 100.0
    embedder = ollama(server, breaker_failures=3, breaker_seconds=20.0, clock=lambda: now)
    server.stop()
    for _ in range(3):
        assert "cannot be reached" in (await failure(embedder)).message
    asked = await failure(embedder)
    assert "cannot be reached" in asked.message
    assert "asked again in" in (asked.hint or "")
    server.start()
    assert "asked again in" in ((await failure(embedder)).hint or "")
    now += 20
    await embedder.embed(["a"])
    assert len(server.requests) == 1


async def test_a_service_that_hangs_is_given_up(server: EmbeddingServer) -> None:
    server.hold = threading.Event()
    try:
        error = await failure(ollama(server, timeout_seconds=0.1))
        assert "does not answer in time" in error.message
    finally:
        server.hold.set()


@pytest.mark.parametrize(
    ("status", "said"),
    [(401, "key"), (403, "key"), (404, "URL"), (500, "answered 500"), (302, "answered 302")],
)
async def test_what_is_wrong_is_said(server: EmbeddingServer, status: int, said: str) -> None:
    server.status = status
    assert said in (await failure(ollama(server, key=KEY))).message


async def test_a_missing_model_is_told_with_the_cure(server: EmbeddingServer) -> None:
    assert "ollama pull other" in (await failure(ollama(server, model="other"))).message


@pytest.mark.parametrize(
    ("keep_alive", "sent"), [("30m", "30m"), ("300ms", "300ms"), ("-1", -1), ("90", 90)]
)
def test_a_time_without_a_unit_is_a_number_to_ollama(keep_alive: str, sent: str | int) -> None:
    """A text without a unit it refuses, and with it the memory that was to be embedded."""
    api = OllamaApi(MODEL, dimensions=None, keep_alive=keep_alive, truncate=True)
    assert api.request(["a"])["keep_alive"] == sent


@pytest.mark.parametrize(
    ("model", "listed"),
    [
        ("all-minilm", "all-minilm:latest"),
        ("all-minilm:l6", "all-minilm:l6"),
        ("library/all-minilm", "all-minilm:latest"),
        ("registry.ollama.ai/library/all-minilm", "all-minilm:latest"),
        ("models.example:5000/team/Embed", "models.example:5000/team/embed:latest"),
    ],
)
def test_ollama_lists_a_model_by_its_shortest_name(model: str, listed: str) -> None:
    api = OllamaApi(model, dimensions=None, keep_alive="5m", truncate=True)
    assert api.lists_model(json.dumps({"models": [{"name": listed}]}).encode())
    assert not api.lists_model(json.dumps({"models": [{"name": f"{listed}-2"}]}).encode())


async def test_a_refused_text_is_told_apart_and_opens_no_breaker(server: EmbeddingServer) -> None:
    embedder = ollama(server, breaker_failures=1)
    server.status = 400
    for _ in range(3):
        assert isinstance(await failure(embedder), TextRefused)
    server.status = 200
    await embedder.embed(["a"])


POST = 'Post "http://127.0.0.1:33967/embedding"'
BROKE_DOWN = (
    f"do embedding request: {POST}: EOF",
    f"do embedding request: {POST}: read tcp 127.0.0.1:5->127.0.0.1:33967:"
    " read: connection reset by peer",
    f"do embedding request: {POST}: read tcp 127.0.0.1:5->127.0.0.1:33967:"
    " wsarecv: An existing connection was forcibly closed by the remote host.",
    f"do embedding request: {POST}: dial tcp 127.0.0.1:33967: connect: connection refused",
    "error reading embed response: unexpected EOF",
    "llama runner process no longer running: -1 signal: killed",
    "unexpected server status: llm server loading model",
    'health resp: Get "http://127.0.0.1:33967/health": EOF',
    "server not responding",
)
"""What Ollama answers with the status 400 when the process of the model is gone."""
TAKES_NOT = (
    "the input length exceeds the context length",
    "input exceeds maximum context length and cannot be truncated further",
    "input after truncation exceeds maximum context length",
    "embedding contains NaN or Inf values",
    "invalid input type",
    "missing request body",
)
"""What it answers with the same status to a text that it does not take."""


def like_openai(server: EmbeddingServer, **options: Any) -> RemoteEmbedder:
    """Ollama, asked as OpenAI is."""
    patience = Patience(timeout_seconds=60, retries=0, breaker_failures=1, breaker_seconds=60)
    api = OpenAiApi(MODEL, dimensions=None)
    return RemoteEmbedder(api, url=f"{server.url}/v1", patience=patience, dimensions=384, **options)


@pytest.mark.parametrize("complaint", BROKE_DOWN)
async def test_an_ollama_that_lost_the_process_of_its_model_is_out_of_order(
    server: EmbeddingServer, complaint: str
) -> None:
    server.status, server.complaint = 400, complaint
    embedder = ollama(server, retries=1, breaker_failures=1)
    error = await failure(embedder)
    assert not isinstance(error, TextRefused)
    assert "broke down" in error.message
    assert [each["input"] for each in server.requests][:2] == [["private words"]] * 2
    asked = len(server.requests)
    assert "asked again in" in ((await failure(embedder)).hint or "")
    assert len(server.requests) == asked
    assert not isinstance(await failure(like_openai(server)), TextRefused)


async def test_a_process_that_is_started_again_in_time_costs_nothing(
    server: EmbeddingServer,
) -> None:
    server.failures_left, server.failing, server.complaint = 2, 400, BROKE_DOWN[0]
    vectors = await ollama(server, retries=2, breaker_failures=1).embed(["a"])
    assert vectors.shape == (1, 384)
    assert [each["input"] for each in server.requests] == [["a"]] * 3


async def test_a_text_that_ends_the_process_each_time_is_refused_and_no_other(
    server: EmbeddingServer,
) -> None:
    server.deadly, server.complaint = "private words", BROKE_DOWN[0]
    for embedder in (ollama(server, retries=2, breaker_failures=1), like_openai(server)):
        server.broke_down = 0
        assert isinstance(await failure(embedder), TextRefused)
        assert server.broke_down in (3, 1)
        assert (await embedder.embed(["another"])).shape == (1, 384)


@pytest.mark.parametrize("complaint", TAKES_NOT)
async def test_a_text_that_ollama_does_not_take_is_refused_at_once(
    server: EmbeddingServer, complaint: str
) -> None:
    server.status, server.complaint = 400, complaint
    for embedder in (ollama(server, retries=2, breaker_failures=1), like_openai(server)):
        server.requests.clear()
        assert isinstance(await failure(embedder), TextRefused)
        assert isinstance(await failure(embedder), TextRefused)
        assert len(server.requests) == 2


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"{}",
        b"[]",
        b"not json",
        b'{"embeddings": []}',
        b'{"embeddings": [[1, 2], [3]]}',
        b'{"embeddings": [["x"]]}',
        b'{"embeddings": [[0, 0, 0]]}',
        b'{"embeddings": [[1e999]]}',
        b'{"embeddings": [[1, 2, 3]]}',
        b'{"embeddings": [[]]}',
    ],
)
async def test_an_answer_that_is_none_is_an_error_and_no_vector(
    server: EmbeddingServer, answer: bytes
) -> None:
    server.raw = answer
    await failure(ollama(server))


@pytest.mark.parametrize("indexes", [(0, 0), (1, 2), (0, 2)])
def test_openai_vectors_that_cannot_be_put_in_order_are_refused(indexes: tuple[int, int]) -> None:
    first, second = indexes
    content = (
        f'{{"data": [{{"index": {first}, "embedding": [1]}},'
        f' {{"index": {second}, "embedding": [2]}}]}}'
    )
    with pytest.raises(ValueError, match="numbered"):
        OpenAiApi("m", dimensions=None).vectors(content.encode())


async def test_without_a_service_the_first_start_says_what_to_set(server: EmbeddingServer) -> None:
    server.stop()
    embedder = RemoteEmbedder(
        OllamaApi(MODEL, dimensions=None, keep_alive="5m", truncate=True),
        url=server.url,
        patience=Patience(1.0, 0, 5, 5.0),
    )
    with pytest.raises(ConfigurationError) as caught:
        await embedder.discover(None)
    assert caught.value.field == "embedding.dimensions"
    await embedder.discover(384)  # what the store knows is enough
    assert embedder.dimensions == 384


async def test_a_caller_that_gives_up_does_not_block_the_others(server: EmbeddingServer) -> None:
    server.hold = threading.Event()
    embedder = ollama(server)
    tasks = [asyncio.create_task(embedder.embed([str(number)])) for number in range(8)]
    async with asyncio.timeout(60):
        # As many as are asked at once; the others wait in line.
        while len(server.requests) < 4:  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0.01)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    server.hold.set()
    assert (await embedder.embed(["a"])).shape == (1, 384)


async def test_what_was_asked_goes_on_when_its_caller_gives_up(server: EmbeddingServer) -> None:
    server.hold = threading.Event()
    embedder = ollama(server, breaker_failures=1, breaker_seconds=60.0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await embedder.embed(["loads the model"])
    [asked] = embedder._asked  # nobody else waits for it
    server.hold.set()
    assert (await asked).shape == (1, 384)
    assert len(server.requests) == 1


async def test_a_service_that_says_nothing_is_left_alone_before_its_requests_end(
    server: EmbeddingServer,
) -> None:
    now = 100.0
    server.hold = threading.Event()
    embedder = ollama(
        server, breaker_failures=6, breaker_seconds=20.0, caller_seconds=0.05, clock=lambda: now
    )
    # More than are asked at once: who comes later gets the place of who waits in vain.
    asked = [asyncio.create_task(embedder.embed([str(number)])) for number in range(6)]
    async with asyncio.timeout(60):
        while not embedder._breaker.wait():  # noqa: ASYNC110  # nothing tells
            await asyncio.sleep(0.01)
    told = await failure(embedder)
    assert "does not answer in time" in told.message
    assert "asked again in 20 seconds" in (told.hint or "")
    assert not any(each.done() for each in asked)
    server.hold.set()
    assert [len(each) for each in await asyncio.gather(*asked)] == [1] * 6
    assert (await embedder.embed(["a"])).shape == (1, 384), "it has answered"
