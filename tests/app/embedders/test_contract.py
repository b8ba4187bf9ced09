"""What every Embedder promises. A new one joins by one more entry in EMBEDDERS."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from memorybank.configuration import load
from memorybank.ports import Embedder
from memorybank.server.embedding import open_embedder
from tests.support.embedding_server import MODEL, embedding_server
from tests.support.memory_model import model_folder


class Empty:
    """A store that holds no vector yet."""

    async def known_dimensions(self) -> int | None:
        return None


async def opened(folder: Path, **embedding: Any) -> Embedder:
    settings = load(
        overrides={
            "data": str(folder),
            "model_dir": str(model_folder()),
            "embedding": {"cache_entries": 0, "timeout_seconds": 60, **embedding},
        },
        environ={},
    )
    made = await open_embedder(settings)
    await made.settle(Empty())  # type: ignore[arg-type]  # enough of a store
    return made.embedder


Opener = Callable[[Path, str], Awaitable[Embedder]]
EMBEDDERS: dict[str, Opener] = {
    "builtin": lambda folder, _url: opened(folder),
    "cached": lambda folder, _url: opened(folder, cache_entries=3),
    "tiny": lambda folder, _url: opened(folder, provider="builtin-tiny"),
    "ollama": lambda folder, url: opened(
        folder, provider="ollama", model=MODEL, ollama={"url": url}
    ),
    "openai": lambda folder, url: opened(
        folder, provider="openai", model=MODEL, openai={"base_url": f"{url}/v1"}
    ),
}


@pytest.fixture(params=list(EMBEDDERS))
async def embedder(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Embedder]:
    with embedding_server() as server:
        embedder = await EMBEDDERS[request.param](tmp_path, server.url)
        yield embedder
        await embedder.close()


async def test_rows_are_unit_vectors_of_the_promised_length_in_order(embedder: Embedder) -> None:
    texts = [f"note {number}" for number in range(40)]
    vectors = await embedder.embed(texts)
    assert vectors.shape == (40, embedder.dimensions)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    alone = (await embedder.embed(["note 33"]))[0]
    np.testing.assert_allclose(vectors[33], alone, atol=1e-6)


async def test_no_text_gives_no_vector(embedder: Embedder) -> None:
    assert (await embedder.embed([])).shape == (0, embedder.dimensions)


async def test_any_text_has_a_vector(embedder: Embedder) -> None:
    texts = ["", " ", "記憶", "x" * 10_000, 'quote " and \\ and \x00', "🦊"]
    vectors = await embedder.embed(texts)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


async def test_texts_of_like_meaning_are_near(embedder: Embedder) -> None:
    asked, answer, other = await embedder.embed(
        ["How do I get in at night?", "At night the door opens with the badge.", "Pay the taxes."]
    )
    assert asked @ answer > asked @ other + 0.2


async def test_concurrent_callers_get_their_own_vectors(embedder: Embedder) -> None:
    texts = [f"thought number {number}" for number in range(30)]
    expected = await embedder.embed(texts)
    answers = await asyncio.gather(*(embedder.embed([text]) for text in texts))
    np.testing.assert_allclose(np.concatenate(answers), expected, atol=1e-6)


async def test_the_space_has_a_name_and_closing_twice_is_fine(embedder: Embedder) -> None:
    assert embedder.model
    await embedder.close()
    await embedder.close()
