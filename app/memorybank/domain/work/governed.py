"""Which fields of a memory only the routes of its type change.

What is in them follows rules, such as where a session can go from where it is. So a change by hand
leaves them as they are. A new memory and an import may say anything in them that is valid in
itself: there it is told how things went elsewhere. A rollback brings them back with the rest, since
whatever a memory said before was reached by the rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from memorybank.domain.memory import Memory, MemoryType
from memorybank.errors import InvalidRequest


@dataclass(frozen=True, slots=True)
class _Governed:
    cure: str
    """What does change them."""
    details: frozenset[str] = frozenset()
    fields: frozenset[str] = frozenset()
    """Of the memory itself."""
    stored_as_such: bool = True
    """Whether a new memory may be of this type without the routes of the type."""


_NOTHING = _Governed("")
GOVERNED: Mapping[MemoryType, _Governed] = {
    MemoryType.SESSION: _Governed(
        "use POST /v1/sessions/{id}/pause, resume, complete or abort",
        details=frozenset({"status", "ended_at"}),
    ),
    MemoryType.EPISODE: _Governed(
        "use POST /v1/episodes/{id}/complete, abandon, checkpoints or feedback",
        details=frozenset(
            {
                *("status", "ended_at", "outcome", "reward"),
                *("checkpoints", "resumed_from", "feedback"),
            }
        ),
    ),
    MemoryType.TASK: _Governed(
        "use POST /v1/tasks/{id}/start, block, unblock, complete, cancel or reopen",
        details=frozenset(
            {
                *("status", "started_at", "ended_at", "blocked_since", "blocked_seconds"),
                *("blocked_reason", "parent"),
            }
        ),
    ),
    MemoryType.EDIT: _Governed(
        "use POST /v1/edits, and /v1/edits/{id}/approve, reject or roll-back",
        details=frozenset(
            {
                *("memory", "revision", "patch", "status", "proposed_by", "decided_by"),
                *("decided_at", "comment", "applied_revision"),
            }
        ),
        fields=frozenset({"content", "title", "project", "session", "valid_from", "valid_to"}),
        stored_as_such=False,
    ),
    MemoryType.PROJECT: _Governed(
        "its name is what memories name it by: make another project",
        fields=frozenset({"project"}),
    ),
}


def by_hand(old: Memory, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return what changes of a memory when somebody sends these fields. Raises InvalidRequest.

    Details are replaced as a whole, but for governed ones that are left out: these stay.
    """
    kind = changes.get("type", old.type)
    if kind is not old.type:
        _refuse_another_type(old.type, kind)
        return dict(changes)
    rules = GOVERNED.get(kind, _NOTHING)
    for name in sorted(rules.fields & changes.keys()):
        if changes[name] != getattr(old, name):
            raise _refused(kind, name, rules.cure)
    if "details" not in changes:
        return dict(changes)
    sent = changes["details"]
    kept = {name: old.details[name] for name in rules.details if name in old.details}
    for name in sorted(rules.details & sent.keys()):
        if sent[name] != kept.get(name):
            raise _refused(kind, f"details.{name}", rules.cure)
    return {**changes, "details": {**sent, **kept}}


def require_stored_as_such(kind: MemoryType) -> None:
    """Raises InvalidRequest for a type of which only its own routes make new memories."""
    rules = GOVERNED.get(kind, _NOTHING)
    if not rules.stored_as_such:
        raise InvalidRequest(
            f"a memory of the type {kind} is not stored as such", field="type", hint=rules.cure
        )


def _refuse_another_type(old: MemoryType, new: MemoryType) -> None:
    governed = [kind for kind in (old, new) if kind in GOVERNED]
    if governed:
        raise InvalidRequest(
            f"a memory does not become or cease to be a {governed[0]}",
            field="type",
            hint=f"leave the type as it is, and store a memory of the type {new}",
        )


def _refused(kind: MemoryType, field: str, cure: str) -> InvalidRequest:
    return InvalidRequest(f"{field} of a {kind} is not changed by hand", field=field, hint=cure)
