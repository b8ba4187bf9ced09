"""Which tools there are: the few that every agent gets, and those of `?profile=full`."""

from __future__ import annotations

from typing import Any

from memorybank.mcp.consolidation_tools import consolidation_tools
from memorybank.mcp.edge_tools import edge_tools
from memorybank.mcp.edit_tools import edit_tools
from memorybank.mcp.episode_tools import episode_tool, episode_tools
from memorybank.mcp.handoff_tools import handoff_tool, handoff_tools, wake_up_tool
from memorybank.mcp.more_tools import more_tools
from memorybank.mcp.task_tools import task_tools
from memorybank.mcp.tools import ToolSpec, memory_tools
from memorybank.mcp.work_tools import work_tools
from memorybank.services.consolidation import Consolidation
from memorybank.services.memories import MemoryService
from memorybank.services.work.work import Work

DEFAULT, FULL = "default", "full"


def profiles(
    service: MemoryService, work: Work, consolidation: Consolidation
) -> dict[str, dict[str, ToolSpec[Any]]]:
    """Return the tools of each profile by name, always in the same order: the few come first."""
    between = (handoff_tool(work.handoffs), wake_up_tool(work.waking), episode_tool(work))
    few = memory_tools(service) | {spec.name: spec for spec in between}
    more = (
        *more_tools(service),
        *work_tools(work),
        *task_tools(work.tasks),
        *edge_tools(service),
        *episode_tools(work),
        *handoff_tools(work.handoffs),
        *edit_tools(work.edits),
        *consolidation_tools(consolidation),
    )
    return {DEFAULT: few, FULL: few | {spec.name: spec for spec in more}}
