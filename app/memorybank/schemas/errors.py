"""The one shape of every error."""

from __future__ import annotations

from pydantic import Field

from memorybank.errors import MemoryBankError
from memorybank.schemas.fields import Response


class ErrorDetail(Response):
    """What is wrong, and what to do about it."""

    code: str = Field(description="For programs; stable.")
    message: str = Field(description="For people.")
    field: str | None = Field(None, description="Path of the field at fault, such as `tags.0`.")
    hint: str | None = Field(None, description="What to do instead.")


class ErrorEnvelope(Response):
    """Every answer with a status of 400 or above, except of /ready and inside MCP."""

    error: ErrorDetail

    @classmethod
    def of(cls, error: MemoryBankError) -> ErrorEnvelope:
        """Show an error."""
        return cls(
            error=ErrorDetail(
                code=error.code, message=error.message, field=error.field, hint=error.hint
            )
        )
