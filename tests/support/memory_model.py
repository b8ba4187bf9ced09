"""The real embedding model, made once per machine and loaded once per test run."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from memorybank.embedders.builtin import BuiltinEmbedder
from memorybank.model import locate, open_model


@cache
def model_folder() -> Path:
    """Return the folder of the model; makes it in the user's cache where it is missing."""
    return locate(None, print)


@cache
def builtin_embedder() -> BuiltinEmbedder:
    """Return the embedder that all tests share; nobody closes it."""
    return BuiltinEmbedder(open_model(model_folder()))
