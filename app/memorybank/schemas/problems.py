"""Validation failures in words: which field, what is wrong with it, what to send instead."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from memorybank.errors import InvalidRequest

_Model = TypeVar("_Model", bound=BaseModel)

_CURES = {
    "missing": "add it",
    "extra_forbidden": "remove it, or correct its name",
    "blank": "send some text",
    "string_too_short": "send some text",
    "string_too_long": "shorten it to {max_length} characters, or split it",
    "too_long": "send at most {max_length}",
    "too_short": "send at least {min_length}",
    "string_type": "send a JSON string",
    "string_unicode": "send valid Unicode, without lone surrogates",
    "int_type": "send a whole number without quotes",
    "int_from_float": "send a whole number",
    "float_type": "send a number without quotes",
    "bool_type": "send true or false",
    "list_type": "send a JSON array",
    "dict_type": "send a JSON object",
    "model_type": "send a JSON object",
    "model_attributes_type": "send a JSON object",
    "control_character": "remove that character",
    "timezone_aware": "add the offset, for example 2026-03-01T12:00:00Z",
    "datetime_text": "send a time with offset, for example 2026-03-01T12:00:00Z",
    "datetime_parsing": "send a time with offset, for example 2026-03-01T12:00:00Z",
    "datetime_from_date_parsing": "send a time with offset, for example 2026-03-01T12:00:00Z",
    "metadata_size": "store large data elsewhere and keep a reference",
    "metadata_depth": "flatten the object",
    "finite_number": "send null or a text instead",
    "int_size": "send it as a text",
}
_PARTS_OF_A_REQUEST = {"body", "query", "path"}
_MAX_FIELD = 200
_TOLD = 3
"""Who sends many wrong fields mends some and sends again."""


def invalid_request(errors: Sequence[Mapping[str, Any]]) -> InvalidRequest:
    """Return the failures of a pydantic validation as an InvalidRequest, the first one's field.

    `errors` is what ValidationError.errors() returns. Input values are never repeated.
    """
    first = errors[0]
    told = [_said(each) for each in errors[:_TOLD]]
    if len(errors) > _TOLD:
        told.append(f"and {len(errors) - _TOLD} more")
    return InvalidRequest("; ".join(told), field=dotted(first["loc"]) or None, hint=cure(first))


def parsed(model: type[_Model], value: object, *, field: str) -> _Model:
    """Return what was kept as JSON in a field, as the model has it. Raises InvalidRequest."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        errors = error.errors(include_url=False, include_input=False)
        raise invalid_request([{**each, "loc": (field, *each["loc"])} for each in errors]) from None


def dotted(location: Sequence[str | int]) -> str:
    """Return the path of a field, without the part of the request that it came in.

    A name that the caller made up may be long and hold anything; it is cut and cleaned.
    """
    parts = [str(part) for part in location]
    if parts and parts[0] in _PARTS_OF_A_REQUEST:
        del parts[0]
    path = ".".join(parts)
    shown = "".join(letter if letter.isprintable() else "?" for letter in path)
    return shown if len(shown) <= _MAX_FIELD else f"{shown[: _MAX_FIELD - 1]}…"


def cure(error: Mapping[str, Any]) -> str | None:
    """Return what to do about one failure of a validation, where the message does not say it."""
    template = _CURES.get(error["type"])
    return None if template is None else template.format(**error.get("ctx") or {})


def _said(error: Mapping[str, Any]) -> str:
    return f"{dotted(error['loc']) or 'the body'} {_said_of_a_field(error)}"


def _said_of_a_field(error: Mapping[str, Any]) -> str:
    """Turn pydantic's sentence, such as "Input should be ...", into one about the field."""
    if error["type"] == "missing":
        return "is required"
    if error["type"] == "extra_forbidden":
        return "is not a known field"
    message: str = error["msg"].replace(" after validation", "")
    _subject, _, rest = message.partition(" ")
    return rest if rest.startswith("should") else message[:1].lower() + message[1:]
