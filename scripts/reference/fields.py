"""The fields of a JSON schema, nested ones by their path, as rows of a table."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from scripts.reference.markdown import code

Schema = Mapping[str, Any]

HEADINGS = ("Field", "Type", "Default", "What")
BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} items",
    "maxItems": "at most {} items",
    "maxProperties": "at most {} entries",
}
RULES = "x-kubernetes-validations"


def rows(
    schema: Schema,
    definitions: Mapping[str, Schema] | None = None,
    *,
    prefix: str = "",
    link: bool = False,
) -> Iterator[tuple[str, str, str, str]]:
    """A row for each field, an object's own before those inside it.

    With `link`, an object that has a name is named and not described again.
    """
    known = definitions or {}
    for name, field in schema.get("properties", {}).items():
        shape = resolved(field, known)
        path = f"{prefix}{name}"
        needed = " (required)" if name in schema.get("required", ()) else ""
        shown = kind(field, known, link=link)
        yield (code(path) + needed, shown, default(field), meaning(field, shape))
        if shape.get("type") == "array":
            path, shape = f"{path}[]", resolved(shape["items"], known)
        if not link:
            yield from rows(shape, known, prefix=f"{path}.")


def resolved(schema: Schema, known: Mapping[str, Schema]) -> Schema:
    """The schema itself, where it is a reference or allows null beside it."""
    options = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
    if len(options) == 1:
        return resolved({**options[0], **{k: v for k, v in schema.items() if k != "anyOf"}}, known)
    if "$ref" in schema:
        return known[schema["$ref"].rpartition("/")[2]]
    return schema


def kind(schema: Schema, known: Mapping[str, Schema], *, link: bool) -> str:
    """The type of a value in words that need no knowledge of JSON schema."""
    reference = reference_in(schema)
    if link and reference:
        return f"[{reference}](#{reference.lower()})"
    schema = resolved(schema, known)
    if "const" in schema or "enum" in schema:
        return " or ".join(code(str(each)) for each in schema.get("enum", [schema.get("const")]))
    if schema.get("x-kubernetes-int-or-string"):
        return "integer or string"
    if "anyOf" in schema:
        return " or ".join(kind(each, known, link=link) for each in schema["anyOf"])
    if schema.get("type") == "array":
        return f"list of {kind(schema['items'], known, link=link)}"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"map to {kind(schema['additionalProperties'], known, link=link)}"
    if schema.get("format") == "date-time":
        return "time (RFC 3339)"
    return str(schema.get("type", "any"))


def reference_in(schema: Schema) -> str:
    """The name of what a schema refers to, alone or beside null; empty when it does not."""
    options = [schema, *schema.get("anyOf", ())]
    return next((each["$ref"].rpartition("/")[2] for each in options if "$ref" in each), "")


def default(schema: Schema) -> str:
    """What is used when the field is left out."""
    value = schema.get("default")
    # The default of an object is that of its fields, which have rows of their own.
    return (
        ""
        if value is None or isinstance(value, dict | list)
        else code(json.dumps(value).strip('"'))
    )


def meaning(field: Schema, shape: Schema) -> str:
    """What the field is for, what bounds its value, and the sentences that refuse a wrong one."""
    described = field.get("description") or shape.get("description") or ""
    bounds = [
        text.format(number(shape[name]))
        for name, text in BOUNDS.items()
        if name in shape and (name, shape[name]) != ("minLength", 1)
    ]
    limits = f"({', '.join(bounds)})" if bounds else ""
    rules = [f"*{rule['message']}*." for rule in shape.get(RULES, ())]
    return " ".join(part for part in [described, limits, *rules] if part)


def number(value: float) -> str:
    """A bound as people write it: pydantic makes floats of integers."""
    return f"{int(value):,}" if float(value).is_integer() else str(value)
