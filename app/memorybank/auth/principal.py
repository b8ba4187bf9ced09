"""The caller, as everything below the faces knows it."""

from __future__ import annotations

from dataclasses import dataclass

from memorybank.domain.keys import Scope
from memorybank.errors import Forbidden


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose key was checked. The tenant comes from the key alone."""

    tenant: str
    key_id: str
    scopes: frozenset[Scope]

    def require(self, scope: Scope) -> None:
        """Raise Forbidden unless the caller holds the scope."""
        if scope not in self.scopes:
            raise Forbidden(
                f"this key does not allow it: the scope {scope} is missing",
                scope=scope,
                hint="use a key of a role that has this scope",
            )
