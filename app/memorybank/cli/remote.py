"""A bank behind a URL."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TypeVar

import httpx
from pydantic import BaseModel, ValidationError

from memorybank.errors import ConfigurationError, MemoryBankError, Unavailable
from memorybank.schemas.errors import ErrorEnvelope
from memorybank.schemas.health import ReadyReport
from memorybank.schemas.memories import MemoryView, NewMemory, SearchRequest, SearchResponse

_TIMEOUT_SECONDS = 30

Answer = TypeVar("Answer", bound=BaseModel)


class RemoteBank:
    """Calls the REST interface."""

    def __init__(self, client: httpx.AsyncClient) -> None:
        self._client = client

    @classmethod
    @asynccontextmanager
    async def connect(cls, url: str, key: str | None) -> AsyncIterator[RemoteBank]:
        """Return the bank at a URL."""
        headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        try:
            client = httpx.AsyncClient(base_url=url, headers=headers, timeout=_TIMEOUT_SECONDS)
        except (httpx.InvalidURL, UnicodeEncodeError) as error:
            raise ConfigurationError(
                "the URL or the key cannot be used", hint="a URL looks like http://127.0.0.1:8080"
            ) from error
        async with client:
            yield cls(client)

    async def store(self, new: NewMemory) -> MemoryView:
        """See Bank."""
        body = new.model_dump_json(exclude_unset=True)
        return _parsed(MemoryView, await self._request("POST", "/v1/memories", body))

    async def search(self, request: SearchRequest) -> SearchResponse:
        """See Bank."""
        body = request.model_dump_json(exclude_unset=True)
        return _parsed(SearchResponse, await self._request("POST", "/v1/search", body))

    async def health(self) -> ReadyReport:
        """See Bank. An answer 503 is a report, too."""
        return _parsed(ReadyReport, await self._request("GET", "/ready", None))

    async def _request(self, method: str, path: str, body: str | None) -> httpx.Response:
        headers = {} if body is None else {"Content-Type": "application/json"}
        try:
            return await self._client.request(method, path, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unavailable(
                f"no answer from {self._client.base_url}: {error or type(error).__name__}",
                hint="start the service, or name another one by --url",
            ) from error


def _parsed(kind: type[Answer], response: httpx.Response) -> Answer:
    try:
        if response.is_success or kind is ReadyReport:
            return kind.model_validate_json(response.content)
        detail = ErrorEnvelope.model_validate_json(response.content).error
    except ValidationError:
        raise Unavailable(
            f"{response.url} answered {response.status_code}, not as a memory bank does",
            hint="name the URL of a memory bank",
        ) from None
    error = MemoryBankError(detail.message, field=detail.field, hint=detail.hint)
    error.code = detail.code
    raise error
