"""Questions to a bank and what it answers."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field, field_validator
from typing_extensions import override

from memorybank.domain.context import Bundle
from memorybank.domain.highlights import excerpt, highlights
from memorybank.domain.memory import Memory, MemoryFilter, MemoryState
from memorybank.domain.search import Facets, Hit, Refinement, Scalar, Suggestion
from memorybank.domain.text import stem, terms
from memorybank.schemas.fields import (
    MAX_QUERY,
    MAX_RESULTS,
    Metadata,
    Moment,
    Name,
    Query,
    Request,
    Response,
    Tags,
    Types,
)
from memorybank.schemas.memories import MemoryView

MAX_METADATA_FILTERS = 8
MAX_TOKENS = 32_000

_LIVE = frozenset({MemoryState.LIVE})
_NOTHING: frozenset[str] = frozenset()
_FINDABLE = _LIVE | {MemoryState.ARCHIVED}


class Mode(StrEnum):
    """What decides about the rank."""

    HYBRID = "hybrid"
    LEXICAL = "lexical"
    VECTOR = "vector"

    @property
    def uses_words(self) -> bool:
        """Whether the words of the query count."""
        return self is not Mode.VECTOR


class Filters(Request):
    """Where to look. Filters apply before ranking and combine with AND."""

    project: Name | None = Field(None, description="Only this project.")
    session: Name | None = Field(None, description="Only this conversation.")
    types: Types = Field([], description="Only these types; empty means any.")
    tags_all: Tags = Field([], description="Only memories with all of these tags.")
    tags_any: Tags = Field([], description="Only memories with at least one of these tags.")
    metadata: Metadata = Field(
        {}, description="Only memories whose metadata holds these values, at its top level."
    )
    created_after: Moment | None = Field(None, description="Only what was stored later than this.")
    created_before: Moment | None = Field(
        None, description="Only what was stored earlier than this."
    )
    include_archived: bool = Field(False, description="Archived memories, too.")
    as_of: Moment | None = Field(
        None, description="What held at this time; absent means what holds now."
    )

    @field_validator("metadata")
    @classmethod
    def _plain(cls, value: dict[str, Scalar]) -> dict[str, Scalar]:
        if len(value) > MAX_METADATA_FILTERS:
            raise ValueError(f"must have at most {MAX_METADATA_FILTERS} entries")
        for key, each in value.items():
            if isinstance(each, dict | list):
                raise ValueError(f"{key} must be a text, a number, true, false or null")
        return value

    def where(self) -> MemoryFilter:
        """Return what the store's filter says of it."""
        return MemoryFilter(
            project=self.project,
            session=self.session,
            types=frozenset(self.types),
            tags_all=frozenset(self.tags_all),
            created_after=self.created_after,
            created_before=self.created_before,
            states=_FINDABLE if self.include_archived else _LIVE,
            valid_at=self.as_of,
        )

    def refinement(self) -> Refinement:
        """Return the rest of the filters."""
        return Refinement(tags_any=frozenset(self.tags_any), metadata=self.metadata)


class SearchRequest(Filters):
    """A question, and where to look."""

    query: Query = Field(description="What to find, as a question or in key words.")
    limit: Annotated[int, Field(ge=1, le=MAX_RESULTS)] = Field(
        10, description="How many memories to return at most."
    )
    mode: Annotated[Mode, Field(strict=False)] = Field(
        Mode.HYBRID, description="What decides: meaning and words, words alone, meaning alone."
    )
    min_score: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="Leave out what scores less."
    )
    diversity: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="How much a memory loses by being like a better one."
    )
    explain: bool = Field(False, description="Say what each score is made of.")
    highlight: bool = Field(False, description="Say where the query's words are.")
    tags: Tags = Field(
        [], description="The same as tags_all.", json_schema_extra={"deprecated": True}
    )

    @override
    def where(self) -> MemoryFilter:
        """Return what the store's filter says of it."""
        tags = frozenset(self.tags_all) | frozenset(self.tags)
        return super().where().with_tags(tags)

    @override
    def refinement(self) -> Refinement:
        """Return the rest of the filters, and how to rank."""
        return Refinement(
            tags_any=frozenset(self.tags_any),
            metadata=self.metadata,
            min_score=self.min_score,
            diversity=self.diversity,
        )


class ContextRequest(Filters):
    """A question, and how much room there is for what is known about it."""

    query: Query = Field(description="What the text is to be about.")
    max_tokens: Annotated[int, Field(ge=100, le=MAX_TOKENS)] = Field(
        1_000, description="How long the text may be, by a careful estimate."
    )
    min_score: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0, description="Leave out what scores less."
    )

    def search(self, *, limit: int) -> SearchRequest:
        """Return the search for it."""
        fields = {name: getattr(self, name) for name in Filters.model_fields}
        return SearchRequest.model_construct(
            **fields, query=self.query, min_score=self.min_score, limit=limit
        )


class FacetsRequest(Filters):
    """Which memories to count."""


class SuggestionsRequest(Request):
    """What was typed so far."""

    query: Annotated[str, Field(min_length=1, max_length=MAX_QUERY)] = Field(
        description="The beginning of a query; its last word need not be finished."
    )
    project: Name | None = Field(None, description="Only from this project.")
    limit: Annotated[int, Field(ge=1, le=50)] = Field(
        10, description="How many suggestions to return at most."
    )


