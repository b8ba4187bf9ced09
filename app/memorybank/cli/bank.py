"""A bank as the commands see it: behind a URL, or in a folder of this machine."""

from __future__ import annotations

import argparse
import os
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Protocol

from memorybank.configuration import load, read_key
from memorybank.schemas.health import ReadyReport
from memorybank.schemas.memories import MemoryView, NewMemory, SearchRequest, SearchResponse

DEFAULT_URL = "http://127.0.0.1:8080"


class Bank(Protocol):
    """What the commands need."""

    async def store(self, new: NewMemory) -> MemoryView:
        """Store a memory."""

    async def search(self, request: SearchRequest) -> SearchResponse:
        """Find memories."""

    async def health(self) -> ReadyReport:
        """Try everything."""


def open_bank(arguments: argparse.Namespace) -> AbstractAsyncContextManager[Bank]:
    """Return the bank that the arguments and the environment name."""
    if arguments.data is not None:
        return _local(arguments.data)
    url = arguments.url or os.environ.get("MEMORY_BANK_URL") or DEFAULT_URL
    return _remote(url, arguments.key or _key_from_environment())


def _key_from_environment() -> str | None:
    file = os.environ.get("MEMORY_BANK_KEY_FILE")
    if file:
        return read_key(Path(file), "MEMORY_BANK_KEY_FILE")
    return os.environ.get("MEMORY_BANK_KEY")


@asynccontextmanager
async def _remote(url: str, key: str | None) -> AsyncIterator[Bank]:
    # Loaded here: who opens a folder needs no HTTP client, who asks a URL needs no model.
    from memorybank.cli.remote import RemoteBank

    async with RemoteBank.connect(url, key) as bank:
        yield bank


@asynccontextmanager
async def _local(data: Path) -> AsyncIterator[Bank]:
    from memorybank.cli.local import LocalBank
    from memorybank.server.engine import open_engine

    settings = load(overrides={"data": str(data)})
    async with open_engine(settings) as engine:
        yield await LocalBank.on(engine)
