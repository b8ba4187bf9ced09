"""A real Chroma server, one for all tests of a process."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from memorybank.search import mirror
from tests.support.chroma_server import Chroma, chroma_server

_PATIENCE_SECONDS = 120


@pytest.fixture(scope="session")
def shared_chroma(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chroma]:
    with chroma_server(tmp_path_factory.mktemp("chroma")) as server:
        yield server


@pytest.fixture
def chroma(tmp_path: Path) -> Iterator[Chroma]:
    """One that a test may kill and rob."""
    with chroma_server(tmp_path / "chroma") as server:
        yield server


@pytest.fixture
def _looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mirror, "_LOOK_SECONDS", 0.1)
    monkeypatch.setattr(mirror, "_PAUSES", (0.05,))


async def until(condition: Callable[[], Awaitable[bool]]) -> None:
    """Return once it holds."""
    async with asyncio.timeout(_PATIENCE_SECONDS):
        while not await condition():  # noqa: ASYNC110  # another process cannot set an event
            await asyncio.sleep(0.05)
