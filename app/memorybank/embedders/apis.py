"""What embedding services want to be asked, and how they answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from pydantic import BaseModel, Field


class EmbeddingApi(Protocol):
    """One protocol, with one model of one service."""

    @property
    def space(self) -> str:
        """Names the embedding space: protocol, model and, where asked for, dimensions."""

    @property
    def path(self) -> str:
        """Where to post, below the base URL."""

    def request(self, texts: Sequence[str]) -> dict[str, Any]:
        """Return the body to post."""

    def vectors(self, content: bytes) -> list[list[float]]:
        """Return what is in an answer, in the order of the texts; raises ValueError."""

    def complaint(self, content: bytes) -> str:
        """Return what an answer says is wrong; raises ValueError."""

    @property
    def models(self) -> str:
        """Where the service lists its models, below the base URL."""

    def lists_model(self, content: bytes) -> bool:
        """Say whether the model is in that list; raises ValueError."""

    @property
    def missing_model(self) -> str:
        """What to do when it is not."""


class OllamaApi:
    """POST /api/embed of Ollama."""

    path = "api/embed"
    models = "api/tags"

    def __init__(
        self, model: str, *, dimensions: int | None, keep_alive: str, truncate: bool
    ) -> None:
        self._model = model
        self._options: dict[str, Any] = {
            "truncate": truncate,
            "keep_alive": _duration(keep_alive),
        }
        if dimensions is not None:
            self._options["dimensions"] = dimensions
        self.space = _space("ollama", model, dimensions)
        self.missing_model = f"run `ollama pull {model}` there"

    def request(self, texts: Sequence[str]) -> dict[str, Any]:
        """See EmbeddingApi."""
        return {"model": self._model, "input": list(texts), **self._options}

    def vectors(self, content: bytes) -> list[list[float]]:
        """See EmbeddingApi."""
        return _OllamaAnswer.model_validate_json(content).embeddings

    def complaint(self, content: bytes) -> str:
        """See EmbeddingApi."""
        return _OllamaComplaint.model_validate_json(content).error

    def lists_model(self, content: bytes) -> bool:
        """See EmbeddingApi."""
        listed = _OllamaModels.model_validate_json(content).models
        return ollama_name(self._model) in {ollama_name(each.name) for each in listed}


class OpenAiApi:
    """POST /embeddings of OpenAI and of what speaks like it."""

    path = "embeddings"
    models = "models"

    def __init__(self, model: str, *, dimensions: int | None) -> None:
        self._model = model
        self._options: dict[str, Any] = {"encoding_format": "float"}
        if dimensions is not None:
            self._options["dimensions"] = dimensions
        self.space = _space("openai", model, dimensions)
        self.missing_model = "correct embedding.model, or let the service load it"

    def request(self, texts: Sequence[str]) -> dict[str, Any]:
        """See EmbeddingApi."""
        return {"model": self._model, "input": list(texts), **self._options}

    def vectors(self, content: bytes) -> list[list[float]]:
        """See EmbeddingApi."""
        data = sorted(_OpenAiAnswer.model_validate_json(content).data, key=lambda each: each.index)
        if [each.index for each in data] != list(range(len(data))):
            raise ValueError("the vectors are not numbered from 0")
        return [each.embedding for each in data]

    def complaint(self, content: bytes) -> str:
        """See EmbeddingApi."""
        return _OpenAiComplaint.model_validate_json(content).error.message

    def lists_model(self, content: bytes) -> bool:
        """See EmbeddingApi."""
        data = _OpenAiModels.model_validate_json(content).data
        return self._model in {each.id for each in data}


class _OllamaAnswer(BaseModel):
    embeddings: list[list[float]]


class _OllamaComplaint(BaseModel):
    error: str


class _OllamaModel(BaseModel):
    name: str


class _OllamaModels(BaseModel):
    models: list[_OllamaModel]


class _OpenAiVector(BaseModel):
    index: int = Field(ge=0)
    embedding: list[float]


class _OpenAiAnswer(BaseModel):
    data: list[_OpenAiVector]


class _OpenAiError(BaseModel):
    message: str


class _OpenAiComplaint(BaseModel):
    error: _OpenAiError


class _OpenAiModel(BaseModel):
    id: str


class _OpenAiModels(BaseModel):
    data: list[_OpenAiModel]


_OLLAMA_LOST_ITS_RUNNER = (
    "do embedding request: ",
    "error reading embed response: ",
    "health resp: ",
    "llama runner process no longer running",
    "no slots available",
    "read health request: ",
    "server not responding",
    "unexpected server status: ",
)
_CUT_OFF = ("EOF", "connection refused", "connection reset by peer", "broken pipe")


def tells_of_a_fault(complaint: str) -> bool:
    """Say whether a complaint with the status of a bad request is about the service itself.

    Ollama (as of 0.17) has a process for each model, its runner, and answers 400 to whatever goes
    wrong between the two: the same status as for a text that is too long.
    """
    return complaint.startswith(_OLLAMA_LOST_ITS_RUNNER) or complaint.endswith(_CUT_OFF)


def ollama_name(model: str) -> str:
    """Return the name by which Ollama lists a model: the shortest, and with a tag."""
    tagged = model if ":" in model.rpartition("/")[2] else f"{model}:latest"
    return tagged.casefold().removeprefix("registry.ollama.ai/").removeprefix("library/")


def _duration(text: str) -> str | int:
    """Return a duration as Ollama takes it: seconds without a unit are a number, not a text."""
    return int(text) if text.lstrip("-").isdecimal() else text


def _space(protocol: str, model: str, dimensions: int | None) -> str:
    return f"{protocol}/{model}" if dimensions is None else f"{protocol}/{model}/{dimensions}"
