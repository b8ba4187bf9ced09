"""/v1/admin/audit and /v1/admin/usage."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response, StreamingResponse

from memorybank.domain.audit import AuditRecord, Chain
from memorybank.http.body import JsonRoute
from memorybank.http.caller import Caller
from memorybank.schemas.audit import (
    AuditHeader,
    AuditList,
    AuditQuery,
    AuditRecordView,
    EndpointUsage,
    Usage,
    UsageQuery,
)
from memorybank.schemas.keys import KeyListQuery
from memorybank.services.audit import AuditService

_JSONL = "application/jsonl"
_EXPORT = {200: {"content": {_JSONL: {"schema": {"type": "string"}}}, "description": "JSON lines."}}


class AuditRoutes:
    """Parse, call the service, show."""

    def __init__(self, service: AuditService) -> None:
        self._service = service

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1/admin", route_class=JsonRoute, tags=["audit"])
        add = router.add_api_route
        add("/audit", self.page, methods=["GET"], summary="Read the audit log")
        add(
            "/audit/export",
            self.export,
            methods=["GET"],
            summary="Export the audit log",
            response_class=Response,
            responses=_EXPORT,  # type: ignore[arg-type]  # FastAPI's type is narrower than its use
        )
        add("/usage", self.usage, methods=["GET"], summary="Count requests")
        return router

    async def page(self, caller: Caller, query: Annotated[AuditQuery, Query()]) -> AuditList:
        """Read who did what, newest first."""
        page = await self._service.page(caller, query)
        return AuditList(
            records=[AuditRecordView.of(record) for record in page.records],
            next_cursor=page.next_cursor,
            total=page.total,
        )

    async def export(self, caller: Caller, query: Annotated[KeyListQuery, Query()]) -> Response:
        """Export a tenant's whole log, oldest first, for `memorybank audit verify`."""
        chain, records = await self._service.export(caller, query.tenant)
        return StreamingResponse(_lines(chain, records), media_type=_JSONL)

    async def usage(self, caller: Caller, query: Annotated[UsageQuery, Query()]) -> Usage:
        """Count a tenant's requests by endpoint."""
        first, last, counts = await self._service.usage(caller, query)
        return Usage(
            first_day=first,
            last_day=last,
            requests=sum(count.requests for count in counts.values()),
            endpoints=[
                EndpointUsage(
                    endpoint=name,
                    requests=count.requests,
                    refused=count.refused,
                    failed=count.failed,
                )
                for name, count in counts.items()
            ],
        )


async def _lines(chain: Chain, records: AsyncIterator[AuditRecord]) -> AsyncIterator[str]:
    yield AuditHeader.of(chain).model_dump_json() + "\n"
    async for record in records:
        yield AuditRecordView.of(record).model_dump_json() + "\n"
