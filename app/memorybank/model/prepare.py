"""Making the model folder from the published weights."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from memorybank.errors import ConfigurationError
from memorybank.model import weights
from memorybank.model.manifest import (
    GRAPH_FILE,
    INSTALL_HINT,
    MANIFEST_FILE,
    TABLE_FILE,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    open_model,
    write_manifest,
)
from memorybank.model.table import build_table

Progress = Callable[[str], None]


def prepare(output: Path, progress: Progress) -> None:
    """Make the model in `output`, unless a sound one is there already.

    All or nothing: the files are made beside the folder and moved in as a whole, so a crash leaves
    at worst a temporary folder, and two that prepare at once both end well. `progress` gets one
    sentence per step. Raises ConfigurationError when the extra `model` is missing, when its files
    are not the published ones, or when `output` holds something else.
    """
    if _is_sound(output):
        progress(f"the embedding model is ready in {output}")
        return
    source = weights.installed()
    if source is None:
        raise ConfigurationError(
            "the weights of the embedding model are not installed",
            field="model",
            hint=INSTALL_HINT,
        )
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        _refuse_to_overwrite(output)
        with tempfile.TemporaryDirectory(prefix=".model-", dir=output.parent) as scratch:
            made = Path(scratch) / "model"
            made.mkdir()
            _make(source, made, progress)
            _move_into_place(made, output)
    except OSError as error:
        raise ConfigurationError(
            f"the embedding model cannot be written to {output}: {error.strerror}",
            field="model_dir",
            hint="name a folder that is writable and has 200 MB free",
        ) from error
    progress(f"the embedding model is ready in {output}")


def _make(source: Path, folder: Path, progress: Progress) -> None:
    # These need the extra, which a prepared model does not.
    from onnxruntime.quantization import (  # type: ignore[import-untyped]  # ships no types
        QuantType,
        quantize_dynamic,
    )

    from memorybank.model.graph import DIMENSIONS, build_graph

    progress("checking the published weights")
    published = weights.verified(source / "model.safetensors", weights.WEIGHTS_SHA256)
    tokenizer = weights.verified(source / TOKENIZER_FILE, weights.TOKENIZER_SHA256)
    progress("building the graph")
    tensors = weights.read_safetensors(published)
    np.save(folder / TABLE_FILE, build_table(tensors))
    graph = build_graph(tensors)
    progress("quantising to int8")
    quantize_dynamic(
        graph,
        folder / GRAPH_FILE,
        weight_type=QuantType.QInt8,
        per_channel=True,  # cosine to the float32 vectors .993 on average instead of .959
        op_types_to_quantize=["MatMul", "Attention", "EmbedLayerNormalization"],
        use_external_data_format=True,  # writes WEIGHTS_FILE beside it
        # The fused operators are unknown to ONNX's type inference; all their values are float.
        extra_options={"DefaultTensorType": 1},
    )
    (folder / WEIGHTS_FILE).chmod(0o644)  # was made for its owner only; an image has another
    shutil.copyfile(tokenizer, folder / TOKENIZER_FILE)
    write_manifest(folder, dimensions=DIMENSIONS)


def _is_sound(folder: Path) -> bool:
    try:
        open_model(folder)
    except ConfigurationError:
        return False
    return True


def _refuse_to_overwrite(output: Path) -> None:
    """A folder without a manifest that holds anything is somebody else's."""
    if output.is_dir() and any(output.iterdir()) and not (output / MANIFEST_FILE).exists():
        raise ConfigurationError(
            f"{output} holds other files",
            field="model_dir",
            hint="name an empty or a new folder for the embedding model",
        )


def _move_into_place(made: Path, output: Path) -> None:
    if output.is_dir() and any(output.iterdir()) and not _is_sound(output):
        os.rename(output, made.with_name("spoiled"))  # goes with the scratch folder
    try:
        os.rename(made, output)
    except OSError:
        if not _is_sound(output):  # else somebody else has made it meanwhile
            raise
