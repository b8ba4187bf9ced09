"""The lines of an export, and what an import answers.

An export is JSON Lines: one JSON object per line, UTF-8, each line ended by a line feed.

    {"kind": "header", "format": "memory-bank", "version": 1, ...}
    {"kind": "tenant", "name": "default", ...}
    {"kind": "key", "tenant": "default", "name": "ci", ...}
    {"kind": "memory", "memory": {...}, "vector": "..."}
    {"kind": "revision", "memory": {...}, "replaced_at": "...", ...}
    {"kind": "link", "tenant": "default", "source": "...", "target": "...", ...}
    {"kind": "step", "tenant": "default", "episode": "...", "number": 1, "tool": "grep", ...}
    {"kind": "end", "lines": 7, "counts": {"tenant": 1, "key": 1, "memory": 1}, "sha256": "..."}

`sha256` is that of every byte before the last line, so a file that was cut or changed is noticed.
"""

from __future__ import annotations

import dataclasses
from typing import Annotated, Any, Final, Literal, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, create_model

from memorybank.domain.keys import ApiKey
from memorybank.domain.memory import Link, LinkType, Memory, Revision
from memorybank.domain.tenants import Tenant
from memorybank.domain.work.episodes import Step
from memorybank.ports import KeptStep
from memorybank.schemas.fields import (
    Content,
    Importance,
    MemoryId,
    Metadata,
    Moment,
    Name,
    Request,
    Response,
    Tags,
    Title,
    Type,
)
from memorybank.schemas.steps import StepFields, StepNumber
from memorybank.schemas.tenants import NewTenant

FORMAT: Final = "memory-bank"
VERSION = 1
"""Of the format. A reader knows its own version and all before it."""

MAX_LINE_BYTES = 4 * 1024 * 1024
"""The longest text, every letter of it escaped, its typed fields and a large vector fit twice."""
MAX_PROBLEMS = 1_000
"""Lines that a report tells of one by one; how many there are in all is always said."""
MAX_TENANTS = 10_000
MAX_VECTOR = 131_072
"""Characters of a vector: 24,000 dimensions as base64 of float32."""
_SECRET_FIELDS = frozenset({"digest", "bootstrap"})


class _Line(BaseModel):
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )


class Space(_Line):
    """The embedding space of the vectors in a file."""

    model: Annotated[str, Field(max_length=500)]
    dimensions: Annotated[int, Field(ge=1, le=100_000)]


class HeaderLine(_Line):
    """The first line: what the file is and whose memories it holds."""

    kind: Literal["header"] = "header"
    format: Literal["memory-bank"] = FORMAT
    version: Annotated[int, Field(ge=1)] = VERSION
    service: Annotated[str, Field(max_length=100)] = Field("", description="Who wrote it.")
    exported_at: Moment | None = None
    tenants: Annotated[list[Name], Field(min_length=1, max_length=MAX_TENANTS)]
    embeddings: Space | None = Field(None, description="Null: the lines hold no vectors.")


_LIMITED: dict[str, Any] = {
    "id": MemoryId,
    "tenant": Name,
    "content": Content,
    "created_at": Moment,
    "updated_at": Moment,
    "title": Title | None,
    "type": Type,
    "project": Name | None,
    "session": Name | None,
    "tags": Tags,
    "metadata": Metadata,
    "importance": Importance,
    "occurred_at": Moment | None,
    "state_changed_at": Moment | None,
    "state_run": MemoryId | None,
    "valid_from": Moment | None,
    "valid_to": Moment | None,
    "supersedes": MemoryId | None,
    "superseded_by": MemoryId | None,
    "trust": Importance,
    "revision": Annotated[int, Field(ge=1, lt=2**53)],
    "accessed_at": Moment | None,
    "access_count": Annotated[int, Field(ge=0, lt=2**53)],
}
"""Fields with limits of their own. What else a Memory has is read by its plain type."""


def _memory_fields() -> dict[str, Any]:
    """Return every field of a Memory, so that none can be forgotten by an export or an import."""
    hints = get_type_hints(Memory)
    found: dict[str, Any] = {}
    for each in dataclasses.fields(Memory):
        default: Any = ...
        if each.default is not dataclasses.MISSING:
            default = each.default
        elif each.default_factory is not dataclasses.MISSING:
            default = Field(default_factory=each.default_factory)
        if each.name == "tags":
            default = []
        found[each.name] = (_LIMITED.get(each.name, hints[each.name]), default)
    return found


MemoryRecord: type[BaseModel] = create_model(
    "MemoryRecord", __base__=_Line, __doc__="A memory as it is kept.", **_memory_fields()
)


class MemoryLine(_Line):
    """A memory and, where the header names an embedding space, its vector."""

    kind: Literal["memory"] = "memory"
    memory: MemoryRecord
    vector: Annotated[str, Field(max_length=MAX_VECTOR)] | None = Field(
        None, description="Little-endian float32 as base64."
    )

    @property
    def tenant(self) -> str:
        """Whose memory it is, as the file says."""
        name: str = vars(self.memory)["tenant"]
        return name

    def to_memory(self, tenant: str | None) -> Memory:
        """Return the memory, of another tenant where one is named."""
        return memory_of(self.memory, tenant)


def memory_of(record: Any, tenant: str | None) -> Memory:
    """Return the memory that a MemoryRecord tells of, of another tenant where one is named."""
    fields = dict(vars(record))  # by these very names: see _memory_fields
    fields["tags"] = tuple(fields["tags"])
    if tenant is not None:
        fields["tenant"] = tenant
    return Memory(**fields)


