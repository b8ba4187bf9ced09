"""Every error the service raises on purpose.

MemoryBankError
├── InvalidRequest          the caller's input is wrong; names the field and the cure
│   ├── InvalidCursor       a page cursor that no list ever handed out
│   └── WriteRefused        the policy of the bank does not take such a memory
├── NotFound                no such thing for this tenant
├── Conflict                the request is fine, but not in the state that things are in
│   └── QuotaExceeded       the tenant has used up what it may have
├── Unauthenticated         no key, or one that is unknown or revoked
├── Forbidden               the key lacks a scope, or it is about another tenant
│   └── ReadOnly            this process follows a bank and writes nothing
├── ConfigurationError      the service cannot start as configured
├── BackupDamaged           a backup is there that cannot be restored
└── Unavailable             the service cannot do it now; a retry may succeed
    ├── StoreUnavailable
    ├── VectorsUnavailable  the vector server cannot answer
    ├── BackupUnavailable   nothing gets to the destination of backups, or nothing from there
    ├── Fenced              another bank was promoted in the place of this one
    ├── OutdatedVector      the embedding model was switched while a text was embedded
    └── EmbedderUnavailable
        └── TextRefused     the embedding service works, but does not take one of these texts

The HTTP, MCP and CLI faces each translate this tree in exactly one place.
"""

from __future__ import annotations


class MemoryBankError(Exception):
    """Base of all; `message` is for people and never holds a secret or a memory's content."""

    code = "internal"

    def __init__(self, message: str, *, field: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.field = field
        self.hint = hint


class InvalidRequest(MemoryBankError):
    """The caller's input is wrong."""

    code = "invalid_request"


class WriteRefused(InvalidRequest):
    """The policy of the bank does not take a memory like this."""

    code = "write_refused"


class InvalidCursor(InvalidRequest):
    """A page cursor that no list ever handed out."""

    code = "invalid_cursor"


class NotFound(MemoryBankError):
    """No such thing for this tenant."""

    code = "not_found"


class Conflict(MemoryBankError):
    """The request is fine, but not in the state that things are in."""

    code = "conflict"


class QuotaExceeded(Conflict):
    """The tenant has used up what it may have."""

    code = "quota_exceeded"


class Unauthenticated(MemoryBankError):
    """No key, or one that is unknown or revoked."""

    code = "unauthenticated"

    def __init__(self, message: str, *, hint: str | None = None, presented: bool = True) -> None:
        """`presented` says whether the caller showed a key at all."""
        super().__init__(message, hint=hint)
        self.presented = presented


class Forbidden(MemoryBankError):
    """The key lacks a scope, or names what belongs to another tenant."""

    code = "forbidden"

    def __init__(
        self,
        message: str,
        *,
        scope: str | None = None,
        field: str | None = None,
        hint: str | None = None,
    ) -> None:
        """`scope` is the one that is missing; None when no scope would help."""
        super().__init__(message, field=field, hint=hint)
        self.scope = scope


class ReadOnly(Forbidden):
    """This process follows another one, and writes nothing."""

    code = "read_only"

    def __init__(self, primary_url: str | None = None) -> None:
        """`primary_url` is where the bank takes writes, None where that is not known."""
        super().__init__(
            "this is a read-only copy of the bank",
            hint="write to the primary; or, when it is lost, promote this one:"
            " docs/service/standby.md, Promotion"
            if primary_url is None
            else f"write to {primary_url}",
        )


class ConfigurationError(MemoryBankError):
    """The service cannot start as configured."""

    code = "configuration_error"


class Unavailable(MemoryBankError):
    """The service cannot do it now; a retry may succeed."""

    code = "unavailable"


class StoreUnavailable(Unavailable):
    """The store cannot be read or written."""

    code = "store_unavailable"


class VectorsUnavailable(Unavailable):
    """The vector server cannot answer, or has not what it should have."""

    code = "vectors_unavailable"


class OutdatedVector(Unavailable):
    """The embedding model was switched meanwhile."""

    code = "outdated_vector"


class BackupUnavailable(Unavailable):
    """Nothing gets to the destination of backups, or nothing can be read there."""

    code = "backup_unavailable"

    def __init__(self, message: str, *, hint: str | None = None, late: bool = False) -> None:
        """`late` says that nothing failed, but took too long."""
        super().__init__(message, hint=hint)
        self.late = late


class BackupDamaged(MemoryBankError):
    """A backup is there that cannot be restored; no retry cures that."""

    code = "backup_damaged"


class Fenced(Unavailable):
    """Another bank was promoted in the place of this one, which takes no writes any more."""

    code = "fenced"


class EmbedderUnavailable(Unavailable):
    """The embedding model cannot answer."""

    code = "embedder_unavailable"


class TextRefused(EmbedderUnavailable):
    """The embedding service works, but does not take one of these texts."""

    code = "text_refused"
