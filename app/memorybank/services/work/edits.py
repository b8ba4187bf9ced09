"""Changes of memories that one key proposes and another one approves.

A proposal is a memory of the type edit. What is approved is applied to the memory as it was when it
was proposed, or not at all: memory and proposal change in one transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from memorybank.auth.principal import Principal
from memorybank.domain.gate import Finding
from memorybank.domain.keys import Scope
from memorybank.domain.memory import Memory, MemoryType
from memorybank.domain.work.edits import (
    NEVER,
    EditStatus,
    decided,
    require_revision,
    status_of,
)
from memorybank.domain.work.governed import by_hand
from memorybank.errors import Forbidden, InvalidRequest
from memorybank.schemas.memories import MemoryPatch
from memorybank.schemas.problems import parsed
from memorybank.schemas.work.edits import NewEdit, Proposal
from memorybank.services.adding import Stored
from memorybank.services.life import changed, said_by
from memorybank.services.memories import MemoryService, now_utc
from memorybank.services.work.things import Things

_AGAIN = "look at the memory as it is, and propose the change again; reject this proposal"


class Edits(Things):
    """The proposals of a tenant."""

    def __init__(self, memories: MemoryService, *, clock: Callable[[], datetime] = now_utc) -> None:
        super().__init__(memories, MemoryType.EDIT, clock=clock)

    async def propose(self, caller: Principal, new: NewEdit, *, once: str | None = None) -> Stored:
        """Keep a change for somebody to decide about. The memory stays as it is.

        Raises NotFound, Conflict for a memory that is not at the revision that was seen, and
        InvalidRequest for a change that could not be made by hand either.
        """
        memory = await self._memories.life.present(caller, new.memory)
        answered = once is not None and await self._memories.adding.is_answered(caller, once)
        if new.revision is not None and not answered:
            require_revision(memory, new.revision, hint="look at the memory as it is")
        _changes(memory, new.patch)
        told: dict[str, Any] = {} if new.origin is None else {"origin": new.origin}
        proposal = Proposal(
            type=MemoryType.EDIT,
            content=new.reason,
            project=memory.project,
            valid_from=NEVER[0],
            valid_to=NEVER[1],
            deduplicate=False,
            details={
                "memory": memory.id,
                "revision": memory.revision,
                "patch": new.patch.model_dump(mode="json", exclude_unset=True),
                "status": EditStatus.PENDING.value,
                "proposed_by": caller.key_id,
            },
            **told,
        )
        stored = await self._memories.adding.add(caller, proposal, once=once)
        if not stored.replayed:
            self._memories.counted("edit", "proposed")
        return stored

    async def approve(
        self, caller: Principal, edit_id: str, *, comment: str | None = None
    ) -> tuple[Memory, Memory, tuple[Finding, ...]]:
        """Apply a proposal; return it, the memory, and what the write gate found in the change.

        Raises NotFound, Forbidden for the key that proposed it, and Conflict where it was decided
        already or the memory has been changed since.
        """
        edit = await self._present(caller, edit_id)
        if edit.details.get("proposed_by") == caller.key_id and Scope.ADMIN not in caller.scopes:
            raise Forbidden(
                "who proposes a change does not approve it",
                field="id",
                hint="let another key approve it, or one with the scope memory:admin",
            )

        def decide(edit: Memory, memory: Memory) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
            said = self._decided(caller, edit, EditStatus.APPROVED, comment)
            if not said:
                return {}, {}
            require_revision(memory, edit.details["revision"], hint=_AGAIN)
            patch = parsed(MemoryPatch, edit.details.get("patch", {}), field="details.patch")
            changes = dict(_changes(memory, patch))
            if edit.trust < memory.trust:
                changes |= {"origin": edit.origin, "trust": edit.trust}
            said["details"]["applied_revision"] = memory.revision + 1
            return said, changes

        return await self._both(caller, edit, decide, "approve")

    async def reject(
        self, caller: Principal, edit_id: str, *, comment: str | None = None
    ) -> Memory:
        """Decide that a proposal is not to be; who proposed it may do so, too. Raises Conflict."""

        def decide(edit: Memory) -> Mapping[str, Any]:
            return self._decided(caller, edit, EditStatus.REJECTED, comment)

        before = status_of(await self._present(caller, edit_id))
        edit, _ = await self._change(caller, edit_id, decide, "reject")
        if status_of(edit) is not before:
            self._memories.counted("edit", "reject")
        return edit

    async def roll_back(
        self, caller: Principal, edit_id: str, *, comment: str | None = None
    ) -> tuple[Memory, Memory, tuple[Finding, ...]]:
        """Let the memory say again what it said before a proposal was approved.

        Raises NotFound, and Conflict for one that was not, or where the memory has been changed
        since.
        """
        edit = await self._present(caller, edit_id)
        self._decided(caller, edit, EditStatus.ROLLED_BACK, comment)
        before = edit.details.get("revision", 0)
        then = await self._memories.life.at(caller.tenant, edit.details.get("memory", ""), before)

        def decide(edit: Memory, memory: Memory) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
            decision = self._decided(caller, edit, EditStatus.ROLLED_BACK, comment)
            if not decision:
                return {}, {}
            require_revision(
                memory,
                edit.details["applied_revision"],
                hint=f"POST /v1/memories/{memory.id}/rollback goes back to revision {before} and"
                " undoes the later changes, too",
            )
            return decision, said_by(then)

        return await self._both(caller, edit, decide, "roll_back")

    async def _both(
        self,
        caller: Principal,
        edit: Memory,
        decide: Callable[[Memory, Memory], tuple[Mapping[str, Any], Mapping[str, Any]]],
        action: str,
    ) -> tuple[Memory, Memory, tuple[Finding, ...]]:
        edit, memory, findings = await self._memories.life.change_both(
            caller, (edit.id, edit.details.get("memory", "")), decide, action
        )
        self._memories.counted("edit", action)
        return edit, memory, findings

    def _decided(
        self, caller: Principal, edit: Memory, status: EditStatus, comment: str | None
    ) -> dict[str, Any]:
        return decided(edit, status, by=caller.key_id, now=self._clock(), comment=comment)

    async def _present(self, caller: Principal, edit_id: str) -> Memory:
        """Return a proposal that is to be decided. Raises NotFound."""
        return self._of_this_kind(await self._memories.life.present(caller, edit_id))


def _changes(memory: Memory, patch: MemoryPatch) -> Mapping[str, Any]:
    """Return what a patch changes of a memory, as by hand. Raises InvalidRequest."""
    changes = patch.changes()
    if not changes:
        raise InvalidRequest(
            "there is nothing to change", field="patch", hint="send at least one field"
        )
    if memory.type is MemoryType.EDIT:
        raise InvalidRequest(
            "a proposal is not changed by another one",
            field="memory",
            hint="reject it, and propose what is meant",
        )
    changes = by_hand(memory, changes)
    changed(memory, changes)
    return changes
