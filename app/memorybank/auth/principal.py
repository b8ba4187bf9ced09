"""The caller, as everything below the faces knows it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from memorybank.domain.keys import Scope
from memorybank.domain.memory import Origin
from memorybank.domain.tenants import DEFAULT_TENANT, UNLIMITED, Quotas
from memorybank.errors import Forbidden


class Face(StrEnum):
    """The door that a request came in by."""

    REST = "rest"
    MCP = "mcp"
    CLI = "cli"
    IMPORT = "import"
    INTERNAL = "internal"


@dataclass(frozen=True, slots=True)
class Principal:
    """A caller whose key was checked. The tenant comes from the key alone."""

    tenant: str
    key_id: str
    scopes: frozenset[Scope]
    quotas: Quotas = UNLIMITED
    """The tenant's, as of the moment when the key was looked up or they last changed."""
    face: Face = Face.REST

    @property
    def origin(self) -> Origin:
        """Who the memories of this caller come from.

        People hold the keys that may do everything, and the files; programs, which act for agents,
        get keys of less scope; and MCP is how agents speak.
        """
        match self.face:
            case Face.IMPORT:
                return Origin.IMPORT
            case Face.INTERNAL:
                return Origin.TOOL_INTERNAL
            case Face.MCP:
                return Origin.AGENT
            case Face.CLI:
                return Origin.DIRECT_USER
            case Face.REST:
                return Origin.DIRECT_USER if Scope.ADMIN in self.scopes else Origin.AGENT

    @property
    def name(self) -> str:
        """By which name the audit log knows the caller."""
        return f"{self.tenant}/{self.key_id}"

    @property
    def administers_bank(self) -> bool:
        """Whether the caller may administer every tenant: an administrator of the default one."""
        return self.tenant == DEFAULT_TENANT and Scope.ADMIN in self.scopes

    def require(self, scope: Scope) -> None:
        """Raise Forbidden unless the caller holds the scope."""
        if scope not in self.scopes:
            raise Forbidden(
                f"this key does not allow it: the scope {scope} is missing",
                scope=scope,
                hint="use a key of a role that has this scope",
            )

    def require_bank(self) -> None:
        """Raise Forbidden unless the caller may administer every tenant."""
        self.require(Scope.ADMIN)
        if not self.administers_bank:
            raise Forbidden(
                "only administrators of the bank may do this",
                hint=f"use an admin key of the tenant {DEFAULT_TENANT}",
            )

    def administered(self, tenant: str | None) -> str:
        """Return the tenant that a request is about: the caller's own unless it names another.

        Raises Forbidden without the admin scope, and for a tenant that the caller does not
        administer, whether or not there is one of that name.
        """
        self.require(Scope.ADMIN)
        if tenant is not None and not self.administers_bank:
            self.require_tenant(tenant)
        return tenant or self.tenant

    def require_tenant(self, named: str) -> None:
        """Raise Forbidden unless the tenant that a request names is the caller's own."""
        if named != self.tenant:
            raise Forbidden(
                "this key belongs to another tenant than the request names",
                field="tenant",
                hint="leave the tenant out: the key implies it",
            )
