"""The description of an OAuth 2.0 protected resource, as RFC 9728 names its fields."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from memorybank.domain.keys import Scope
from memorybank.schemas.fields import Response


class ProtectedResource(Response):
    """What a client has to know before it asks for a token."""

    resource: str = Field(description="What the token must be for.")
    resource_name: str
    authorization_servers: list[str] = Field(
        description="Who issues tokens; empty when this bank takes API keys only."
    )
    scopes_supported: list[Scope]
    bearer_methods_supported: list[Literal["header"]]
