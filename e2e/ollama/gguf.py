"""The model all-MiniLM-L6-v2 as a GGUF file, made of its published weights.

GGUF (github.com/ggml-org/ggml, docs/gguf.md): a header, keys with values, the names, shapes and
places of the tensors, then the tensors. llama.cpp tells by the names what each of them is.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from memorybank.model import weights

VERSION, ALIGNMENT = 3, 32
UINT32, INT32, FLOAT32, BOOL, STRING, ARRAY = 4, 5, 6, 7, 8, 9
"""Types of values."""
F32, F16 = 0, 1
"""Types of tensors."""
LAYERS = 6
NORMAL, CONTROL = 1, 3
"""Types of tokens."""
SPACE = "\u2581"
"""Begins a token that begins a word; in the published vocabulary ## begins all others."""

NAMES = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm": "token_embd_norm",
}
LAYER_NAMES = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def write_minilm(file: Path) -> None:
    """Write the file, 46 MB."""
    source = weights.installed()
    if source is None:
        raise FileNotFoundError("the weights are missing: make bootstrap brings them")
    published = weights.verified(source / "model.safetensors", weights.WEIGHTS_SHA256)
    tokenizer = weights.verified(source / "tokenizer.json", weights.TOKENIZER_SHA256)
    tensors = list(_tensors(weights.read_safetensors(published)))
    metadata = [*_shape(), *_vocabulary(json.loads(tokenizer.read_text())["model"]["vocab"])]
    with file.open("wb") as output:
        output.write(b"GGUF" + struct.pack("<IQQ", VERSION, len(tensors), len(metadata)))
        for key, kind, value in metadata:
            output.write(_text(key) + struct.pack("<I", kind) + _value(kind, value))
        place = 0
        for name, tensor in tensors:
            output.write(_described(name, tensor, place))
            place += _padded(tensor.nbytes)
        output.write(bytes(_padded(output.tell()) - output.tell()))
        for _, tensor in tensors:
            output.write(tensor.tobytes() + bytes(_padded(tensor.nbytes) - tensor.nbytes))


def _shape() -> list[tuple[str, int, Any]]:
    return [
        ("general.architecture", STRING, "bert"),
        ("general.name", STRING, "all-MiniLM-L6-v2"),
        ("general.file_type", UINT32, F16),
        ("bert.block_count", UINT32, LAYERS),
        ("bert.context_length", UINT32, 512),
        ("bert.embedding_length", UINT32, 384),
        ("bert.feed_forward_length", UINT32, 1536),
        ("bert.attention.head_count", UINT32, 12),
        ("bert.attention.head_count_kv", UINT32, 12),
        ("bert.attention.layer_norm_epsilon", FLOAT32, 1e-12),
        ("bert.attention.causal", BOOL, False),
        ("bert.pooling_type", UINT32, 1),  # the mean
    ]


def _vocabulary(vocabulary: dict[str, int]) -> list[tuple[str, int, Any]]:
    tokens = sorted(vocabulary, key=vocabulary.__getitem__)
    special = {token for token in tokens if token.startswith("[") and token.endswith("]")}
    shown = [
        token if token in special else token[2:] if token.startswith("##") else SPACE + token
        for token in tokens
    ]
    ids = {"bos": "[CLS]", "eos": "[SEP]", "cls": "[CLS]", "seperator": "[SEP]"}
    ids |= {"unknown": "[UNK]", "padding": "[PAD]", "mask": "[MASK]"}
    return [
        ("tokenizer.ggml.model", STRING, "bert"),
        ("tokenizer.ggml.token_type_count", UINT32, 2),
        ("tokenizer.ggml.tokens", ARRAY, (STRING, shown)),
        (
            "tokenizer.ggml.token_type",
            ARRAY,
            (INT32, [CONTROL if token in special else NORMAL for token in tokens]),
        ),
        *(
            (f"tokenizer.ggml.{name}_token_id", UINT32, vocabulary[token])
            for name, token in ids.items()
        ),
    ]


def _tensors(published: weights.Tensors) -> Iterator[tuple[str, npt.NDArray[np.floating[Any]]]]:
    """Yield those that are used; what is multiplied by is halved in precision."""
    for name, tensor in published.items():
        target = _target(name)
        if target is not None:
            is_added = tensor.ndim == 1 or target.startswith(("position", "token_types"))
            yield target, tensor.astype("<f4" if is_added else "<f2")


def _target(name: str) -> str | None:
    if name in NAMES:
        return NAMES[name]
    stem, _, kind = name.rpartition(".")
    if stem in NAMES:
        return f"{NAMES[stem]}.{kind}"
    parts = stem.split(".", 3)
    if parts[:2] == ["encoder", "layer"] and parts[3] in LAYER_NAMES:
        return f"blk.{parts[2]}.{LAYER_NAMES[parts[3]]}.{kind}"
    return None


def _described(name: str, tensor: npt.NDArray[np.floating[Any]], place: int) -> bytes:
    shape = tensor.shape[::-1]
    kind = F16 if tensor.dtype == np.float16 else F32
    return _text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, place)


def _value(kind: int, value: Any) -> bytes:
    if kind == STRING:
        return _text(value)
    if kind == ARRAY:
        item, items = value
        return struct.pack("<IQ", item, len(items)) + _values(item, items)
    return struct.pack({UINT32: "<I", INT32: "<i", FLOAT32: "<f", BOOL: "<?"}[kind], value)


def _values(kind: int, values: Iterable[Any]) -> bytes:
    return b"".join(_value(kind, each) for each in values)


def _text(text: str) -> bytes:
    data = text.encode()
    return struct.pack("<Q", len(data)) + data


def _padded(length: int) -> int:
    return -(-length // ALIGNMENT) * ALIGNMENT
