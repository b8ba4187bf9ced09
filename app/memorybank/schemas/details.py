"""The fields that a memory has by its type: its `details`.

Each type has a model; types that need no fields of their own have none. A memory may leave any
field out, but it cannot have one that its type does not know.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from memorybank.domain.memory import MemoryType
from memorybank.domain.work.edits import EditStatus
from memorybank.domain.work.sessions import SessionStatus
from memorybank.domain.work.tasks import Priority, TaskStatus
from memorybank.errors import InvalidRequest
from memorybank.schemas.fields import (
    MAX_DETAILS_BYTES,
    MAX_ITEMS,
    Detail,
    DetailList,
    MemoryId,
    Metadata,
    Moment,
    Name,
    Patch,
    Request,
    Title,
)
from memorybank.schemas.problems import invalid_request

# Not strict: JSON has no enumerations, only texts.
SessionStatusName = Annotated[SessionStatus, Field(strict=False)]
TaskStatusName = Annotated[TaskStatus, Field(strict=False)]
PriorityName = Annotated[Priority, Field(strict=False)]
EditStatusName = Annotated[EditStatus, Field(strict=False)]
Revision = Annotated[int, Field(ge=1, lt=2**62)]
Names = Annotated[list[Name], Field(min_length=1, max_length=MAX_ITEMS)]
Share = Annotated[float, Field(ge=0, le=1)]


class Details(Request):
    """What a type of memory has beside its content."""


class Decision(Details):
    """Why something was decided, and what came of it."""

    rationale: Detail | None = None
    options: DetailList | None = Field(None, description="What was weighed.")
    outcome: Detail | None = None
    constraints: DetailList | None = None
    consequences: DetailList | None = None


class Pattern(Details):
    """A way of doing things that has proven itself."""

    pattern_type: Name | None = None
    implementation: Detail | None = None
    use_case: Detail | None = None
    language: Name | None = None


class ErrorSolution(Details):
    """What went wrong, and what cured it."""

    error_signature: Detail | None = None
    solution: Detail | None = None
    stack_trace: Detail | None = None
    language: Name | None = None


class Code(Details):
    """Where a piece of code is, and what it is for."""

    language: Name | None = None
    path: Title | None = None
    purpose: Detail | None = None


class Documentation(Details):
    """What a text documents."""

    source: Title | None = None
    section: Title | None = None
    version: Name | None = None


class Session(Details):
    """How a session of work goes, or went."""

    outcome: Detail | None = None
    status: SessionStatusName | None = Field(None, description="active, if it is left out.")
    ended_at: Moment | None = Field(None, description="When it was completed or aborted.")


class Task(Details):
    """Something to do."""

    status: TaskStatusName | None = Field(None, description="todo, if it is left out.")
    priority: PriorityName | None = None
    assignee: Name | None = None
    due_at: Moment | None = None
    parent: MemoryId | None = Field(None, description="Id of the task that it is a part of.")
    started_at: Moment | None = None
    ended_at: Moment | None = Field(None, description="When it was completed or cancelled.")
    blocked_since: Moment | None = None
    blocked_reason: Detail | None = None
    blocked_seconds: Annotated[int, Field(ge=0, lt=2**53)] | None = Field(
        None, description="How long it was blocked, up to when it was last unblocked."
    )
    outcome: Detail | None = Field(None, description="What came of it.")


class Believed(Details):
    """Something held to be true, more or less."""

    confidence: Share | None = Field(None, description="0 is a guess, 1 is certain.")


class Procedure(Details):
    """How to do something."""

    steps: DetailList | None = None
    prerequisites: DetailList | None = None


class Thread(Details):
    """Where a conversation stands."""

    topic: Title | None = None
    with_whom: Name | None = None


class Emotion(Details):
    """How something felt."""

    emotional_weight: Annotated[float, Field(ge=-1, le=1)] | None = Field(
        None, description="-1 is bad, 1 is good."
    )
    feeling: Name | None = None


class Project(Details):
    """Where work is done, and in what."""

    path: Title | None = None
    language: Name | None = None
    framework: Name | None = None


class Event(Details):
    """Something that happened."""

    kind: Name | None = Field(
        None,
        description="What kind of thing; in the log of a session"
        " info, milestone, issue or solution.",
    )
    payload: Metadata | None = Field(None, description="What belongs to it, as JSON.")


class Capsule(Details):
    """What somebody is to be told."""

    audience: Names | None = Field(None, description="For whom; for everybody, if left out.")
    subject: Title | None = None


class Handoff(Details):
    """What whoever goes on should know."""

    with_whom: Name | None = None
    experienced: Detail | None = None
    noticed: Detail | None = None
    learned: Detail | None = None
    story: Detail | None = None
    becoming: Detail | None = None
    remember: Detail | None = None
    significance: Share | None = Field(None, description="0 is trivial, 1 is vital.")
    sensitivity: Literal["none", "low", "medium", "high", "secret"] | None = None
    episode: MemoryId | None = Field(None, description="The episode that goes on from here.")


class Checkpoint(Details):
    """A place in an episode that one can go on from."""

    id: MemoryId
    reason: Title
    note: Detail | None = None
    at_step: Annotated[int, Field(ge=0)] = Field(description="How many steps there were.")
    at: Moment | None = None
    left: DetailList | None = Field(None, description="What is left to do.")
    artifacts: DetailList | None = Field(None, description="What there is already.")


class ResumedFrom(Details):
    """Where an episode goes on from."""

    episode: MemoryId
    checkpoint: MemoryId


class Feedback(Details):
    """What a pattern was good for in an episode."""

    pattern: Name
    effect: Literal["helped", "no_effect", "hindered"]


class Episode(Details):
    """A piece of work from its task to its outcome."""

    task_type: Name | None = None
    domain: Name | None = None
    language: Name | None = None
    framework: Name | None = None
    complexity: Literal["simple", "moderate", "complex"] | None = None
    status: Literal["open", "completed", "abandoned"] | None = None
    outcome: Literal["success", "partial_success", "failure"] | None = None
    reward: Share | None = None
    verdict: Detail | None = None
    reflection: Detail | None = None
    artifacts: DetailList | None = None
    checkpoints: Annotated[list[Checkpoint], Field(max_length=MAX_ITEMS)] | None = None
    ended_at: Moment | None = Field(None, description="When it was completed or abandoned.")
    resumed_from: ResumedFrom | None = Field(None, description="What it goes on from.")
    feedback: Annotated[list[Feedback], Field(max_length=MAX_ITEMS)] | None = Field(
        None, description="What recommended patterns were good for."
    )


class Evidence(Details):
    """What speaks for a rule, and against it."""

    episodes: Annotated[list[MemoryId], Field(max_length=MAX_ITEMS)]
    successes: Annotated[int, Field(ge=0)]
    failures: Annotated[int, Field(ge=0)]


class Heuristic(Details):
    """What to do when, as experience has it."""

    condition: Detail | None = None
    action: Detail | None = None
    evidence: Evidence | None = None
    confidence: Share | None = Field(None, description="0 is a guess, 1 is certain.")
    pattern: Name | None = Field(None, description="The pattern of episodes that it says.")


class Edit(Details):
    """What is to change of a memory, if somebody approves it, and what became of that."""

    memory: MemoryId | None = Field(None, description="Id of the memory that is to change.")
    revision: Revision | None = Field(None, description="The one of it that is to change.")
    patch: Patch | None = Field(None, description="What is to change of it, as PATCH takes it.")
    status: EditStatusName | None = Field(None, description="pending, if it is left out.")
    proposed_by: Name | None = Field(None, description="Id of a key.")
    decided_by: Name | None = Field(None, description="Id of a key.")
    decided_at: Moment | None = None
    comment: Detail | None = None
    applied_revision: Revision | None = Field(
        None, description="The one that the approval made of the memory."
    )


DETAILS: Mapping[MemoryType, type[Details]] = {
    MemoryType.NOTE: Details,
    MemoryType.FACT: Believed,
    MemoryType.DECISION: Decision,
    MemoryType.PATTERN: Pattern,
    MemoryType.ERROR_SOLUTION: ErrorSolution,
    MemoryType.CODE: Code,
    MemoryType.DOCUMENTATION: Documentation,
    MemoryType.SESSION: Session,
    MemoryType.TASK: Task,
    MemoryType.PREFERENCE: Believed,
    MemoryType.PROCEDURE: Procedure,
    MemoryType.PERSONALITY: Believed,
    MemoryType.THREAD: Thread,
    MemoryType.EMOTION: Emotion,
    MemoryType.PROJECT: Project,
    MemoryType.EVENT: Event,
    MemoryType.CAPSULE: Capsule,
    MemoryType.HANDOFF: Handoff,
    MemoryType.EPISODE: Episode,
    MemoryType.HEURISTIC: Heuristic,
    MemoryType.EDIT: Edit,
}


def checked_details(kind: MemoryType, details: Mapping[str, Any]) -> dict[str, Any]:
    """Return the details as they are kept, as plain JSON; raises InvalidRequest.

    Fields that are null are left out.
    """
    model = DETAILS[kind]
    try:
        parsed = model.model_validate(dict(details))
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        located = [{**each, "loc": ("details", *each["loc"])} for each in errors]
        problem = invalid_request(located)
        if errors[0]["type"] == "extra_forbidden":
            known = ", ".join(model.model_fields) or "none"
            problem = InvalidRequest(
                f"{problem.field} is not a field of the type {kind}",
                field=problem.field,
                hint=f"the fields of {kind}: {known}",
            )
        raise problem from None
    kept = parsed.model_dump(mode="json", exclude_none=True)
    size = len(json.dumps(kept, ensure_ascii=False).encode())
    if size > MAX_DETAILS_BYTES:
        raise InvalidRequest(
            f"details should be at most {MAX_DETAILS_BYTES} bytes of JSON, this is {size}",
            field="details",
            hint="shorten them, or split the memory",
        )
    return kept
