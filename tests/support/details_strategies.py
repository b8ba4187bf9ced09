"""Hypothesis strategies for the details of every type, from the schemas that check them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from hypothesis import strategies as st

from memorybank.domain.memory import MemoryType
from memorybank.schemas.details import DETAILS

_LETTERS = st.characters(codec="utf-8", exclude_categories=("C", "Z"))
_MOMENTS = st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1)).map(  # noqa: DTZ001  # below
    lambda moment: moment.replace(tzinfo=UTC).isoformat()
)
_PAYLOADS = st.dictionaries(
    st.text(_LETTERS, max_size=5),
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(_LETTERS, max_size=9),
    max_size=3,
)


def details_of(kind: MemoryType) -> st.SearchStrategy[dict[str, Any]]:
    """Return a strategy for the details of a type: any of its fields, none of them null."""
    schema = DETAILS[kind].model_json_schema()
    return _objects(schema, schema.get("$defs", {}))


def _objects(schema: dict[str, Any], known: dict[str, Any]) -> st.SearchStrategy[dict[str, Any]]:
    fields = {name: _values(each, known) for name, each in schema.get("properties", {}).items()}
    needed = {name: fields.pop(name) for name in schema.get("required", ())}
    return st.fixed_dictionaries(needed, optional=fields)


def _values(schema: dict[str, Any], known: dict[str, Any]) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return _values(known[schema["$ref"].rpartition("/")[2]], known)
    if "anyOf" in schema:
        some = [each for each in schema["anyOf"] if each.get("type") != "null"]
        return st.one_of([_values(each, known) for each in some])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema["type"] == "array":
        values = _values(schema["items"], known)
        return st.lists(values, min_size=schema.get("minItems", 0), max_size=3)
    if schema["type"] == "object":
        return _objects(schema, known) if "properties" in schema else _PAYLOADS
    return _plain(schema)


def _plain(schema: dict[str, Any]) -> st.SearchStrategy[Any]:
    match schema["type"]:
        case "string" if schema.get("format") == "date-time":
            return _MOMENTS
        case "string":
            return st.text(_LETTERS, min_size=1, max_size=20)
        case "number":
            return st.floats(schema["minimum"], schema["maximum"])
        case "integer":
            return st.integers(schema["minimum"], 2**40)
        case other:
            raise AssertionError(f"no values for {other}")
