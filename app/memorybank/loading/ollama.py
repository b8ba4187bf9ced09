"""A model of one name on one Ollama server: is it there, bring it in, does it answer.

Every step can be repeated, and whatever was done before a crash counts: the server goes on with a
model that it pulled in part, and knows a file that it has by its digest.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import httpx
from pydantic import BaseModel

from memorybank.embedders.apis import OllamaApi

Tell = Callable[[str], None]
"""Hears what is being done."""

_ANSWER_SECONDS = 300.0
"""How long an embedding may take: as long as Ollama itself gives a model to get into memory."""
_QUIET_SECONDS = 900.0
"""How long the server may say nothing while it brings a model in: it checks gigabytes in silence.
"""
_PIECE = 1024 * 1024
_MAGIC = b"GGUF"
_MAX_SAID = 400
"""Characters of the server's own words that are passed on."""
_TEXT = "Is anybody there?"


class NotLoaded(Exception):
    """The model does not answer; `str` says why."""


class OllamaModel:
    """See the module."""

    def __init__(self, url: str, name: str, *, keep_alive: str, file: Path | None = None) -> None:
        """Make no contact yet. Without a `file` the model is pulled."""
        self.name = name
        self._api = OllamaApi(name, dimensions=None, keep_alive=keep_alive, truncate=True)
        self._file = file
        self._client = httpx.AsyncClient(
            base_url=url, timeout=httpx.Timeout(_ANSWER_SECONDS, connect=5.0)
        )

    async def close(self) -> None:
        """Give the connections up."""
        await self._client.aclose()

    async def is_there(self) -> bool:
        """Tell whether the server has the model. Raises NotLoaded."""
        with _reaching():
            answer = await self._client.get(f"/{self._api.models}")
            _expect(answer, 200)
            return self._api.lists_model(answer.content)

    async def bring(self, tell: Tell) -> None:
        """Have the server pull the model, or make it of the file. Raises NotLoaded."""
        if self._file is None:
            tell(f"pulling {self.name}")
            await self._follow("/api/pull", {"model": self.name}, tell)
        else:
            await self._import(self._file, tell)

    async def ask(self) -> None:
        """Have one text embedded, for which the server takes the model into memory.

        Raises NotLoaded.
        """
        with _reaching():
            answer = await self._client.post(f"/{self._api.path}", json=self._api.request([_TEXT]))
            _expect(answer, 200)
            [vector] = self._api.vectors(answer.content)
            if not any(vector):
                raise NotLoaded(f"{self.name} gives no vectors: is it a model for embedding?")

    async def _import(self, file: Path, tell: Tell) -> None:
        tell(f"reading {file}")
        digest = await asyncio.to_thread(_digest, file)
        blob = f"/api/blobs/{digest}"
        with _reaching():
            # It cuts the connection of whoever sends what it has already.
            if (await self._client.head(blob)).status_code != 200:
                tell(f"handing {file} over")
                with file.open("rb") as content:
                    answer = await self._client.post(
                        blob, content=_pieces(content), timeout=_QUIET_SECONDS
                    )
                _expect(answer, 200, 201)
        tell(f"making {self.name} of {file}")
        await self._follow("/api/create", {"model": self.name, "files": {file.name: digest}}, tell)

    async def _follow(self, path: str, body: dict[str, Any], tell: Tell) -> None:
        """Ask for something that takes long, and tell how far it is."""
        status = ""
        timeout = httpx.Timeout(_QUIET_SECONDS, connect=5.0)
        with _reaching():
            async with self._client.stream("POST", path, json=body, timeout=timeout) as answer:
                if answer.status_code != 200:
                    await answer.aread()
                _expect(answer, 200)
                async for line in answer.aiter_lines():
                    progress = _Progress.model_validate_json(line)
                    if progress.error:
                        raise NotLoaded(_said(progress.error))
                    status = progress.status
                    tell(progress.text)
        if status != "success":
            raise NotLoaded(f"the server stopped in the middle, at: {status or 'nothing'}")


class _Progress(BaseModel):
    status: str = ""
    error: str = ""
    total: int = 0
    completed: int = 0

    @property
    def text(self) -> str:
        """What it says, in steps of a tenth."""
        if not self.total:
            return self.status
        return f"{self.status}: {self.completed * 10 // self.total * 10} % of {_size(self.total)}"


class _Error(BaseModel):
    error: str


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


@contextmanager
def _reaching() -> Iterator[None]:
    """Raise NotLoaded for all that goes wrong on the way to the server and back."""
    try:
        yield
    except httpx.TimeoutException:
        raise NotLoaded("the server does not answer in time") from None
    except httpx.TransportError as error:
        raise NotLoaded(f"the server cannot be reached ({type(error).__name__})") from None
    except OSError as error:
        raise NotLoaded(_unreadable(error)) from None
    except ValueError:
        raise NotLoaded("the server answers something else than Ollama does") from None


def _expect(answer: httpx.Response, *statuses: int) -> None:
    if answer.status_code in statuses:
        return
    try:
        said = _Error.model_validate_json(answer.content).error
    except ValueError:
        said = ""
    raise NotLoaded(_said(said) if said else f"the server answers {answer.status_code}")


def _said(text: str) -> str:
    line = " ".join(text.split())
    return f"the server says: {line if len(line) <= _MAX_SAID else line[:_MAX_SAID] + '...'}"


def _unreadable(error: OSError) -> str:
    return f"the file {error.filename} cannot be read: {error.strerror}"


def _digest(file: Path) -> str:
    """Return the name under which the server keeps a file; raises NotLoaded if it is no model."""
    try:
        with file.open("rb") as content:
            if content.read(len(_MAGIC)) != _MAGIC:
                raise NotLoaded(f"the file {file} is not in the format GGUF")
            content.seek(0)
            return f"sha256:{hashlib.file_digest(content, 'sha256').hexdigest()}"
    except OSError as error:
        raise NotLoaded(_unreadable(error)) from None


async def _pieces(content: IO[bytes]) -> AsyncIterator[bytes]:
    while piece := await asyncio.to_thread(content.read, _PIECE):
        yield piece
