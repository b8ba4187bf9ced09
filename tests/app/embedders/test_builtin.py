from __future__ import annotations

import asyncio
from pathlib import Path

import numpy as np
import pytest

from memorybank.embedders.builtin import BuiltinEmbedder
from memorybank.embedders.cpus import usable_cpus
from memorybank.errors import ConfigurationError, EmbedderUnavailable
from tests.support.memory_model import builtin_embedder, model_folder


async def test_vectors_have_length_one_and_the_promised_shape() -> None:
    embedder = builtin_embedder()
    vectors = await embedder.embed(["one", "", "記憶", "x" * 10_000, "a b " * 5_000])
    assert vectors.shape == (5, embedder.dimensions)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert (await embedder.embed([])).shape == (0, embedder.dimensions)


async def test_texts_of_like_meaning_are_near() -> None:
    asked, answer, other = await builtin_embedder().embed(
        [
            "How do I get into the building at night?",
            "After 22:00 the entrance opens with the badge only.",
            "The quarterly report is due on Friday.",
        ]
    )
    assert asked @ answer > asked @ other + 0.2


async def test_a_text_has_the_same_vector_whatever_is_embedded_beside_it() -> None:
    embedder = builtin_embedder()
    alone = (await embedder.embed(["where is the key"]))[0]
    among = (await embedder.embed(["hello", "a much longer text " * 30, "where is the key"]))[2]
    np.testing.assert_array_equal(alone, among)


async def test_concurrent_requests_get_their_own_answers() -> None:
    embedder = builtin_embedder()
    texts = [f"note number {number}" for number in range(30)]
    expected = await embedder.embed(texts)
    answers = await asyncio.gather(*(embedder.embed([text]) for text in texts))
    np.testing.assert_array_equal(np.concatenate(answers), expected)


async def test_a_long_text_is_found_by_what_it_says_late() -> None:
    filler = "The committee met on Monday and talked about the budget of the coming year. " * 40
    late = filler + "The lighthouse keeper is called Ines and lives with three cats."
    asked, with_it, without = await builtin_embedder().embed(
        ["Who lives in the lighthouse with her cats?", late, filler]
    )
    assert asked @ with_it > asked @ without + 0.02


@pytest.mark.slow
async def test_a_text_counts_by_some_thousand_tokens() -> None:
    start = "word " * 4_000
    one, other = await builtin_embedder().embed([start + "apples", start + "submarines"])
    np.testing.assert_array_equal(one, other)


async def test_too_many_waiting_requests_are_refused_at_once() -> None:
    embedder = builtin_embedder()
    results = await asyncio.gather(
        *(embedder.embed(["x"]) for _ in range(3_000)), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, BaseException)]
    assert refused
    assert all(isinstance(error, EmbedderUnavailable) and error.hint for error in refused)
    assert len(results) - len(refused) >= 512


async def test_close_finishes_what_was_accepted_and_refuses_the_rest() -> None:
    embedder = await BuiltinEmbedder.open(model_folder())
    accepted = [asyncio.create_task(embedder.embed([str(number)])) for number in range(20)]
    await asyncio.sleep(0)  # lets every task hand its text over
    await embedder.close()
    assert len(await asyncio.gather(*accepted)) == 20
    with pytest.raises(EmbedderUnavailable):
        await embedder.embed(["late"])
    await embedder.close()


async def test_a_folder_without_a_model_stops_the_start_with_the_cure(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        await BuiltinEmbedder.open(tmp_path)
    assert "memorybank model prepare" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("content", "at_most"),
    [("50000 100000\n", 1), ("150000 100000\n", 2), ("max 100000\n", 10_000), ("garbage", 10_000)],
)
def test_the_container_limit_bounds_the_threads(tmp_path: Path, content: str, at_most: int) -> None:
    file = tmp_path / "cpu.max"
    file.write_text(content)
    unlimited = usable_cpus(tmp_path / "missing")
    assert unlimited >= 1
    assert usable_cpus(file) == min(unlimited, at_most)
