"""What can be set: the operator's environment variables, the service's file and variables."""

from __future__ import annotations

from collections.abc import Iterator

from memorybank import settings as service
from memorybank_operator import settings as operator
from memorybank_operator.api import defaults
from scripts.reference import fields
from scripts.reference.markdown import code, page, table

# Not in the schema, since it depends on whose machine it is.
DERIVED = {"data": "the user's data folder"}


def settings() -> str:
    """Both programs' settings."""
    return page(
        "Settings",
        "## Operator",
        "Environment variables; the Helm chart sets them. An unknown one is refused.",
        table(("Variable", "Type", "Default", "What"), operator_rows()),
        "## Defaults of banks",
        "What banks get that leave it out: YAML under the key `defaults.yaml` of the ConfigMap "
        "that `MEMORYBANK_OPERATOR_DEFAULTS` names, by the names of the spec; see "
        "[docs/banks/defaults.md](../banks/defaults.md).",
        table(("Key", "Type", "Default", "What"), default_rows()),
        "## Service",
        "`memorybank serve --config FILE` reads YAML. A variable wins over the file, an option of "
        "the command line over both. Unknown keys are refused with their path. In a cluster the "
        "operator writes the file from the MemoryBank.",
        table(("Key", "Variable", "Type", "Default", "What"), service_rows()),
    )


def operator_rows() -> Iterator[tuple[str, str, str, str]]:
    """A row for each variable of the operator."""
    schema = operator.Settings.model_json_schema()
    for name, kind, default, meaning in fields.rows(schema, schema.get("$defs")):
        yield (code(operator.PREFIX + name.strip("`").upper()), kind, default, meaning)


def default_rows() -> Iterator[tuple[str, str, str, str]]:
    """A row for each cluster-wide default."""
    schema = defaults.Defaults.model_json_schema()
    return fields.rows(schema, schema.get("$defs"))


def service_rows() -> Iterator[tuple[str, str, str, str, str]]:
    """A row for each setting of the service; a section's own row says nothing that these do not."""
    schema = service.Settings.model_json_schema()
    sections = {name for name, field in schema["properties"].items() if "$ref" in field}
    for name, kind, default, meaning in fields.rows(schema, schema.get("$defs")):
        key = name.removesuffix(" (required)").strip("`")
        if key not in sections:
            # The items of a list have none of their own: a list is a variable as a whole.
            variable = (
                "" if "[]" in key else code(f"{service.PREFIX}{key.replace('.', '__').upper()}")
            )
            shown = default or DERIVED.get(key, "")
            yield (code(key), variable, kind, shown, meaning)
