"""The caller of a route, as the Authentication middleware found out."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from memorybank.auth.principal import Principal


async def _caller(request: Request) -> Principal:
    principal: Principal = request.state.principal
    return principal


Caller = Annotated[Principal, Depends(_caller)]
