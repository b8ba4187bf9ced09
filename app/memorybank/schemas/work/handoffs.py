"""Hand-offs as they are sent, asked for and shown."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError
from typing_extensions import override

from memorybank.domain.memory import (
    AnyOf,
    Condition,
    DetailAtLeast,
    HasDetail,
    Memory,
    MemoryFilter,
    MemoryType,
)
from memorybank.domain.work.handoffs import PARTS, SENSITIVE, told
from memorybank.domain.work.sessions import SessionStatus, status_of
from memorybank.schemas.details import Share
from memorybank.schemas.fields import Content, Detail, Moment, Name, Request, Response, Title
from memorybank.schemas.memories import MemoryView
from memorybank.schemas.work.things import NewThing, WrittenQuery

Sensitivity = Literal["none", "low", "medium", "high", "secret"]
_MOST_OF_A_THREAD: Final = 100


class NewHandoff(NewThing):
    """What whoever goes on should know, in words of its own or part by part."""

    type = MemoryType.HANDOFF
    deduplicate = False  # the same words later hand another moment on

    content: Content | None = Field(
        None, description="In plain words; made of the parts, if left out."
    )
    title: Title | None = Field(None, description="A headline; it counts for finding, too.")
    project: Name | None = Field(None, description="The project it belongs to.")
    session: Name | None = Field(None, description="The session of work it ends, by its id.")
    occurred_at: Moment | None = Field(
        None, description="When it happened, if not when it is stored. RFC 3339 with offset."
    )
    with_whom: Name | None = Field(
        None, description="Whom the work was done with: one thread of hand-offs for each."
    )
    experienced: Detail | None = Field(None, description="What was done and what happened.")
    noticed: Detail | None = Field(None, description="What stood out.")
    learned: Detail | None = Field(None, description="What is known now that was not before.")
    story: Detail | None = Field(None, description="How it went, from beginning to end.")
    becoming: Detail | None = Field(None, description="What it makes of who hands it on.")
    remember: Detail | None = Field(None, description="What must not be lost: what to do next.")
    significance: Share | None = Field(
        None, description="0 is trivial, 1 is vital; also its importance, if that is left out."
    )
    sensitivity: Sensitivity | None = Field(
        None, description="high and secret are shown only to who asks for them."
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.content is None and not any(getattr(self, name) for name in PARTS):
            parts = ", ".join(PARTS)
            raise PydanticCustomError(
                "empty_handoff", "says nothing: send content, or one of {parts}", {"parts": parts}
            )
        return self

    @override
    def said(self) -> dict[str, Any]:
        """See NewThing: the parts are its content, where it has none of its own."""
        sent = super().said()
        if sent.get("content") is None:
            sent["content"] = told(sent)
        if sent.get("significance") is not None:
            sent.setdefault("importance", sent["significance"])
        return sent


NOT_SENSITIVE: Final = AnyOf((HasDetail("sensitivity", SENSITIVE),), negated=True)


def _details(
    with_whom: str | None, min_significance: float | None, *, include_sensitive: bool
) -> tuple[Condition, ...]:
    wanted: list[Condition] = [] if with_whom is None else [HasDetail("with_whom", (with_whom,))]
    if min_significance:
        wanted.append(DetailAtLeast("significance", min_significance))
    if not include_sensitive:
        wanted.append(NOT_SENSITIVE)
    return tuple(wanted)


class HandoffQuery(WrittenQuery):
    """Which hand-offs to list."""

    with_whom: Name | None = Field(None, description="Only of the thread with this one.")
    # Not strict: a query string has texts only.
    min_significance: Annotated[float, Field(ge=0, le=1, strict=False)] | None = Field(
        None, description="Only those that say of themselves that they are as significant."
    )
    include_sensitive: Annotated[bool, Field(strict=False)] = Field(
        False, description="Also those of high sensitivity, and secret ones."
    )

    @override
    def wanted(self, _now: datetime) -> tuple[MemoryFilter, tuple[Condition, ...]]:
        """Return what the list holds."""
        return self.where(), _details(
            self.with_whom, self.min_significance, include_sensitive=self.include_sensitive
        )


class LastQuery(Request):
    """Whose last hand-off is asked for."""

    project: Name | None = Field(None, description="Only of this project.")
    session: Name | None = Field(None, description="Only of this session of work, by its id.")
    with_whom: Name | None = Field(None, description="Only of the thread with this one.")
    include_sensitive: Annotated[bool, Field(strict=False)] = Field(
        False, description="Even if it is of high sensitivity, or secret."
    )

    def wanted(self) -> tuple[MemoryFilter, tuple[Condition, ...]]:
        """Return which hand-offs it is the newest of."""
        where = MemoryFilter(
            project=self.project, session=self.session, types=frozenset({MemoryType.HANDOFF})
        )
        return where, _details(self.with_whom, None, include_sensitive=self.include_sensitive)


class ThreadQuery(LastQuery):
    """Which thread of hand-offs is asked for, and how much of it."""

    limit: Annotated[int, Field(ge=1, le=_MOST_OF_A_THREAD, strict=False)] = Field(
        20, description="How many of the newest hand-offs to show at most."
    )


class ThreadSession(Response):
    """A session of work that a hand-off ended."""

    id: str
    status: SessionStatus
    outcome: str | None


class ThreadEntry(Response):
    """A hand-off, and what came of the work that it ended."""

    handoff: MemoryView
    session: ThreadSession | None = Field(description="Null if it names none that is there.")

    @classmethod
    def of(cls, handoff: Memory, session: Memory | None) -> ThreadEntry:
        """Show them."""
        ended = None
        if session is not None:
            outcome = session.details.get("outcome")
            ended = ThreadSession(id=session.id, status=status_of(session), outcome=outcome)
        return cls(handoff=MemoryView.of(handoff), session=ended)


class HandoffThread(Response):
    """Who somebody was and became: hand-offs in the order in which they were given."""

    entries: list[ThreadEntry] = Field(description="The newest ones, the oldest of them first.")
    total: int = Field(description="How many hand-offs the thread has in all.")
