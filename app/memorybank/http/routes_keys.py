"""/v1/admin/keys."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query

from memorybank.domain.keys import ApiKey
from memorybank.http.body import JsonRoute
from memorybank.http.caller import Caller
from memorybank.schemas.keys import (
    CreatedKey,
    KeyList,
    KeyListQuery,
    KeyRotation,
    KeyView,
    ManagedKeyList,
    ManagedKeysView,
    NewKey,
)
from memorybank.services.keys import KeyService

Id = Annotated[str, Path(description="The key's id, not the key.")]


class KeyRoutes:
    """Parse, call the service, show."""

    def __init__(self, service: KeyService) -> None:
        self._service = service

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1/admin/keys", route_class=JsonRoute, tags=["keys"])
        add = router.add_api_route
        add("", self.create, methods=["POST"], status_code=201, summary="Make a key")
        add("", self.list_all, methods=["GET"], summary="List keys")
        add("/managed", self.manage, methods=["PUT"], summary="Say which managed keys are valid")
        add("/{id}", self.revoke, methods=["DELETE"], status_code=204, summary="Revoke a key")
        add("/{id}/rotate", self.rotate, methods=["POST"], status_code=201, summary="Rotate a key")
        return router

    async def create(self, caller: Caller, new: NewKey) -> CreatedKey:
        """Make a key. This answer is the only place where it is ever shown."""
        return self._created(*await self._service.create(caller, new))

    async def list_all(self, caller: Caller, query: Annotated[KeyListQuery, Query()]) -> KeyList:
        """List all keys of a tenant, oldest first, revoked ones included."""
        keys = await self._service.list_all(caller, query.tenant)
        return KeyList(keys=[self._view(key) for key in keys])

    async def manage(self, caller: Caller, listed: ManagedKeyList) -> ManagedKeysView:
        """Make the keys of this list, and no other managed ones, valid at once.

        For whoever keeps keys elsewhere, such as the Kubernetes operator: only digests are sent.
        The same list again changes nothing, so it can be sent whenever in doubt.
        """
        return ManagedKeysView(keys=await self._service.manage(caller, listed.keys))

    async def revoke(self, caller: Caller, id: Id) -> None:  # noqa: A002  # the API's name
        """Make a key invalid at once."""
        await self._service.revoke(caller, id)

    async def rotate(
        self,
        caller: Caller,
        id: Id,  # noqa: A002  # the API's name
        rotation: KeyRotation,
    ) -> CreatedKey:
        """Make a key that replaces this one, which stays valid for the overlap at most."""
        return self._created(*await self._service.rotate(caller, id, rotation))

    def _created(self, key: ApiKey, token: str) -> CreatedKey:
        return CreatedKey(**dict(self._view(key)), key=token)

    def _view(self, key: ApiKey) -> KeyView:
        return KeyView.of(key, self._service.scopes(key))
