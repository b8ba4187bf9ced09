"""/v1/admin/embedding."""

from __future__ import annotations

from fastapi import APIRouter

from memorybank.http.caller import Caller
from memorybank.schemas.embedding import EmbeddingStatus
from memorybank.services.embedding import Reembedding


class EmbeddingRoutes:
    """Ask the service, show."""

    def __init__(self, service: Reembedding) -> None:
        self._service = service

    def router(self) -> APIRouter:
        """Return the route."""
        router = APIRouter(prefix="/v1/admin", tags=["embedding"])
        router.add_api_route(
            "/embedding", self.status, methods=["GET"], summary="How far embedding is"
        )
        return router

    async def status(self, caller: Caller) -> EmbeddingStatus:
        """Tell how many memories wait for their vectors, and why."""
        return await self._service.status(caller)
