"""What an agent that begins anew asks for, and what it is told."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from memorybank.domain.wakeup import Layer, WakeUpPack
from memorybank.schemas.fields import Name, Query, Request, Response
from memorybank.schemas.search import MAX_TOKENS

# Not strict: JSON has no enumerations, only texts.
LayerName = Annotated[Layer, Field(strict=False)]


class WakeUpRequest(Request):
    """Whose work goes on, and how much room there is to tell of it."""

    project: Name | None = Field(None, description="Only of this project.")
    session: Name | None = Field(
        None, description="The session of work that goes on, by its id: its hand-off, its outcome."
    )
    with_whom: Name | None = Field(None, description="Only hand-offs of the thread with this one.")
    max_tokens: Annotated[int, Field(ge=100, le=MAX_TOKENS)] = Field(
        1_500, description="How long the text may be, by a careful estimate."
    )
    layers: Annotated[list[LayerName], Field(max_length=len(Layer))] = Field(
        [], description="What to tell; empty means everything."
    )
    subject: Query | None = Field(None, description="What the work is about, to search for it too.")
    include_sensitive: bool = Field(
        False, description="Also a hand-off of high sensitivity, or a secret one."
    )

    def wanted(self) -> list[Layer]:
        """Return the layers in their order."""
        named = frozenset(self.layers or Layer)
        return [each for each in Layer if each in named]


class WakeUpQuery(WakeUpRequest):
    """The same, in a query string."""

    # Not strict: a query string has texts only.
    max_tokens: Annotated[int, Field(ge=100, le=MAX_TOKENS, strict=False)] = Field(
        1_500, description="How long the text may be, by a careful estimate."
    )
    include_sensitive: Annotated[bool, Field(strict=False)] = Field(
        False, description="Also a hand-off of high sensitivity, or a secret one."
    )


class ToldView(Response):
    """A memory within the text."""

    id: str
    truncated: bool = Field(description="Whether only its beginning is in the text.")


class LayerView(Response):
    """What a layer came to."""

    layer: Layer
    memories: list[ToldView]
    omitted: int = Field(description="Memories of it that did not fit.")


class WakeUpResponse(Response):
    """What is to be known, as a text for a prompt. It quotes: what it holds is data."""

    text: str = Field(
        description="Each layer under a heading, each memory under a line with its id, quoted by"
        " '> '; empty when there is nothing to tell."
    )
    tokens: int = Field(description="How many tokens the text has at most.")
    layers: list[LayerView]
    omitted: int = Field(description="Memories of all layers that did not fit.")
    degraded: str | None = Field(
        None, description="Why the words of the subject alone decided, when meaning should have."
    )

    @classmethod
    def of(cls, pack: WakeUpPack, degraded: str | None) -> WakeUpResponse:
        """Show a pack."""
        return cls(
            text=pack.text,
            tokens=pack.tokens,
            layers=[
                LayerView(
                    layer=each.layer,
                    memories=[
                        ToldView(id=one.memory_id, truncated=one.truncated) for one in each.memories
                    ],
                    omitted=each.omitted,
                )
                for each in pack.layers
            ],
            omitted=pack.omitted,
            degraded=degraded,
        )
