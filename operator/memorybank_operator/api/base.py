"""What every model of a resource is built on: immutable, camelCase outside, documented fields."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict
from pydantic.alias_generators import to_camel


class ApiModel(BaseModel):
    """A part of a resource. The text under a field becomes its description in the CRD.

    Unknown fields are refused: the API server does so too, and a field that only a newer CRD knows
    must not be silently without effect.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        use_attribute_docstrings=True,
    )


class StatusModel(ApiModel):
    """A part of a status. Another version of the operator may have written more than we know."""

    model_config = ConfigDict(extra="ignore")


def cel(
    rule: str, message: str, *, field_path: str | None = None, reason: str | None = None
) -> dict[str, str]:
    """Return a validation rule in the Common Expression Language of the API server.

    `message` is what people read when it is broken: a sentence that says what to write instead.
    """
    optional = {"fieldPath": field_path, "reason": reason}
    return {"rule": rule, "message": message} | {k: v for k, v in optional.items() if v}


def rules(*each: dict[str, str]) -> dict[str, Any]:
    """Attach rules to a field or a model: `Field(json_schema_extra=rules(cel(...)))`."""
    return {"x-kubernetes-validations": list(each)}
