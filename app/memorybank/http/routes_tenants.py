"""/v1/admin/tenants."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Path, Query, Response

from memorybank.http.body import JsonRoute
from memorybank.http.caller import Caller
from memorybank.schemas.tenants import (
    NewTenant,
    TenantList,
    TenantListQuery,
    TenantPatch,
    TenantStatsView,
    TenantView,
)
from memorybank.services.tenants import TenantService

Name = Annotated[str, Path(description="The tenant's name.")]
WithData = Annotated[
    bool, Query(description="Delete its memories and keys with it; else it must have none.")
]


class TenantRoutes:
    """Parse, call the service, show."""

    def __init__(self, service: TenantService) -> None:
        self._service = service

    def router(self) -> APIRouter:
        """Return the routes."""
        router = APIRouter(prefix="/v1/admin/tenants", route_class=JsonRoute, tags=["tenants"])
        add = router.add_api_route
        add("", self.create, methods=["POST"], status_code=201, summary="Make a tenant")
        add("", self.list_page, methods=["GET"], summary="List tenants")
        add("/{name}", self.get, methods=["GET"], summary="Get a tenant")
        add("/{name}", self.change, methods=["PATCH"], summary="Change a tenant's limits")
        add("/{name}", self.delete, methods=["DELETE"], status_code=204, summary="Delete a tenant")
        add("/{name}/stats", self.stats, methods=["GET"], summary="Count what a tenant holds")
        return router

    async def create(self, caller: Caller, new: NewTenant, response: Response) -> TenantView:
        """Make a tenant. It has no keys yet: make one with its name as `tenant`."""
        tenant = await self._service.create(caller, new)
        response.headers["Location"] = f"/v1/admin/tenants/{tenant.name}"
        return TenantView.of(tenant)

    async def list_page(
        self, caller: Caller, query: Annotated[TenantListQuery, Query()]
    ) -> TenantList:
        """List the tenants that the caller administers, in the order of their names."""
        page = await self._service.list_page(caller, query)
        return TenantList(
            tenants=[TenantView.of(tenant) for tenant in page.tenants],
            next_cursor=page.next_cursor,
            total=page.total,
        )

    async def get(self, caller: Caller, name: Name) -> TenantView:
        """Get one tenant."""
        return TenantView.of(await self._service.get(caller, name))

    async def change(self, caller: Caller, name: Name, patch: TenantPatch) -> TenantView:
        """Change the limits that are sent; null removes one. They hold from the next request on."""
        return TenantView.of(await self._service.change(caller, name, patch))

    async def delete(self, caller: Caller, name: Name, *, with_data: WithData = False) -> None:
        """Delete a tenant. Its keys are void at once; when this answers, its data is gone."""
        await self._service.delete(caller, name, with_data=with_data)

    async def stats(self, caller: Caller, name: Name) -> TenantStatsView:
        """Count what a tenant holds."""
        return TenantStatsView.of(await self._service.stats(caller, name))
