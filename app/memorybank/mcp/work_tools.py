"""The tools of `profile=full` for what agents work with: projects, sessions and what is written."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from pydantic import BaseModel, Field

from memorybank.auth.principal import Principal
from memorybank.domain.gate import Finding
from memorybank.domain.keys import Scope
from memorybank.domain.memory import Memory
from memorybank.domain.work.sessions import SessionMove
from memorybank.mcp.more_tools import Listed, WhichMemory
from memorybank.mcp.tools import Remembered, ToolSpec, Updated, told
from memorybank.schemas.fields import MemoryId
from memorybank.schemas.memories import MemoryView
from memorybank.schemas.work.projects import NewProject, ProjectQuery
from memorybank.schemas.work.sessions import (
    LogQuery,
    NewEntry,
    NewSession,
    SessionCompletion,
    SessionEnd,
    SessionQuery,
)
from memorybank.schemas.work.things import NewThing, ThingQuery
from memorybank.schemas.work.written import (
    CapsuleQuery,
    DecisionQuery,
    EventQuery,
    NewCapsule,
    NewDecision,
    NewEvent,
    NewNote,
    NoteQuery,
)
from memorybank.services.adding import Stored
from memorybank.services.work.things import Things
from memorybank.services.work.work import Work

_Run = Callable[[Principal, Any], Awaitable[BaseModel]]
_Arguments = TypeVar("_Arguments", bound=BaseModel)


class LogArguments(NewEntry):
    """Which session, and what happened in it."""

    id: MemoryId = Field(description="The session's.")

    def entry(self) -> NewEntry:
        """Return what happened."""
        return NewEntry.model_validate(self.model_dump(exclude={"id"}, exclude_unset=True))


class EntriesArguments(LogQuery):
    """Which session, and which page of its log."""

    id: MemoryId = Field(description="The session's.")


class CompleteArguments(SessionCompletion):
    """Which session, and what came of it."""

    id: MemoryId


class AbortArguments(SessionEnd):
    """Which session, and what came of it, if anything did."""

    id: MemoryId


_ENDS: Mapping[SessionMove, type[CompleteArguments | AbortArguments]] = {
    SessionMove.COMPLETE: CompleteArguments,
    SessionMove.ABORT: AbortArguments,
}


def remembered(stored: Stored) -> Remembered:
    """Show what became of a new thing."""
    return Remembered(
        id=stored.memory.id,
        created_at=stored.memory.created_at,
        deduplicated=stored.deduplicated,
        findings=told(stored.findings),
    )


def updated(memory: Memory, findings: tuple[Finding, ...]) -> Updated:
    """Show that a thing was changed."""
    return Updated(
        id=memory.id,
        revision=memory.revision,
        updated_at=memory.updated_at,
        findings=told(findings),
    )


def _adding(things: Things) -> _Run:
    async def add(caller: Principal, new: NewThing) -> Remembered:
        return remembered(await things.add(caller, new))

    return add


def _listing(things: Things) -> _Run:
    async def list_page(caller: Principal, query: ThingQuery) -> Listed:
        return Listed.of(await things.list_page(caller, query))

    return list_page


def tool(
    name: str,
    title: str,
    description: str,
    arguments: type[_Arguments],
    run: _Run,
    result: type[BaseModel],
    scope: Scope = Scope.WRITE,
) -> ToolSpec[Any]:
    """Return a tool; one that only reads has the scope for that."""
    reads = scope is Scope.READ
    return ToolSpec(
        name=name,
        title=title,
        description=description,
        scope=scope,
        arguments=arguments,
        result=result,
        run=run,
        read_only=reads,
        idempotent=reads,
    )


def pair(
    kind: str, things: Things, new: type[NewThing], query: type[ThingQuery], what: str
) -> list[ToolSpec[Any]]:
    """Return the two tools that every kind has."""
    adding, named = ("start", "Start") if kind == "session" else ("add", "Add")
    return [
        tool(f"{kind}_{adding}", f"{named} {kind}", what, new, _adding(things), Remembered),
        tool(
            f"{kind}_list",
            f"List {kind}s",
            f"List {kind}s page by page, newest first.",
            query,
            _listing(things),
            Listed,
            Scope.READ,
        ),
    ]


def _session_tools(work: Work) -> list[ToolSpec[Any]]:
    sessions = work.sessions

    async def get(caller: Principal, which: WhichMemory) -> MemoryView:
        return MemoryView.of(await sessions.get(caller, which.id))

    async def log(caller: Principal, arguments: LogArguments) -> Remembered:
        return remembered(await sessions.log(caller, arguments.id, arguments.entry()))

    async def entries(caller: Principal, arguments: EntriesArguments) -> Listed:
        return Listed.of(await sessions.entries(caller, arguments.id, arguments))

    def moving(move: SessionMove) -> _Run:
        async def run(
            caller: Principal, which: WhichMemory | CompleteArguments | AbortArguments
        ) -> Updated:
            outcome = None if isinstance(which, WhichMemory) else which.outcome
            return updated(*await sessions.move(caller, which.id, move, outcome=outcome))

        return run

    return [
        tool(
            "session_get",
            "Get session",
            "Get all of a session.",
            WhichMemory,
            get,
            MemoryView,
            Scope.READ,
        ),
        tool(
            "session_log",
            "Log",
            "Add what happened to the log of a session that is not over.",
            LogArguments,
            log,
            Remembered,
        ),
        tool(
            "session_entries",
            "Session log",
            "Read the log of a session, newest first.",
            EntriesArguments,
            entries,
            Listed,
            Scope.READ,
        ),
        *(
            tool(
                f"session_{move}",
                f"{move.capitalize()} session",
                f"{move.capitalize()} a session of work.",
                _ENDS.get(move, WhichMemory),
                moving(move),
                Updated,
            )
            for move in SessionMove
        ),
    ]


def work_tools(work: Work) -> list[ToolSpec[Any]]:
    """Return them, always in the same order."""
    return [
        *pair(
            "project",
            work.projects,
            NewProject,
            ProjectQuery,
            "Make a project known by its name, which memories then name. One that is there stays.",
        ),
        *pair(
            "session",
            work.sessions,
            NewSession,
            SessionQuery,
            "Start a session of work. Log what happens in it by its id, complete it at the end.",
        ),
        *_session_tools(work),
        *pair("note", work.notes, NewNote, NoteQuery, "Keep a note."),
        *pair(
            "decision", work.decisions, NewDecision, DecisionQuery, "Keep what was decided and why."
        ),
        *pair(
            "capsule",
            work.capsules,
            NewCapsule,
            CapsuleQuery,
            "Leave word for an audience, until it expires.",
        ),
        *pair("event", work.events, NewEvent, EventQuery, "Record something that happened."),
    ]
