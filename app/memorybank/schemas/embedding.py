"""How the service says how far it is with embedding."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field

from memorybank.ports import Generation, GenerationState
from memorybank.schemas.fields import Response


class GenerationView(Response):
    """The vectors of one embedding space."""

    model: str = Field(description="Names the embedding space.")
    state: GenerationState = Field(
        description="`active` serves; `building` is being filled and will serve then; there is a"
        " way back to what is `kept`; an administrator went back from what is `refused`."
    )
    dimensions: int | None
    vectors: int = Field(description="Memories that have one.")
    created_at: datetime
    activated_at: datetime | None = Field(description="When it came to serve; null: never.")

    @classmethod
    def of(cls, generation: Generation) -> GenerationView:
        """Show a generation."""
        return cls(
            model=generation.model,
            state=generation.state,
            dimensions=generation.dimensions,
            vectors=generation.vectors,
            created_at=generation.created_at,
            activated_at=generation.activated_at,
        )


class Discarded(Response):
    """Vectors of models that are neither in use nor asked for were dropped."""

    vectors: int


class EmbeddingStatus(Response):
    """How many memories have a vector of the model in use, over all tenants."""

    model: str = Field(description="Names the embedding space.")
    dimensions: int
    memories: int = Field(description="In any state.")
    embedded: int
    pending: int = Field(description="Found by their words only, until they have a vector.")
    problem: str | None = Field(description="Why embedding does not go on; null when it does.")
    generations: list[GenerationView] = Field(
        description="One per model that there are vectors of, or are to be; oldest first."
    )
