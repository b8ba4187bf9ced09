"""What a key must hold for each operation, as the OpenAPI document tells it.

The services are what refuses; a test asks every operation with every scope and holds the two
together.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from memorybank.domain.keys import Scope

_OPEN = frozenset({"health", "metadata"})
"""Tags of the operations that need no key."""

_READ_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_READING = frozenset({"search", "wake_up"})
_WORK = (
    *("projects", "sessions", "notes", "decisions", "capsules", "events", "episodes"),
    *("tasks", "edges", "handoffs", "edits"),
)
_LEARNED = ("patterns", "heuristics")
_BY_METHOD = {
    **dict.fromkeys(("memories", "life", *_WORK, *_LEARNED), Scope.WRITE),
    **dict.fromkeys(("forgetting", "consolidation", "guides"), Scope.ADMIN),
}
"""By tag, what anything but GET needs."""

_ADMIN = frozenset(
    {"keys", "tenants", "audit", "backup", "embedding", "encryption", "transfer", "care"}
)

_OTHERWISE = {
    "memories_delete": Scope.DELETE,
    "life_hold": Scope.ADMIN,
    "life_release": Scope.ADMIN,
    "forgetting_empty_trash": Scope.DELETE,
    "guides_export_all": Scope.ADMIN,
}
"""Operations that need something else than their neighbours."""

_OF_THE_BANK = frozenset(
    {
        *("keys_manage", "tenants_create", "tenants_change", "tenants_delete"),
        *("embedding_status", "encryption_status", "care_status", "care_check"),
        *("care_configuration", "backup_mark"),
        *("embedding_roll_back", "embedding_resume", "embedding_discard"),
        *("care_check_index", "care_rebuild_index"),
    }
)
"""Operations that are about more than one tenant: for keys of the default tenant only."""


_READ_BY_POST = frozenset(
    {"search", "wake_up", "care_check", "care_check_index", "care_rebuild_index"}
)
"""Tags and names of operations that are no GET and write nothing."""


def writes(methods: Collection[str] | None, tag: str, name: str) -> bool:
    """Say whether an operation writes, so that a copy of a bank refuses it."""
    return not _READ_METHODS.issuperset(methods or ()) and not _READ_BY_POST & {tag, name}


def needed_scope(method: str, operation: dict[str, Any]) -> Scope | None:
    """Return the scope that an operation needs, None for no key.

    Raises LookupError for an operation that nothing is said about here.
    """
    name, tag = operation["operationId"], operation["tags"][0]
    if tag in _OPEN:
        return None
    if name in _OTHERWISE:
        return _OTHERWISE[name]
    if tag in _ADMIN:
        return Scope.ADMIN
    if tag in _READING or (tag in _BY_METHOD and method == "get"):
        return Scope.READ
    if tag in _BY_METHOD:
        return _BY_METHOD[tag]
    raise LookupError(f"which scope does {name} need? Say it in http/needs.py")


def needs_bank(operation: dict[str, Any]) -> bool:
    """Say whether only administrators of the bank may do it."""
    return operation["operationId"] in _OF_THE_BANK
