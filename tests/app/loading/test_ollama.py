"""A model on an Ollama server that is slow, broken, gone, or dies in the middle."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from memorybank.loading.ollama import NotLoaded, OllamaModel
from tests.support.ollama_server import OllamaServer, ollama_server

GGUF = b"GGUF" + bytes(3_000_000)
DIGEST = f"sha256:{hashlib.sha256(GGUF).hexdigest()}"


@pytest.fixture
def server() -> Iterator[OllamaServer]:
    with ollama_server() as running:
        yield running


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "minilm.gguf"
    path.write_bytes(GGUF)
    return path


@pytest.fixture
async def pulled(server: OllamaServer) -> AsyncIterator[OllamaModel]:
    model = OllamaModel(server.url, "all-minilm", keep_alive="5m")
    yield model
    await model.close()


@pytest.fixture
async def imported(server: OllamaServer, file: Path) -> AsyncIterator[OllamaModel]:
    model = OllamaModel(server.url, "mine", keep_alive="-1", file=file)
    yield model
    await model.close()


async def brought(model: OllamaModel) -> list[str]:
    """Bring the model in; return what was told."""
    told: list[str] = []
    await model.bring(told.append)
    return told


async def failure(model: OllamaModel) -> str:
    with pytest.raises(NotLoaded) as caught:
        await model.bring(lambda _: None)
    return str(caught.value)


async def test_a_model_is_pulled_and_it_is_told_how_far_that_is(pulled: OllamaModel) -> None:
    assert not await pulled.is_there()
    told = await brought(pulled)
    assert told[0] == "pulling all-minilm"
    assert "pulling 797b70c4edf8: 50 % of 46 MB" in told
    assert await pulled.is_there()
    await pulled.ask()


async def test_a_model_is_made_of_a_file(server: OllamaServer, imported: OllamaModel) -> None:
    await brought(imported)
    assert server.blobs == {DIGEST: GGUF}
    assert await imported.is_there()
    await imported.ask()
    assert server.asked[-1]["keep_alive"] == -1, "a number: Ollama refuses a text without a unit"


async def test_a_file_that_the_server_has_is_not_sent_again(
    server: OllamaServer, imported: OllamaModel
) -> None:
    server.blobs[DIGEST] = GGUF
    await brought(imported)
    assert f"POST /api/blobs/{DIGEST}" not in server.requests
    assert server.models == {"mine"}


@pytest.mark.parametrize(
    "step",
    [
        f"HEAD /api/blobs/{DIGEST}", f"POST /api/blobs/{DIGEST}", "POST /api/create",
        "parsing GGUF", "writing manifest",
    ],
)  # fmt: skip
async def test_an_import_that_was_cut_off_at_any_step_is_repeated(
    step: str, server: OllamaServer, imported: OllamaModel
) -> None:
    server.dies_at = step
    await failure(imported)
    assert not await imported.is_there()
    await brought(imported)
    await imported.ask()


@pytest.mark.parametrize(
    "step", ["POST /api/pull", "pulling manifest", "pulling 797b70c4edf8", "writing manifest"]
)
async def test_a_pull_that_was_cut_off_is_repeated(
    step: str, server: OllamaServer, pulled: OllamaModel
) -> None:
    server.dies_at = step
    await failure(pulled)
    await brought(pulled)
    await pulled.ask()


async def test_what_the_server_says_of_a_failure_is_passed_on(server: OllamaServer) -> None:
    model = OllamaModel(server.url, "no-such-model", keep_alive="5m")
    assert (
        await failure(model) == "the server says: pull model manifest: file does not exist"
    )  # in the stream
    server.fails["/api/pull"] = (500, "no such host")
    assert await failure(model) == "the server says: no such host"
    server.fails["/api/pull"] = (502, "")
    assert await failure(model) == "the server answers 502"
    with pytest.raises(NotLoaded, match="model 'no-such-model' not found"):
        await model.ask()
    server.stop()
    assert await failure(model) == "the server cannot be reached (ConnectError)"
    await model.close()


@pytest.mark.parametrize(
    ("content", "problem"),
    [(None, "cannot be read: No such file"), (b"<html>", "is not in the format GGUF")],
)
async def test_a_file_that_is_no_model_is_named(
    content: bytes | None, problem: str, server: OllamaServer, tmp_path: Path
) -> None:
    file = tmp_path / "model.gguf"
    if content is not None:
        file.write_bytes(content)
    model = OllamaModel(server.url, "mine", keep_alive="5m", file=file)
    said = await failure(model)
    assert str(file) in said
    assert problem in said
    assert server.requests == []
    await model.close()


async def test_a_model_that_does_not_answer_is_told(
    server: OllamaServer, pulled: OllamaModel
) -> None:
    await brought(pulled)
    server.fails["/api/embed"] = (500, "llama runner process has terminated")
    with pytest.raises(NotLoaded, match="llama runner process has terminated"):
        await pulled.ask()
    del server.fails["/api/embed"]
    server.models.clear()
    with pytest.raises(NotLoaded, match="model 'all-minilm' not found"):
        await pulled.ask()


async def test_something_else_than_ollama_is_told(
    server: OllamaServer, pulled: OllamaModel
) -> None:
    server.fails["/api/tags"] = (200, "not a list")
    with pytest.raises(NotLoaded, match="something else than Ollama"):
        await pulled.is_there()
