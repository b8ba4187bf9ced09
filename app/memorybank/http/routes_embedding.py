"""/v1/admin/embedding and what can be done about it."""

from __future__ import annotations

from fastapi import APIRouter

from memorybank.http.caller import Caller
from memorybank.schemas.embedding import Discarded, EmbeddingStatus
from memorybank.services.embedding import Reembedding


class EmbeddingRoutes:
    """Ask the service, show."""

    def __init__(self, service: Reembedding) -> None:
        self._service = service

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1/admin", tags=["embedding"])
        router.add_api_route(
            "/embedding", self.status, methods=["GET"], summary="How far embedding is"
        )
        for name, act, summary in (
            ("rollback", self.roll_back, "Go back to the embedding model before"),
            ("resume", self.resume, "Go over to the embedding model of the settings after all"),
            ("discard", self.discard, "Drop the vectors of models that are not in use"),
        ):
            router.add_api_route(f"/embedding/{name}", act, methods=["POST"], summary=summary)
        return router

    async def status(self, caller: Caller) -> EmbeddingStatus:
        """Tell how many memories wait for their vectors, and why."""
        return await self._service.status(caller)

    async def roll_back(self, caller: Caller) -> EmbeddingStatus:
        """Let the model and the vectors serve that did before the last switch, at once."""
        return await self._service.roll_back(caller)

    async def resume(self, caller: Caller) -> EmbeddingStatus:
        """Take up again what a rollback has stopped."""
        return await self._service.resume(caller)

    async def discard(self, caller: Caller) -> Discarded:
        """Free the space; there is no way back to these models without embedding all anew."""
        return await self._service.discard(caller)
