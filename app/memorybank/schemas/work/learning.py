"""What episodes teach, as it is asked for and shown."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from memorybank.domain.learning import words
from memorybank.domain.learning.experience import MIN_SUPPORT, Judged, Scope
from memorybank.domain.learning.mining import Effect, PatternKind
from memorybank.schemas.fields import Name, Query, Request, Response
from memorybank.schemas.memories import MemoryView
from memorybank.schemas.search import MAX_TOKENS
from memorybank.schemas.work.things import ThingQuery

# Not strict: JSON and query strings have no enumerations, only texts.
KindName = Annotated[PatternKind, Field(strict=False)]
EffectName = Annotated[Effect, Field(strict=False)]


class PatternQuery(Request):
    """Which patterns to show, the best first."""

    # Not strict: a query string has texts only.
    kind: KindName | None = Field(None, description="Only of this kind.")
    project: Name | None = Field(None, description="Only what was seen in this project.")
    task_type: Name | None = Field(None, description="Only what was seen in this kind of work.")
    min_support: Annotated[int, Field(ge=1, le=10_000, strict=False)] = Field(
        MIN_SUPPORT, description="Only what was seen in so many episodes."
    )
    proven: Annotated[bool, Field(strict=False)] = Field(
        False, description="Only what is no coincidence."
    )
    limit: Annotated[int, Field(ge=1, le=100, strict=False)] = 20

    def scope(self) -> Scope:
        """Return which work is meant."""
        return Scope(self.project, self.task_type)


class FeedbackView(Response):
    """What a pattern was good for when it was tried on advice: how often."""

    helped: int
    no_effect: int
    hindered: int


class WhyView(Response):
    """Episodes in which a pattern was seen, the newest ones."""

    well: list[str] = Field(description="Ids of those that went well.")
    badly: list[str] = Field(description="Ids of those that did not.")


class PatternView(Response):
    """Something that episodes have in common, and what speaks for it."""

    id: str = Field(description="The same for the same pattern, in whatever bank.")
    kind: PatternKind
    condition: list[str] = Field(
        description="When: nothing for a sequence; tool and result; error; feature and value."
    )
    action: list[str] = Field(description="What is done: tools in their order.")
    text: str = Field(description="All of it in words.")
    seen: int = Field(description="Episodes in which it was seen.")
    well: float = Field(description="How many went well; a partial success is a half.")
    expected: float = Field(
        description="How many would have, as those that it is compared with did."
    )
    lower: float = Field(description="Wilson lower bound of the share that went well.")
    lift: float = Field(description="well / expected; 1 is no difference.")
    gain: float = Field(description="lower less the share expected: patterns are ranked by it.")
    proven: bool = Field(description="Whether the gain is above 0.")
    feedback: FeedbackView
    why: WhyView

    @classmethod
    def of(cls, judged: Judged, why: tuple[list[str], list[str]]) -> PatternView:
        """Show a pattern."""
        pattern = judged.pattern
        return cls(
            id=pattern.id,
            kind=pattern.kind,
            condition=list(pattern.condition),
            action=list(pattern.action),
            text=words.sentence(judged),
            seen=judged.seen,
            well=judged.well,
            expected=round(judged.expected, 6),
            lower=round(judged.lower, 6),
            lift=round(judged.lift, 6),
            gain=round(judged.gain, 6),
            proven=judged.is_proven,
            feedback=FeedbackView(
                helped=judged.helped, no_effect=judged.no_effect, hindered=judged.hindered
            ),
            why=WhyView(well=why[0], badly=why[1]),
        )


class PatternList(Response):
    """Patterns, the best first."""

    patterns: list[PatternView]
    episodes: int = Field(description="How many episodes they were learned from.")


class HeuristicQuery(ThingQuery):
    """Which heuristics to list."""


class HeuristicsLearned(Response):
    """What was written down of what is proven now."""

    added: int
    changed: int
    archived: int = Field(description="Those that are not proven any more.")


class NewFeedback(Request):
    """What a pattern was good for in an episode."""

    pattern: Name = Field(description="Its id.")
    effect: EffectName


class Task(Request):
    """What is to be done."""

    text: Query = Field(description="The task in words.")
    task_type: Name | None = Field(None, description="What kind of work, as episodes name it.")
    domain: Name | None = None
    language: Name | None = None
    framework: Name | None = None
    project: Name | None = None
    errors: Annotated[list[Name], Field(max_length=10)] = Field(
        [], description="Errors that were met, as steps name them."
    )
    limit: Annotated[int, Field(ge=1, le=20)] = Field(5, description="Of each kind of advice.")
    max_tokens: Annotated[int, Field(ge=50, le=MAX_TOKENS)] | None = Field(
        None, description="How long the playbook may be, about."
    )

    def features(self) -> list[tuple[str, str]]:
        """Return what the work is in, as patterns have it."""
        named = {"domain": self.domain, "language": self.language, "framework": self.framework}
        return [(name, value) for name, value in named.items() if value is not None]


class SimilarView(Response):
    """An episode that had to do with something alike."""

    episode: MemoryView
    score: float = Field(description="Only to be compared within this answer.")
    tools: list[str] = Field(description="What was done, the first 50 steps.")


class Advice(Response):
    """What experience says about a task, each with why."""

    similar: list[SimilarView]
    sequences: list[PatternView] = Field(description="Tools whose order is no coincidence.")
    cures: list[PatternView] = Field(description="What helped against errors; first those named.")
    choices: list[PatternView] = Field(description="What to do next, and with such work.")
    heuristics: list[MemoryView] = Field(description="What is written down of such work.")
    playbook: str = Field(description="The best of it in words, as long as it may be.")
