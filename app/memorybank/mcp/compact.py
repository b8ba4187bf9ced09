"""Making the JSON Schemas of tools short: an agent pays for every word of them in each session.

What is left out says nothing that a model needs to call a tool and to read what it returns:
generated titles, limits that no sensible text reaches, "or null" of what may be left out, defaults
that mean nothing, and whatever is seen in the result itself. What is sent is checked by the models
as they are, and a wrong value is answered with the limit that it breaks.
"""

from __future__ import annotations

from typing import Any

_LEFT_OUT = frozenset({"$defs", "minLength", "maxLength", "minItems", "maxItems"})
_NULL = {"type": "null"}


def compact_arguments(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of what a tool takes: what it allows is what the tool is meant to be sent."""
    short = _argument(schema, schema.get("$defs", {}))
    short.pop("description", None)  # the tool's own says it
    return short


def compact_result(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema that every result of a tool fulfils: its fields, and the type of each."""
    fields = schema["properties"].items()
    types = {name: _type(each, schema.get("$defs", {})) for name, each in fields}
    return {"type": "object", "properties": types}


def _argument(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return a schema with what it refers to in its place; none refers to itself."""
    if "$ref" in schema:
        return _argument(_referred(schema, definitions), definitions)
    short = {
        name: value
        for name, value in schema.items()
        if name not in _LEFT_OUT
        and not (name == "title" and isinstance(value, str))
        and not (name == "default" and (value in (None, [], {}) or value is False))
        and not (name == "additionalProperties" and value is True)
    }
    for name in ("items", "additionalProperties"):
        if isinstance(short.get(name), dict):
            short[name] = _argument(short[name], definitions)
    if "properties" in short:
        fields = short["properties"].items()
        short["properties"] = {name: _argument(each, definitions) for name, each in fields}
    if "anyOf" in short:
        options = [_argument(each, definitions) for each in short.pop("anyOf") if each != _NULL]
        # Who has nothing to say leaves the field out.
        short = options[0] | short if len(options) == 1 else short | {"anyOf": options}
    return short


def _type(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of the type alone; of any that there may be."""
    if "$ref" in schema:
        return _type(_referred(schema, definitions), definitions)
    if "anyOf" not in schema:
        return {"type": schema["type"]} if "type" in schema else {}
    options = [_type(each, definitions) for each in schema["anyOf"]]
    types = [each["type"] for each in options if isinstance(each.get("type"), str)]
    return {"type": types} if len(types) == len(options) else {"anyOf": options}


def _referred(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    referred = definitions[schema["$ref"].rpartition("/")[2]]
    said = {name: value for name, value in referred.items() if name != "description"}
    return said | {name: value for name, value in schema.items() if name != "$ref"}
