"""Projects as they are sent and asked for."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from pydantic import Field
from typing_extensions import override

from memorybank.domain.memory import Condition, HasDetail, MemoryFilter, MemoryType
from memorybank.schemas.fields import Content, Name, Title
from memorybank.schemas.work.things import NewThing, ThingQuery


class NewProject(NewThing):
    """A project, which memories name by its name."""

    type = MemoryType.PROJECT
    deduplicate = False  # its name says whether it is there

    name: Name = Field(description="What memories name it by in `project`; there is one of it.")
    description: Content | None = Field(None, description="What it is about.")
    path: Title | None = Field(None, description="Where it is, such as a folder or a URL.")
    language: Name | None = None
    framework: Name | None = None

    @override
    def said(self) -> dict[str, Any]:
        """See NewThing: a project belongs to itself."""
        sent = super().said()
        name, description = sent.pop("name"), sent.pop("description", None)
        return sent | {"project": name, "title": name, "content": description or name}


class ProjectQuery(ThingQuery):
    """Which projects to list; `project` is the name of one."""

    path: Title | None = Field(None, description="Only those that are there.")

    @override
    def wanted(self, _now: datetime) -> tuple[MemoryFilter, tuple[Condition, ...]]:
        """Return what the list holds."""
        return self.where(), () if self.path is None else (HasDetail("path", (self.path,)),)
