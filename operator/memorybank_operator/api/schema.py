"""From a pydantic JSON schema to the structural schema that the API server asks for.

Structural schemas know no references and no null types:
https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

_RULES = "x-kubernetes-validations"


def structural_schema(model: type[BaseModel], *, defaults: bool) -> Schema:
    """Return the model's schema. Without `defaults` none is stated, as befits a status."""
    schema = model.model_json_schema()
    return _structural(schema, schema.get("$defs", {}), defaults=defaults)


def _structural(schema: Schema, definitions: Mapping[str, Schema], *, defaults: bool) -> Schema:
    merged = _resolve(schema, definitions)
    if "x-kubernetes-int-or-string" in merged:
        del merged["type"]  # the alternatives are in anyOf
    for key in ("title", "$defs"):
        merged.pop(key, None)
    if "description" in merged:
        merged["description"] = " ".join(merged["description"].split())
    if "properties" in merged:
        merged["properties"] = {
            name: _structural(each, definitions, defaults=defaults)
            for name, each in merged["properties"].items()
        }
    for key in ("items", "additionalProperties"):
        if isinstance(merged.get(key), dict):
            merged[key] = _structural(merged[key], definitions, defaults=defaults)
        else:
            merged.pop(key, None)
    if "const" in merged:
        merged["enum"] = [merged.pop("const")]
    default = _useful_default(merged.pop("default", None), merged)
    if defaults and default is not None:
        merged["default"] = default
    return merged


def _resolve(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Replace a reference, or `X or null`, by X; what stands beside it wins, rules add up."""
    target: Schema = {}
    beside = dict(schema)
    alternatives = beside.get("anyOf", ())
    if {"type": "null"} in alternatives:
        del beside["anyOf"]
        target = next(each for each in alternatives if each != {"type": "null"})
    elif "$ref" in beside:
        target = definitions[beside.pop("$ref").rpartition("/")[2]]
    if not target:
        return beside
    target = _resolve(target, definitions)
    merged = target | beside
    if _RULES in target and _RULES in beside:
        merged[_RULES] = target[_RULES] + beside[_RULES]
    return merged


def _useful_default(value: Any, schema: Schema) -> Any:
    """Drop what is empty: an absent map or list means the same and keeps `kubectl get` short.

    An object with named fields stays even if it is empty, since rules read its fields.
    """
    if isinstance(value, dict) and "properties" in schema:
        fields = schema["properties"]
        parts = {name: _useful_default(value.get(name), fields[name]) for name in fields}
        return {name: part for name, part in parts.items() if part is not None}
    return None if value in (None, {}, []) else value