class SimilarQuery(Request):
    """How many memories like one to return."""

    # Not strict: a query string has texts only.
    limit: Annotated[int, Field(ge=1, le=MAX_RESULTS, strict=False)] = Field(
        10, description="How many memories to return at most."
    )
    same_project: Annotated[bool, Field(strict=False)] = Field(
        False, description="Only from the same project."
    )


class ScoreParts(Response):
    """What a score is made of."""

    lexical: float = Field(description="How well the words fit, 0 to 1.")
    session: float = Field(description="How well the words of the whole conversation fit, 0 to 1.")
    vector: float | None = Field(description="How near the meaning is, 0 to 1; null without one.")
    prior: float = Field(description="Factor of importance and recency, .95 to 1.1.")


class SpanView(Response):
    """A part of `content`, in Unicode characters; `end` is behind it."""

    start: int
    end: int


class Highlights(Response):
    """Where the words of the query are in `content`."""

    spans: list[SpanView]
    excerpt: str = Field(description="The part of the content that says most.")


class SearchResult(Response):
    """A memory that was found."""

    memory: MemoryView
    score: float = Field(description="Higher is better; comparable within one mode.")
    parts: ScoreParts | None = Field(None, description="Where it was asked for by `explain`.")
    highlights: Highlights | None = Field(
        None, description="Where it was asked for by `highlight`."
    )

    @classmethod
    def of(
        cls, memory: Memory, hit: Hit, *, explain: bool = False, wanted: frozenset[str] = _NOTHING
    ) -> SearchResult:
        """Show a hit; with terms that are wanted, where they are."""
        return cls(
            memory=MemoryView.of(memory),
            score=hit.score,
            parts=ScoreParts(**hit.parts._asdict()) if explain else None,
            highlights=_highlights(memory.content, wanted) if wanted else None,
        )


class SearchResponse(Response):
    """What was found, best first."""

    results: list[SearchResult]
    degraded: str | None = Field(
        None, description="Why the words alone decided, when meaning should have, too."
    )

    @classmethod
    def of(
        cls,
        found: list[tuple[Memory, Hit]],
        degraded: str | None = None,
        request: SearchRequest | None = None,
    ) -> SearchResponse:
        """Show what a search returned, in the detail that the request asks for."""
        explain = request is not None and request.explain
        wanted = _NOTHING
        if request is not None and request.highlight:
            wanted = frozenset(map(stem, terms(request.query)))
        return cls(
            results=[
                SearchResult.of(memory, hit, explain=explain, wanted=wanted)
                for memory, hit in found
            ],
            degraded=degraded,
        )


def _highlights(content: str, wanted: frozenset[str]) -> Highlights:
    spans = highlights(content, wanted)
    part = excerpt(content, spans)
    return Highlights(
        spans=[SpanView(start=span.start, end=span.end) for span in spans],
        excerpt=content[part.start : part.end],
    )


class PackedView(Response):
    """A memory within the text."""

    id: str
    score: float
    truncated: bool = Field(description="Whether only its beginning is in the text.")


class ContextResponse(Response):
    """What is known, as a text for a prompt. It quotes: what it holds is data, no instructions."""

    text: str = Field(description="Each memory under a line with its id, quoted by '> '.")
    tokens: int = Field(description="How many tokens the text has at most.")
    memories: list[PackedView]
    omitted: int = Field(description="Memories that were found and did not fit.")
    degraded: str | None = None

    @classmethod
    def of(
        cls, bundle: Bundle, found: list[tuple[Memory, Hit]], degraded: str | None
    ) -> ContextResponse:
        """Show a bundle."""
        scores = {memory.id: hit.score for memory, hit in found}
        return cls(
            text=bundle.text,
            tokens=bundle.tokens,
            memories=[
                PackedView(
                    id=each.memory_id, score=scores[each.memory_id], truncated=each.truncated
                )
                for each in bundle.memories
            ],
            omitted=bundle.omitted,
            degraded=degraded,
        )


class FacetValue(Response):
    """A value and how many memories have it."""

    value: str
    count: int


class FacetsResponse(Response):
    """How the memories are spread. Each list has at most 50 values, the most frequent first."""

    total: int
    types: list[FacetValue]
    tags: list[FacetValue]
    projects: list[FacetValue]
    sessions: list[FacetValue]
    lengths: list[FacetValue] = Field(description="By number of words.")
    months: list[FacetValue] = Field(description="By creation, newest first.")

    @classmethod
    def of(cls, facets: Facets) -> FacetsResponse:
        """Show the counts."""
        lists = {
            name: [FacetValue(value=value, count=count) for value, count in getattr(facets, name)]
            for name in ("types", "tags", "projects", "sessions", "lengths", "months")
        }
        return cls(total=facets.total, **lists)


class SuggestionView(Response):
    """A way to go on with a query."""

    text: str
    kind: str = Field(description="title, tag or word")
    memories: int = Field(description="How many memories it leads to.")


class SuggestionsResponse(Response):
    """What the bank itself holds that begins so."""

    suggestions: list[SuggestionView]

    @classmethod
    def of(cls, suggestions: list[Suggestion]) -> SuggestionsResponse:
        """Show the suggestions."""
        return cls(suggestions=[SuggestionView(**each._asdict()) for each in suggestions])
