"""The built-in embedder: MiniLM int8 on ONNX Runtime, in a thread of its own.

No network and no other process. Texts are run one by one: activations are quantised by the range of
the whole input, so in a batch a text's vector would depend on its neighbours (cosine down to .985),
and from 40 tokens on a batch costs as much as its texts do alone. Threads inside the model use the
CPUs instead. A text counts by its first 256 tokens, the length that the model was trained for.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # ships no types
from tokenizers import Tokenizer

from memorybank.batching import BatchThread, Closed, Job, QueueFull
from memorybank.embedders.cpus import usable_cpus
from memorybank.errors import ConfigurationError, EmbedderUnavailable
from memorybank.model.manifest import PREPARE_HINT, ModelFiles, open_model
from memorybank.ports import Vector

_MAX_TOKENS = 256
"""`max_seq_length` of the published model."""

_MAX_CHARACTERS = 16 * _MAX_TOKENS
"""What is tokenised at all. English has 4 to 5 characters per token; tokenising a megabyte to keep
its first 256 tokens would take a second."""

_MAX_THREADS = 4
"""The matrices are 384 wide: more threads spend more on meeting than they save."""

_CAPACITY = 512
"""Requests that may wait: some seconds of work."""


class BuiltinEmbedder:
    """Embeds with the model in a folder that `memorybank.model` made."""

    def __init__(self, files: ModelFiles) -> None:
        self._files = files
        self._tokenizer = Tokenizer.from_file(str(files.tokenizer))
        self._tokenizer.enable_truncation(_MAX_TOKENS)
        self._tokenizer.no_padding()
        self._session = onnxruntime.InferenceSession(
            str(files.graph), _session_options(), providers=["CPUExecutionProvider"]
        )
        self._thread: BatchThread[Sequence[str], Vector] = BatchThread(
            "embedder", self._serve, capacity=_CAPACITY, max_group=1
        )

    @classmethod
    async def open(cls, folder: Path) -> BuiltinEmbedder:
        """Check the model's files and load them; takes about 0.2 s.

        Raises ConfigurationError when the folder holds no sound model.
        """
        return await asyncio.to_thread(cls._open, folder)

    @property
    def model(self) -> str:
        """See Embedder."""
        return self._files.name

    @property
    def dimensions(self) -> int:
        """See Embedder."""
        return self._files.dimensions

    async def embed(self, texts: Sequence[str]) -> Vector:
        """See Embedder."""
        try:
            future = self._thread.submit(texts)
        except QueueFull:
            raise EmbedderUnavailable(
                "too many texts wait to be embedded", hint="try again in a few seconds"
            ) from None
        except Closed:
            raise EmbedderUnavailable("the embedder is closed") from None
        return await asyncio.wrap_future(future)

    async def close(self) -> None:
        """See Embedder. May be called more than once."""
        await asyncio.to_thread(self._thread.close)

    @classmethod
    def _open(cls, folder: Path) -> BuiltinEmbedder:
        files = open_model(folder)
        try:
            return cls(files)
        except Exception as error:  # both libraries raise plain exceptions of their own
            raise ConfigurationError(
                f"the embedding model in {folder} cannot be loaded: {error}",
                field="model_dir",
                hint=PREPARE_HINT,
            ) from error

    def _serve(self, jobs: list[Job[Sequence[str], Vector]]) -> None:
        for job in jobs:
            try:
                job.future.set_result(self._embed(job.request))
            except Exception as error:  # onnxruntime raises plain exceptions of its own
                failure = EmbedderUnavailable(f"the embedding model failed: {error}")
                job.future.set_exception(failure)

    def _embed(self, texts: Sequence[str]) -> Vector:
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for row, text in enumerate(texts):
            encoding = self._tokenizer.encode(text[:_MAX_CHARACTERS])
            inputs = {
                "input_ids": np.array([encoding.ids], dtype=np.int64),
                "attention_mask": np.array([encoding.attention_mask], dtype=np.int64),
            }
            (vectors[row : row + 1],) = self._session.run(["embedding"], inputs)
        return vectors


def _session_options() -> onnxruntime.SessionOptions:
    """Small and quiet: no arena that keeps the largest batch's memory, no spinning threads."""
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.intra_op_num_threads = min(usable_cpus(), _MAX_THREADS)
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options