class RevisionLine(_Line):
    """An earlier state of a memory."""

    kind: Literal["revision"] = "revision"
    memory: MemoryRecord
    replaced_at: Moment
    replaced_by: Name
    action: Name

    def to_revision(self, tenant: str | None) -> Revision:
        """Return the state, of another tenant where one is named."""
        memory = memory_of(self.memory, tenant)
        return Revision(memory, self.replaced_at, self.replaced_by, self.action)


class LinkLine(_Line):
    """An edge from one memory to another of the same tenant."""

    kind: Literal["link"] = "link"
    tenant: Name
    source: MemoryId
    target: MemoryId
    type: LinkType
    created_at: Moment

    @classmethod
    def of(cls, tenant: str, link: Link) -> LinkLine:
        """Show an edge."""
        return cls(tenant=tenant, **dataclasses.asdict(link))

    def to_link(self) -> Link:
        """Return the edge."""
        return Link(self.source, self.target, self.type, self.created_at)


class StepLine(StepFields):
    """A step of an episode."""

    # What was sent as an integer may be written as one only.
    model_config = _Line.model_config

    kind: Literal["step"] = "step"
    tenant: Name
    episode: MemoryId
    number: StepNumber
    at: Moment

    @classmethod
    def of(cls, kept: KeptStep) -> StepLine:
        """Show a step."""
        return cls(tenant=kept.tenant, episode=kept.episode, **dataclasses.asdict(kept.step))

    def to_kept(self, tenant: str | None) -> KeptStep:
        """Return the step, of another tenant where one is named."""
        step = Step(number=self.number, at=self.at, **self.said())
        return KeptStep(self.tenant if tenant is None else tenant, self.episode, step)


class TenantLine(NewTenant):
    """A tenant and its quotas. An import of a whole bank makes those that are missing."""

    kind: Literal["tenant"] = "tenant"

    @classmethod
    def of(cls, tenant: Tenant) -> TenantLine:
        """Show a tenant."""
        return cls(name=tenant.name, **dataclasses.asdict(tenant.quotas))


class KeyLine(BaseModel):
    """What is known of an API key; never the key, nor its digest. An import does not make keys."""

    model_config = ConfigDict(extra="allow", frozen=True)

    kind: Literal["key"] = "key"

    @classmethod
    def of(cls, key: ApiKey) -> KeyLine:
        """Show a key."""
        shown = dataclasses.asdict(key)
        return cls(**{name: shown[name] for name in shown if name not in _SECRET_FIELDS})


class EndLine(_Line):
    """The last line: how many lines of each kind came before it, and the hash of their bytes."""

    kind: Literal["end"] = "end"
    lines: Annotated[int, Field(ge=1)] = Field(description="Of the whole file, this one included.")
    counts: dict[str, Annotated[int, Field(ge=0)]]
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


AnyLine = (
    HeaderLine | TenantLine | KeyLine | MemoryLine | RevisionLine | LinkLine | StepLine | EndLine
)
LINES: TypeAdapter[AnyLine] = TypeAdapter(Annotated[AnyLine, Field(discriminator="kind")])
MEMORIES: TypeAdapter[Memory] = TypeAdapter(Memory)
"""Writes memories; reading is stricter."""


class ExportQuery(Request):
    """What to export, and how."""

    # Not strict: a query string has texts only.
    embeddings: Annotated[bool, Field(strict=False)] = Field(
        True, description="Add the vectors: the file is larger, its import many times faster."
    )
    gzip: Annotated[bool, Field(strict=False)] = Field(False, description="Compress the file.")
    all_tenants: Annotated[bool, Field(strict=False)] = Field(
        False, description="The whole bank; for its administrators."
    )
    events: Annotated[bool, Field(strict=False)] = Field(
        True,
        description="Whether memories of type event are in the file, with what was of them and"
        " leads to them.",
    )


class ImportQuery(Request):
    """How to import."""

    # Not strict: a query string has texts only.
    existing: Literal["keep", "replace"] = Field(
        "keep", description="What to do where a memory of that id is there and says something else."
    )
    dry_run: Annotated[bool, Field(strict=False)] = Field(
        False, description="Check every line and change nothing."
    )
    part: Annotated[bool, Field(strict=False)] = Field(
        False, description="The body is the header and some lines of a file, without its end."
    )
    first_line: Annotated[int, Field(ge=2, strict=False)] = Field(
        2, description="The number, in the file, of the line after the header; for the report."
    )
    all_tenants: Annotated[bool, Field(strict=False)] = Field(
        False,
        description="Leave every memory with the tenant that the file names; for the bank's"
        " administrators. Else the file must be of one tenant, and becomes the caller's.",
    )


class LineProblem(Response):
    """A line that was not taken over."""

    line: int = Field(description="Its number in the file, counted from 1.")
    code: str = Field(description="For programs; stable.")
    message: str
    field: str | None = None
    hint: str | None = None


class ImportReport(Response):
    """What became of the lines of a file."""

    dry_run: bool = Field(description="True: nothing was changed, this is what would happen.")
    lines: int = Field(description="Lines read, header and end included.")
    added: int
    unchanged: int = Field(description="There already, saying the same.")
    replaced: int
    kept: int = Field(description="There already, saying something else, and left as it is.")
    skipped: int = Field(description="Lines that tell of what needs no import: tenants, keys.")
    refused: int
    history: int = Field(description="Earlier states that were added to memories.")
    links: int = Field(description="Links that were added.")
    steps: int = Field(description="Steps that were added to episodes.")
    embedded: int = Field(description="Memories that had to be embedded: vectors missing or alien.")
    seconds: float
    problems: list[LineProblem] = Field(
        description=f"What was kept or refused, line by line; the first {MAX_PROBLEMS:,}."
    )
    problems_left_out: int

    @property
    def is_clean(self) -> bool:
        """Whether everything in the file is now in the bank as the file has it."""
        return not self.refused and not self.kept
