"""Making the JSON Schemas of tools short: an agent pays for every word of them in each session.

What is left out says nothing that a model or a validator needs: generated titles, defaults that are
null, descriptions of what comes back, and long-winded ways to say "or null".
"""

from __future__ import annotations

from typing import Any

_LISTS_OF_SCHEMAS = ("anyOf", "oneOf", "allOf")
_MAPS_OF_SCHEMAS = ("properties", "$defs")


def compact(schema: dict[str, Any], *, describe: bool) -> dict[str, Any]:
    """Return a schema that accepts the same; without descriptions if they are not wanted."""
    short = {
        name: value
        for name, value in schema.items()
        if not (name == "title" and isinstance(value, str))
        and not (name == "default" and value in (None, [], {}))
        and (describe or name not in ("description", "format"))
    }
    for name in _MAPS_OF_SCHEMAS:
        if name in short:
            inner = short[name].items()
            short[name] = {key: compact(each, describe=describe) for key, each in inner}
    for definition in short.get("$defs", {}).values():
        if "enum" in definition:  # its values say it all
            definition.pop("description", None)
    for name in _LISTS_OF_SCHEMAS:
        if name in short:
            short[name] = [compact(each, describe=describe) for each in short[name]]
    for name in ("items", "additionalProperties"):
        if isinstance(short.get(name), dict):
            short[name] = compact(short[name], describe=describe)
    if short.get("type") == "object" and short.get("additionalProperties") is True:
        del short["additionalProperties"]
    return _or_null(short)


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    """Say {"type": ["string", "null"]} instead of {"anyOf": [{"type": "string"}, ...]}."""
    options: list[dict[str, Any]] = schema.get("anyOf", [])
    if len(options) != 2 or options[1] != {"type": "null"} or "type" not in options[0]:
        return schema
    rest = {name: value for name, value in schema.items() if name != "anyOf"}
    return options[0] | {"type": [options[0]["type"], "null"]} | rest
