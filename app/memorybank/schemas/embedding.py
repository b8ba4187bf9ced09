"""How the service says how far it is with embedding."""

from __future__ import annotations

from pydantic import Field

from memorybank.schemas.fields import Response


class EmbeddingStatus(Response):
    """How many memories have a vector of the model in use, over all tenants."""

    model: str = Field(description="Names the embedding space.")
    dimensions: int
    memories: int = Field(description="In any state.")
    embedded: int
    pending: int = Field(description="Found by their words only, until they have a vector.")
    problem: str | None = Field(description="Why embedding does not go on; null when it does.")
