"""/v1/wake-up: what an agent that begins anew needs to know."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query

from memorybank.http.body import JsonRoute
from memorybank.http.caller import Caller
from memorybank.schemas.wakeup import WakeUpQuery, WakeUpRequest, WakeUpResponse
from memorybank.services.waking import Waking


class WakeUpRoutes:
    """Parse, call the service, show."""

    def __init__(self, waking: Waking) -> None:
        self._waking = waking

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1/wake-up", route_class=JsonRoute, tags=["wake_up"])
        add = router.add_api_route
        add("", self.post, methods=["POST"], summary="What is to be known, for a prompt")
        add("", self.get, methods=["GET"], summary="The same, asked for by a query string")
        return router

    async def post(self, caller: Caller, request: WakeUpRequest) -> WakeUpResponse:
        """Tell what was done, decided and learned, and what is next, within so many tokens."""
        return WakeUpResponse.of(*await self._waking.wake_up(caller, request))

    async def get(self, caller: Caller, query: Annotated[WakeUpQuery, Query()]) -> WakeUpResponse:
        """Tell what was done, decided and learned, and what is next, within so many tokens."""
        return WakeUpResponse.of(*await self._waking.wake_up(caller, query))
