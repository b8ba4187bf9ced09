"""Types of single fields, with the limit of each.

Lengths of texts count Unicode code points, what people see as characters, not bytes.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Any

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
)
from pydantic_core import PydanticCustomError

from memorybank.domain.memory import MemoryState, MemoryType, Origin

MAX_CONTENT = 100_000
MAX_DETAIL = 20_000
MAX_ITEMS = 50
MAX_DETAILS_BYTES = 65_536
MAX_TITLE = 300
MAX_NAME = 200
MAX_TAGS = 32
MAX_TAG = 100
MAX_METADATA_BYTES = 16_384
MAX_METADATA_DEPTH = 8
MAX_PATCH_BYTES = 49_152
MAX_QUERY = 4_000
MAX_RESULTS = 200
MAX_PAGE = 200
MAX_CURSOR = 200
MAX_ID = 100
MAX_BATCH = 1_000
MAX_IDEMPOTENCY_KEY = 200

_MAX_INTEGER = 2**63
_NOT_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff]")
_NOT_IN_A_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


class Request(BaseModel):
    """What a caller sends: unknown fields and wrong types are refused, nothing is coerced."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, hide_input_in_errors=True
    )


class Response(BaseModel):
    """What a caller gets."""

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True)


def _text(value: str) -> str:
    _refuse(_NOT_TEXT, value, "control characters other than line breaks and tabs")
    return _not_blank(value)


def _line(value: str) -> str:
    _refuse(_NOT_IN_A_LINE, value, "control characters or line breaks")
    return _not_blank(value)


def _not_blank(value: str) -> str:
    if not value.strip():
        raise PydanticCustomError("blank", "must not be blank")
    return value


def _refuse(pattern: re.Pattern[str], value: str, what: str) -> None:
    found = pattern.search(value)
    if found is not None:
        raise PydanticCustomError(
            "control_character",
            "must not hold {what}: there is U+{code} at character {position}",
            {"what": what, "code": f"{ord(found.group()):04X}", "position": found.start() + 1},
        )


def _each_once(values: list[str]) -> list[str]:
    return list(dict.fromkeys(values))


def _metadata(value: dict[str, Any]) -> dict[str, Any]:
    return _json_object(value, most=MAX_METADATA_BYTES, depth=1)


def _patch(value: dict[str, Any]) -> dict[str, Any]:
    return _json_object(value, most=MAX_PATCH_BYTES, depth=0)  # metadata is one level down


def _json_object(value: dict[str, Any], *, most: int, depth: int) -> dict[str, Any]:
    for item in _nested(value, depth=depth):
        if isinstance(item, str):
            _refuse(_NOT_TEXT, item, "control characters other than line breaks and tabs")
        elif isinstance(item, float) and not math.isfinite(item):
            raise PydanticCustomError("finite_number", "must not hold NaN or Infinity")
        elif isinstance(item, int) and not -_MAX_INTEGER <= item < _MAX_INTEGER:
            raise PydanticCustomError("int_size", "must not hold integers beyond 64 bits")
    size = len(json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode())
    if size > most:
        raise PydanticCustomError(
            "metadata_size",
            "must be at most {limit} bytes of JSON, this is {size}",
            {"limit": most, "size": size},
        )
    return value


def _nested(value: object, *, depth: int) -> Iterator[object]:
    """Yield every key and every plain value; refuse what is nested too deep or is no JSON."""
    if isinstance(value, dict | list):
        if depth > MAX_METADATA_DEPTH:
            raise PydanticCustomError(
                "metadata_depth",
                "must not nest deeper than {limit} levels",
                {"limit": MAX_METADATA_DEPTH},
            )
        if isinstance(value, dict):
            yield from value
        for item in value.values() if isinstance(value, dict) else value:
            yield from _nested(item, depth=depth + 1)
    elif value is None or isinstance(value, str | int | float):
        yield value
    else:
        raise PydanticCustomError("json_value", "must hold JSON values only")


def _only_text(value: object) -> object:
    """Keep pydantic from reading a number as seconds since 1970."""
    if not isinstance(value, str | datetime):
        raise PydanticCustomError("datetime_text", "should be a text in RFC 3339 form")
    return value


def _utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise PydanticCustomError(
            "datetime_range", "should be between the years 1 and 9999 in UTC"
        ) from None


Content = Annotated[str, Field(min_length=1, max_length=MAX_CONTENT), AfterValidator(_text)]
Detail = Annotated[str, Field(min_length=1, max_length=MAX_DETAIL), AfterValidator(_text)]
DetailList = Annotated[list[Detail], Field(max_length=MAX_ITEMS)]
Query = Annotated[str, Field(min_length=1, max_length=MAX_QUERY), AfterValidator(_text)]
Title = Annotated[str, Field(min_length=1, max_length=MAX_TITLE), AfterValidator(_line)]
Name = Annotated[str, Field(min_length=1, max_length=MAX_NAME), AfterValidator(_line)]
Tag = Annotated[str, Field(min_length=1, max_length=MAX_TAG), AfterValidator(_line)]
Tags = Annotated[list[Tag], Field(max_length=MAX_TAGS), AfterValidator(_each_once)]
Metadata = Annotated[dict[str, Any], AfterValidator(_metadata)]
Patch = Annotated[dict[str, Any], AfterValidator(_patch)]
Importance = Annotated[float, Field(ge=0, le=1)]
# Not strict: JSON and query strings have no enumerations and no times, only texts.
Type = Annotated[MemoryType, Field(strict=False)]
State = Annotated[MemoryState, Field(strict=False)]
OriginName = Annotated[Origin, Field(strict=False)]
Types = Annotated[list[Type], Field(max_length=len(MemoryType))]
Moment = Annotated[
    AwareDatetime,
    Field(strict=False),
    AfterValidator(_utc),
    BeforeValidator(_only_text),
    WithJsonSchema({"type": "string", "format": "date-time"}),
]
MemoryId = Annotated[str, Field(min_length=1, max_length=MAX_ID), AfterValidator(_line)]
