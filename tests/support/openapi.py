"""JSON Schemas of every kind that an API server serves, for tools that read such from a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

DEFINITIONS = "definitions.json"
TEMPLATE = "{{ .ResourceKind }}{{ .KindSuffix }}.json"
"""How kubeconform finds the file of a kind."""
_INT_OR_STRING = {"anyOf": [{"type": "string"}, {"type": "integer"}]}
_QUANTITY = {"anyOf": [{"type": "string"}, {"type": "number"}]}


def write_schemas(openapi: Mapping[str, Any], folder: Path) -> int:
    """Write a file for each kind of an OpenAPI 2 document; return how many there are.

    Fields that a kind does not have are refused, unless it takes any.
    """
    definitions = {name: _strict(each) for name, each in openapi["definitions"].items()}
    definitions["io.k8s.apimachinery.pkg.api.resource.Quantity"] = _QUANTITY
    (folder / DEFINITIONS).write_text(json.dumps({"definitions": definitions}))
    count = 0
    for name, each in openapi["definitions"].items():
        for of in each.get("x-kubernetes-group-version-kind", ()):
            parts = [of["kind"], of["group"].partition(".")[0], of["version"]]
            file = folder / ("-".join(filter(None, parts)).lower() + ".json")
            file.write_text(json.dumps({"$ref": f"{DEFINITIONS}#/definitions/{name}"}))
            count += 1
    return count


def _strict(schema: Any) -> Any:
    """Return a schema as JSON Schema has it, that takes no field it does not name."""
    if not isinstance(schema, dict):
        return schema
    if schema.get("format") == "int-or-string" or schema.get("x-kubernetes-int-or-string"):
        return _INT_OR_STRING
    made = dict(schema)
    if "properties" in schema:
        made["properties"] = {name: _strict(each) for name, each in schema["properties"].items()}
        takes_any = schema.get("x-kubernetes-preserve-unknown-fields")
        if "additionalProperties" not in schema and not takes_any:
            made["additionalProperties"] = False
    for name in ("items", "additionalProperties"):
        if name in schema:
            made[name] = _strict(made.get(name))
    return made
