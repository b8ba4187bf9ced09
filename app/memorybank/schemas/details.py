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
from memorybank.errors import InvalidRequest
from memorybank.schemas.fields import (
    MAX_DETAILS_BYTES,
    Detail,
    DetailList,
    Moment,
    Name,
    Request,
    Title,
)
from memorybank.schemas.problems import invalid_request

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
    """How a session of work went."""

    outcome: Detail | None = None
    status: Literal["active", "completed", "aborted", "paused"] | None = None


class Task(Details):
    """Something to do."""

    status: Literal["todo", "in_progress", "done", "blocked"] | None = None
    priority: Literal["low", "medium", "high", "urgent"] | None = None
    assignee: Name | None = None
    due_at: Moment | None = None


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
