"""A step of an episode, as it is sent and shown, and as an export has it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from memorybank.domain.work.episodes import MAX_STEPS, StepResult
from memorybank.errors import InvalidRequest
from memorybank.schemas.fields import Detail, Name, Request, Title

# Not strict: JSON has no enumerations, only texts.
StepResultName = Annotated[StepResult, Field(strict=False)]
StepNumber = Annotated[int, Field(ge=1, le=MAX_STEPS)]
_Count = Annotated[int, Field(ge=0, lt=2**53)]


class StepFields(Request):
    """What a step says."""

    tool: Name = Field(description="What did it: a tool, a command.")
    action: Detail | None = Field(None, description="What was done with it.")
    result: StepResultName = Field(StepResult.OK, description="How it went.")
    error: Title | None = Field(
        None, description="What is the same of the error each time, such as ModuleNotFoundError."
    )
    latency_ms: _Count | None = None
    tokens: _Count | None = None
    observation: Detail | None = Field(None, description="What was seen.")

    def said(self) -> dict[str, Any]:
        """Return the fields as a domain object has them. Raises InvalidRequest."""
        result = self.result
        if self.error is not None and result is StepResult.OK:
            if "result" in self.model_fields_set:
                raise InvalidRequest(
                    "a step that went well has no error",
                    field="steps.error",
                    hint="leave the error out, or send the result error",
                )
            result = StepResult.ERROR
        said = {name: getattr(self, name) for name in StepFields.model_fields}
        return said | {"result": result}
