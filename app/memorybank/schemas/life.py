"""What becomes of memories, as callers ask for it and are told."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Any

from pydantic import Field, WithJsonSchema

from memorybank.domain.gate import Action, Finding
from memorybank.domain.memory import Link, LinkType, Memory, Revision
from memorybank.schemas.errors import ErrorDetail
from memorybank.schemas.fields import MAX_BATCH, MemoryId, Request, Response
from memorybank.schemas.memories import MemoryView, NewMemory

LinkName = Annotated[LinkType, Field(strict=False)]


class FindingView(Response):
    """Something that the write gate found, and what was done about it; never what it was."""

    check: str = Field(description="`secret`, `personal`, `junk` or `recall_echo`.")
    kind: str = Field(description="What it looks like; of an echo, the memory that it repeats.")
    field: str | None
    action: Action
    score: float | None = Field(description="Of junk: 0 to 1.")

    @classmethod
    def of(cls, finding: Finding) -> FindingView:
        """Show a finding."""
        return cls(
            check=finding.check,
            kind=finding.kind,
            field=finding.field,
            action=finding.action,
            score=finding.score,
        )


class ChangedView(MemoryView):
    """A memory after something new was written into it."""

    findings: list[FindingView] = Field(description="What the write gate found in it.")

    @classmethod
    def changed(cls, memory: Memory, findings: Iterable[Finding]) -> ChangedView:
        """Show a memory and what was found in it."""
        shown = [FindingView.of(finding) for finding in findings]
        return cls(**cls.fields_of(memory), findings=shown)


class StoredView(ChangedView):
    """A memory that is stored now, or the one that said the same already."""

    deduplicated_of: str | None = Field(
        description="Id of the memory that says the same; then nothing was stored, and this is it."
    )

    @classmethod
    def stored(
        cls, memory: Memory, findings: Iterable[Finding], *, deduplicated: bool
    ) -> StoredView:
        """Show what became of a memory."""
        return cls(
            **cls.fields_of(memory),
            findings=[FindingView.of(finding) for finding in findings],
            deduplicated_of=memory.id if deduplicated else None,
        )


class NewMemories(Request):
    """Memories to keep; each is judged on its own."""

    memories: Annotated[
        list[Any],
        Field(min_length=1, max_length=MAX_BATCH),
        WithJsonSchema(
            {
                "type": "array",
                "items": {"$ref": f"#/components/schemas/{NewMemory.__name__}"},
                "minItems": 1,
                "maxItems": MAX_BATCH,
            }
        ),
    ]


class BatchResult(Response):
    """What became of one memory of a batch: it has an id, or an error."""

    id: str | None = None
    deduplicated_of: str | None = Field(
        None, description="Id of the memory that says the same; then nothing was stored."
    )
    findings: list[FindingView] = Field([], description="What the write gate found in it.")
    error: ErrorDetail | None = Field(None, description="Why it was refused.")


class BatchResults(Response):
    """What became of the memories of a batch, in their order."""

    results: list[BatchResult]
    stored: int = Field(description="How many are stored now.")
    deduplicated: int = Field(description="How many said what another one says already.")
    refused: int = Field(description="How many were refused.")


class Supersession(Request):
    """What takes the place of a memory: a new one, or one that is there. Send one of the two."""

    memory: NewMemory | None = Field(None, description="A new memory.")
    by: MemoryId | None = Field(None, description="Id of a memory that is there.")


class Rollback(Request):
    """Which earlier state to go back to."""

    revision: Annotated[int, Field(ge=1, lt=2**62)]


class HistoryQuery(Request):
    """Which part of a memory's history to show."""

    # Not strict: a query string has texts only.
    limit: Annotated[int, Field(ge=1, le=200, strict=False)] = Field(
        50, description="How many revisions to show at most."
    )
    before: Annotated[int, Field(ge=1, lt=2**62, strict=False)] | None = Field(
        None, description="Only revisions below this one: `next_before` of the page before."
    )


class RevisionView(Response):
    """What a memory said until it was changed."""

    revision: int
    replaced_at: datetime
    replaced_by: str = Field(description="Id of the key whose request changed it.")
    action: str = Field(description="What that request was.")
    memory: MemoryView

    @classmethod
    def of(cls, revision: Revision) -> RevisionView:
        """Show a revision."""
        return cls(
            revision=revision.memory.revision,
            replaced_at=revision.replaced_at,
            replaced_by=revision.replaced_by,
            action=revision.action,
            memory=MemoryView.of(revision.memory),
        )


class History(Response):
    """Earlier states of a memory, newest first."""

    current: int = Field(description="The revision that the memory is at now.")
    revisions: list[RevisionView]
    next_before: int | None = Field(description="Pass it as `before`; null on the last page.")
    total: int = Field(description="How many earlier revisions there are in all.")


class NewLink(Request):
    """An edge to another memory."""

    target: MemoryId = Field(description="Id of the memory that it leads to.")
    type: LinkName = Field(LinkType.RELATED_TO, description="How this one relates to that one.")


class LinkView(Response):
    """An edge from one memory to another."""

    source: str
    target: str
    type: LinkType
    created_at: datetime

    @classmethod
    def of(cls, link: Link) -> LinkView:
        """Show a link."""
        return cls(
            source=link.source, target=link.target, type=link.type, created_at=link.created_at
        )


class LinkList(Response):
    """All edges from and to a memory, oldest first; memories in the trash have none."""

    links: list[LinkView]
