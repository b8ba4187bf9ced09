"""Episodes as they are sent, asked for and shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import Field
from typing_extensions import override

from memorybank.domain.memory import HasDetail, Memory, MemoryFilter, MemoryType
from memorybank.domain.work.episodes import (
    MAX_STEPS,
    EpisodeOutcome,
    EpisodeStatus,
    Pack,
    Step,
    StepResult,
)
from memorybank.schemas.details import Share
from memorybank.schemas.fields import (
    MAX_PAGE,
    Detail,
    DetailList,
    MemoryId,
    Moment,
    Name,
    Request,
    Response,
    Title,
)
from memorybank.schemas.life import FindingView
from memorybank.schemas.memories import MemoryView
from memorybank.schemas.steps import StepFields, StepNumber
from memorybank.schemas.work.things import NewWritten, WrittenQuery

MAX_STEPS_AT_ONCE = 1_000

# Not strict: JSON and query strings have no enumerations, only texts.
StatusName = Annotated[EpisodeStatus, Field(strict=False)]
OutcomeName = Annotated[EpisodeOutcome, Field(strict=False)]


class NewEpisode(NewWritten):
    """A piece of work that begins."""

    type = MemoryType.EPISODE
    deduplicate = False  # of the same words, it is another one nevertheless

    task_type: Name | None = Field(
        None, description="What kind of work: debugging, testing. Its like are compared with it."
    )
    domain: Name | None = Field(None, description="What it is about: web-api, billing.")
    language: Name | None = None
    framework: Name | None = None
    complexity: Literal["simple", "moderate", "complex"] | None = None

    @override
    def said(self) -> dict[str, Any]:
        """See NewThing."""
        return super().said() | {"status": EpisodeStatus.OPEN}


class EpisodeQuery(WrittenQuery):
    """Which episodes to list."""

    status: StatusName | None = Field(None, description="Only those that stand there.")
    outcome: OutcomeName | None = Field(None, description="Only those that ended so.")
    task_type: Name | None = Field(None, description="Only of this kind of work.")

    @override
    def wanted(self, _now: datetime) -> tuple[MemoryFilter, tuple[HasDetail, ...]]:
        """Return what the list holds."""
        found = []
        if self.status is not None:
            is_first = self.status is EpisodeStatus.OPEN  # as status_of has it
            found.append(HasDetail("status", (self.status.value,), or_absent=is_first))
        if self.outcome is not None:
            found.append(HasDetail("outcome", (self.outcome.value,)))
        if self.task_type is not None:
            found.append(HasDetail("task_type", (self.task_type,)))
        return self.where(), tuple(found)


class NewStep(StepFields):
    """Something that was done."""

    number: StepNumber | None = Field(
        None, description="Its place, from 1; the next one, if left out. The same again is known."
    )
    at: Moment | None = Field(None, description="When it was done; now, if left out.")

    def to_step(self, now: datetime) -> Step:
        """Return the step. Raises InvalidRequest."""
        return Step(number=self.number or 0, at=self.at or now, **self.said())


class NewStepList(Request):
    """What was done, in its order."""

    steps: Annotated[list[NewStep], Field(min_length=1, max_length=MAX_STEPS_AT_ONCE)]


class StepReceipt(Response):
    """What became of steps that were sent."""

    status: Literal["persisted", "queued"] = Field(
        description="persisted: durable. queued: written within a second; a crash before that loses"
        " it."
    )
    accepted: int = Field(description="How many steps were taken.")
    numbers: list[int] = Field(description="Their numbers, of those that are persisted.")
    findings: list[FindingView] = Field(description="What the write gate found in them.")


class StepView(Response):
    """A step of an episode."""

    number: int
    tool: str
    action: str | None
    result: StepResult
    error: str | None
    latency_ms: int | None
    tokens: int | None
    observation: str | None
    at: datetime

    @classmethod
    def of(cls, step: Step) -> StepView:
        """Show a step."""
        return cls(**{name: getattr(step, name) for name in cls.model_fields})


class StepQuery(Request):
    """Which steps to show."""

    # Not strict: a query string has texts only.
    after: Annotated[int, Field(ge=0, le=MAX_STEPS, strict=False)] = Field(
        0, description="Only those behind this one: `next_after` of the page before."
    )
    limit: Annotated[int, Field(ge=1, le=MAX_PAGE, strict=False)] = 100


class StepPage(Response):
    """Steps of an episode, in their order."""

    steps: list[StepView]
    next_after: int | None = Field(description="Pass it as `after` for more; null on the last.")
    total: int = Field(description="The number of the newest step.")


class EpisodeEnd(Request):
    """How an episode ended."""

    verdict: Detail | None = Field(None, description="In a sentence, how it went.")
    reflection: Detail | None = Field(None, description="What is to be learned from it.")
    artifacts: DetailList | None = Field(None, description="What came of it.")

    def given(self) -> dict[str, Any]:
        """Return what was said, as details have it."""
        return self.model_dump(mode="json", exclude_none=True)


class EpisodeCompletion(EpisodeEnd):
    """What came of an episode."""

    outcome: OutcomeName
    reward: Share | None = Field(None, description="How well it went, 0 to 1.")


class NewCheckpoint(Request):
    """A place that one can go on from."""

    reason: Title = Field(description="Why here.")
    note: Detail | None = Field(None, description="What whoever goes on should know.")
    left: DetailList | None = Field(None, description="What is left to do.")
    artifacts: DetailList | None = Field(None, description="What there is already.")
    handoff: bool = Field(False, description="Also keep its pack as a memory of type handoff.")


class PackView(Response):
    """What whoever goes on has to know."""

    episode: str
    checkpoint: str
    goal: str
    reason: str
    note: str | None
    steps: int = Field(description="How many there were then.")
    done: list[str] = Field(description="The newest of them in a line each, oldest first.")
    failed: list[str] = Field(description="Errors that were met, each once.")
    left: list[str] = Field(description="What is left to do.")
    artifacts: list[str]
    text: str = Field(description="All of it in words.")

    @classmethod
    def of(cls, pack: Pack) -> PackView:
        """Show a pack."""
        shown = {name: getattr(pack, name) for name in cls.model_fields if name != "text"}
        lists = {name: list(value) for name, value in shown.items() if isinstance(value, tuple)}
        return cls(**(shown | lists), text=pack.text())


class CheckpointView(Response):
    """A checkpoint that was made."""

    id: MemoryId
    at_step: int = Field(description="How many steps there were.")
    pack: PackView
    handoff: str | None = Field(description="Id of the memory of type handoff, if asked for.")


class ResumedView(Response):
    """An episode that goes on from another one."""

    episode: MemoryView
    pack: PackView

    @classmethod
    def of(cls, episode: Memory, pack: Pack) -> ResumedView:
        """Show it."""
        return cls(episode=MemoryView.of(episode), pack=PackView.of(pack))
