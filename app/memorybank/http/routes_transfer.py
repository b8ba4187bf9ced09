"""/v1/export and /v1/import: streams, so that no body is ever in memory as a whole."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Annotated, Any, Self

from fastapi import APIRouter, Query, Request
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect
from starlette.types import Send
from typing_extensions import override

from memorybank.errors import MemoryBankError
from memorybank.http.caller import Caller
from memorybank.http.errors import HttpProblem
from memorybank.schemas.transfer import ExportQuery, ImportQuery, ImportReport
from memorybank.services.exporting import ExportService
from memorybank.services.importing import ImportService

_logger = logging.getLogger(__name__)

_LINES = "application/x-ndjson"
_GZIP = "application/gzip"
_STALL_SECONDS = 60
"""How long a client may take no bytes: as long as it waits, the database's log grows."""

_FILE: dict[str, Any] = {"schema": {"type": "string", "format": "binary"}}
EXPORTED: dict[int | str, dict[str, Any]] = {
    200: {"content": {_LINES: _FILE, _GZIP: _FILE}, "description": "The file."}
}
"""How the answer is described that has an export."""


class TransferRoutes:
    """Pass bytes between the connection and the services."""

    def __init__(self, exports: ExportService, imports: ImportService) -> None:
        self._exports = exports
        self._imports = imports

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1", tags=["transfer"])
        router.add_api_route(
            "/export",
            self.export,
            methods=["GET"],
            summary="Export everything",
            response_class=StreamingResponse,
            responses=EXPORTED,
        )
        router.add_api_route(
            "/import",
            self.import_,
            methods=["POST"],
            summary="Import an export",
            name="import",
            openapi_extra={
                "requestBody": {"required": True, "content": {_LINES: _FILE, _GZIP: _FILE}}
            },
        )
        return router

    async def export(
        self, caller: Caller, query: Annotated[ExportQuery, Query()]
    ) -> StreamingResponse:
        """Write every memory, as of this moment, as JSON Lines. A file without end line was cut."""
        return Export.of(await self._exports.begin(caller, query), compressed=query.gzip)

    async def import_(
        self, caller: Caller, query: Annotated[ImportQuery, Query()], request: Request
    ) -> ImportReport:
        """Take over an export, gzip or not. The same file again changes nothing and goes on."""
        try:
            return await self._imports.run(caller, request.stream(), query)
        except ClientDisconnect:  # nobody hears it; the log does
            raise HttpProblem(400, "client_gone", "the client went before the file ended") from None


class Export(StreamingResponse):
    """Lets go of the database when the client stalls; what fails halfway cuts the connection."""

    @classmethod
    def of(cls, chunks: AsyncIterator[bytes], *, compressed: bool = False) -> Self:
        """Return the answer that has these bytes."""
        name = "memories.jsonl.gz" if compressed else "memories.jsonl"
        return cls(
            chunks,
            media_type=_GZIP if compressed else _LINES,
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def __init__(self, chunks: AsyncIterator[bytes], **options: Any) -> None:
        super().__init__(chunks, **options)
        self._chunks = chunks

    @override
    async def stream_response(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        assert isinstance(self._chunks, AsyncGenerator)  # noqa: S101  # the service's
        async with aclosing(self._chunks) as chunks:
            await send(start)
            try:
                async for chunk in chunks:
                    message = {"type": "http.response.body", "body": chunk, "more_body": True}
                    async with asyncio.timeout(_STALL_SECONDS):
                        await send(message)
            except (MemoryBankError, TimeoutError) as error:
                _logger.warning("an export was cut: %s", error or "the client took nothing more")
                return  # without an end of the body, which tells the client
        await send({"type": "http.response.body", "body": b"", "more_body": False})
