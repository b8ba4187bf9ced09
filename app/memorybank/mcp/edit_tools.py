"""The tools of `profile=full` for changes that one proposes and another one approves."""

from __future__ import annotations

from typing import Any

from memorybank.auth.principal import Principal
from memorybank.domain.keys import Scope
from memorybank.mcp.more_tools import WhichMemory
from memorybank.mcp.tools import ToolSpec
from memorybank.mcp.work_tools import tool
from memorybank.schemas.fields import MemoryId
from memorybank.schemas.work.edits import EditDecision, EditList, EditQuery, EditView, NewEdit
from memorybank.services.work.edits import Edits


class DecisionArguments(EditDecision):
    """Which proposal, and why it is decided so."""

    id: MemoryId


def edit_tools(edits: Edits) -> list[ToolSpec[Any]]:
    """Return them, always in the same order."""

    async def propose(caller: Principal, new: NewEdit) -> EditView:
        return EditView.of((await edits.propose(caller, new)).memory)

    async def list_page(caller: Principal, query: EditQuery) -> EditList:
        return EditList.of(await edits.list_page(caller, query))

    async def get(caller: Principal, which: WhichMemory) -> EditView:
        return EditView.of(await edits.get(caller, which.id))

    async def approve(caller: Principal, which: DecisionArguments) -> EditView:
        edit, _, _ = await edits.approve(caller, which.id, comment=which.comment)
        return EditView.of(edit)

    async def reject(caller: Principal, which: DecisionArguments) -> EditView:
        return EditView.of(await edits.reject(caller, which.id, comment=which.comment))

    async def roll_back(caller: Principal, which: DecisionArguments) -> EditView:
        edit, _, _ = await edits.roll_back(caller, which.id, comment=which.comment)
        return EditView.of(edit)

    return [
        tool(
            "edit_propose",
            "Propose edit",
            "Propose a change of a memory, which stays as it is until somebody else approves it.",
            NewEdit,
            propose,
            EditView,
        ),
        tool(
            "edit_list",
            "List edits",
            "List proposals page by page, newest first. Recalls never find them.",
            EditQuery,
            list_page,
            EditList,
            Scope.READ,
        ),
        tool("edit_get", "Get edit", "Get a proposal.", WhichMemory, get, EditView, Scope.READ),
        *(
            tool(
                f"edit_{name}", f"{name.capitalize()} edit", what, DecisionArguments, run, EditView
            )
            for name, what, run in (
                (
                    "approve",
                    "Apply a change that another key has proposed, if the memory is as it was.",
                    approve,
                ),
                ("reject", "Decide that a proposal is not to be.", reject),
                ("rollback", "Undo a proposal that was approved.", roll_back),
            )
        ),
    ]
