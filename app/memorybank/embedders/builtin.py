"""The built-in embedder: MiniLM int8 on ONNX Runtime, in a thread of its own.

No network and no other process. Texts are run one by one: activations are quantised by the range of
the whole input, so in a batch a text's vector would depend on its neighbours (cosine down to .985),
and from 40 tokens on a batch costs as much as its texts do alone. Threads use the CPUs instead: a
text that is alone is run by all of them together, which gives the shortest time, and texts that
wait in line by one thread each, which wastes nothing on threads meeting. Both give the same
vectors. A text longer than 256 tokens, the length
that the model was trained for, is embedded by overlapping chunks, whose mean it gets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import onnxruntime  # type: ignore[import-untyped]  # ships no types
from tokenizers import Encoding, Tokenizer

from memorybank.batching import BatchThread, Closed, Job, QueueFull
from memorybank.embedders.cpus import usable_cpus
from memorybank.errors import ConfigurationError, EmbedderUnavailable
from memorybank.model.manifest import PREPARE_HINT, ModelFiles, open_model
from memorybank.ports import Vector

_MAX_TOKENS = 256
"""`max_seq_length` of the published model."""

_OVERLAP = 32
"""Tokens that a chunk shares with the one before: a sentence at the seam is whole in one."""

_MAX_CHUNKS = 16
"""Some 3,600 tokens. A chunk takes as long as any text of 256 tokens; a text of the greatest length
that is accepted would have a hundred, and hold everybody else up for seconds."""

_MAX_CHARACTERS = 16 * _MAX_TOKENS * _MAX_CHUNKS
"""What is tokenised at all. English has 4 to 5 characters per token; tokenising a megabyte to keep
some thousand tokens would take a second."""

_MAX_THREADS = 4
"""The matrices are 384 wide: more threads spend more on meeting than they save."""

_SPINNING = {"allow_spinning": "1", "spin_duration_us": "100"}
"""Two threads on two free CPUs take 1.5 and 4.7 ms for 13 and 46 tokens, without spinning 2.5 and
6.5 ms. Longer spinning gains nothing there, and where other processes want the CPUs it costs: with
1000 us a run took 1.7 times as long as without spinning, with 100 us 1.2 times."""

_CAPACITY = 512
"""Requests that may wait: some seconds of work."""

_MAX_GROUP = 32
"""Requests that are divided among the threads at a time."""


class BuiltinEmbedder:
    """Embeds with the model in a folder that `memorybank.model` made."""

    def __init__(self, files: ModelFiles) -> None:
        self._files = files
        self._tokenizer = Tokenizer.from_file(str(files.tokenizer))
        self._tokenizer.enable_truncation(_MAX_TOKENS, stride=_OVERLAP)
        self._tokenizer.no_padding()
        self._threads = min(usable_cpus(), _MAX_THREADS)
        self._session = _session(files, threads=self._threads)
        # Made when it is first needed: it costs 30 MiB, and a quiet bank never has a line.
        self._serial_session: onnxruntime.InferenceSession | None = None
        self._pool = ThreadPoolExecutor(self._threads, thread_name_prefix="embedder")
        self._thread: BatchThread[Sequence[str], Vector] = BatchThread(
            "embedder", self._serve, capacity=_CAPACITY, max_group=_MAX_GROUP
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

    @property
    def patience(self) -> None:
        """See Embedder. It is this process that works."""

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
        self._pool.shutdown()

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
        together = sum(len(job.request) for job in jobs) <= self._threads
        try:
            if together or self._threads == 1:
                for job in jobs:
                    job.future.set_result(self._stacked([self._embed(t) for t in job.request]))
            else:
                self._divide(jobs)
        except Exception as error:  # onnxruntime raises plain exceptions of its own
            failure = EmbedderUnavailable(f"the embedding model failed: {error}")
            for job in jobs:
                if not job.future.done():
                    job.future.set_exception(failure)

    def _divide(self, jobs: list[Job[Sequence[str], Vector]]) -> None:
        """Give every text to the next free thread; answer the jobs in order."""
        if self._serial_session is None:
            self._serial_session = _session(self._files, threads=1)
        session = self._serial_session
        running = [[self._pool.submit(self._embed, t, session) for t in j.request] for j in jobs]
        for job, rows in zip(jobs, running, strict=True):
            job.future.set_result(self._stacked([row.result() for row in rows]))

    def _stacked(self, vectors: list[Vector]) -> Vector:
        return np.stack(vectors) if vectors else np.empty((0, self.dimensions), dtype=np.float32)

    def _embed(self, text: str, session: onnxruntime.InferenceSession | None = None) -> Vector:
        encoding = self._tokenizer.encode(text[:_MAX_CHARACTERS])
        session = session or self._session
        if not encoding.overflowing:
            return _run(session, encoding)
        chunks = [encoding, *encoding.overflowing][:_MAX_CHUNKS]
        # A short last chunk counts by its length, or a few words would weigh as much as a page.
        lengths = np.array([len(chunk.ids) for chunk in chunks], dtype=np.float32)
        total: Vector = lengths @ np.stack([_run(session, chunk) for chunk in chunks])
        return total / np.linalg.norm(total)


def _run(session: onnxruntime.InferenceSession, encoding: Encoding) -> Vector:
    inputs = {
        "input_ids": np.array([encoding.ids], dtype=np.int64),
        "attention_mask": np.array([encoding.attention_mask], dtype=np.int64),
    }
    (vectors,) = session.run(["embedding"], inputs)
    vector: Vector = vectors[0]
    return vector


def _session(files: ModelFiles, *, threads: int) -> onnxruntime.InferenceSession:
    """Load the model.

    Small and quiet: no arena that keeps the largest input's memory, little spinning. A run is some
    60 operators of about 50 us; sleeping and waking between them costs a third of the time. So the
    second thread spins through the gaps, and sleeps soon after a run.
    """
    options = onnxruntime.SessionOptions()
    options.enable_cpu_mem_arena = False
    options.enable_mem_pattern = False
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    for name, value in _SPINNING.items():
        options.add_session_config_entry(f"session.intra_op.{name}", value)
    return onnxruntime.InferenceSession(
        str(files.graph), options, providers=["CPUExecutionProvider"]
    )
