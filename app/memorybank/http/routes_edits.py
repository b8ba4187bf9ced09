"""/v1/edits: changes of memories that one key proposes and another one approves."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Response

from memorybank.domain.gate import Finding
from memorybank.domain.memory import Memory
from memorybank.http.body import JsonRoute
from memorybank.http.caller import Caller
from memorybank.http.routes_memories import Id, Once
from memorybank.schemas.life import ChangedView
from memorybank.schemas.work.edits import (
    AppliedView,
    EditDecision,
    EditList,
    EditQuery,
    EditView,
    NewEdit,
)
from memorybank.services.work.edits import Edits


class EditRoutes:
    """Parse, call the service, show."""

    def __init__(self, edits: Edits) -> None:
        self._edits = edits

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1/edits", route_class=JsonRoute, tags=["edits"])
        add = router.add_api_route
        add("", self.propose, methods=["POST"], status_code=201, summary="Propose a change")
        add("", self.list_page, methods=["GET"], summary="List, newest first")
        add("/{id}", self.get, methods=["GET"], summary="Get")
        add("/{id}/approve", self.approve, methods=["POST"], summary="Approve")
        add("/{id}/reject", self.reject, methods=["POST"], summary="Reject")
        add("/{id}/roll-back", self.roll_back, methods=["POST"], summary="Roll back")
        return router

    async def propose(
        self, caller: Caller, new: NewEdit, response: Response, once: Once = None
    ) -> EditView:
        """Propose a change of a memory, which stays as it is until somebody else approves it."""
        stored = await self._edits.propose(caller, new, once=once)
        response.headers["Location"] = f"/v1/edits/{stored.memory.id}"
        return EditView.of(stored.memory)

    async def list_page(self, caller: Caller, query: Annotated[EditQuery, Query()]) -> EditList:
        """List proposals. Searches never find them."""
        return EditList.of(await self._edits.list_page(caller, query))

    async def get(self, caller: Caller, id: Id) -> EditView:  # noqa: A002  # the API's name
        """Get one."""
        return EditView.of(await self._edits.get(caller, id))

    async def approve(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        decision: EditDecision | None = None,
    ) -> AppliedView:
        """Change the memory as it was proposed, if nobody has changed it since.

        Not by the key that proposed it, unless it has the scope memory:admin.
        """
        comment = decision.comment if decision else None
        return _applied(*await self._edits.approve(caller, id, comment=comment))

    async def reject(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        decision: EditDecision | None = None,
    ) -> EditView:
        """Decide that a proposal is not to be. Who proposed it takes it back so."""
        comment = decision.comment if decision else None
        return EditView.of(await self._edits.reject(caller, id, comment=comment))

    async def roll_back(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        decision: EditDecision | None = None,
    ) -> AppliedView:
        """Let the memory say again what it said before, if nobody has changed it since."""
        comment = decision.comment if decision else None
        return _applied(*await self._edits.roll_back(caller, id, comment=comment))


def _applied(edit: Memory, memory: Memory, findings: tuple[Finding, ...]) -> AppliedView:
    return AppliedView(edit=EditView.of(edit), memory=ChangedView.changed(memory, findings))
