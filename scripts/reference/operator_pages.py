"""The operator's pages: its resource, the words of its status."""

from __future__ import annotations

from typing import Any

from memorybank_operator.api import crd
from memorybank_operator.api.v1alpha1.conditions import (
    BackupPhase,
    ConditionType,
    Explained,
    Phase,
    Reason,
    RestorePhase,
)
from scripts.reference import fields
from scripts.reference.markdown import code, page, table


def bank() -> str:
    """The MemoryBank: every field of spec and status."""
    return resource(crd.build())


def key() -> str:
    """The MemoryBankKey, likewise."""
    return resource(crd.build_keys())


def backup() -> str:
    """The MemoryBankBackup, likewise."""
    return resource(crd.build_backups())


def restore() -> str:
    """The MemoryBankRestore, likewise."""
    return resource(crd.build_restores())


def resource(made: dict[str, Any]) -> str:
    """Describe the resource that a CRD defines."""
    definition = made["spec"]
    short = definition["names"]["shortNames"][0]
    (version,) = definition["versions"]
    schema = version["schema"]["openAPIV3Schema"]
    parts = schema["properties"]
    names = ", ".join(f"`{name}`" for name in definition["names"]["shortNames"])
    return page(
        definition["names"]["kind"],
        f"`{definition['group']}/{version['name']}`, namespaced, short name {names}. "
        f"{schema['description']} In a cluster: `kubectl explain {short}.spec --recursive`.",
        "## spec",
        parts["spec"]["description"],
        table(fields.HEADINGS, fields.rows(parts["spec"])),
        "Sentences in italics are the answers to a value that breaks the rule.",
        rules(schema, "## Rules between fields"),
        "## status",
        parts["status"].get("description", ""),
        table(fields.HEADINGS, fields.rows(parts["status"])),
        f"## What `kubectl get {short}` shows",
        table(
            ("Column", "What", ""),
            (
                (
                    column["name"],
                    column.get("description", ""),
                    "with `-o wide`" if column.get("priority") else "",
                )
                for column in version["additionalPrinterColumns"]
            ),
        ),
    )


def rules(schema: fields.Schema, heading: str) -> str:
    """The rules of an object and of its spec as a whole."""
    spec: fields.Schema = schema["properties"]["spec"]
    messages = [rule["message"] for each in (schema, spec) for rule in each.get(fields.RULES, ())]
    return "\n".join([heading, "", *(f"- {message}" for message in messages)]) if messages else ""


def conditions() -> str:
    """The words of a status and of events."""

    def words(kind: type[Explained]) -> str:
        return table(("Word", "Meaning"), ((code(str(word)), word.meaning) for word in kind))

    return page(
        "Conditions, reasons, phases",
        "`Ready` is the one to wait for: `kubectl wait --for=condition=Ready mb/NAME`. "
        "Each condition carries the generation it speaks of.",
        "## Types",
        words(ConditionType),
        "## Reasons",
        "In conditions and, where something happened, in events.",
        words(Reason),
        "## Phases",
        "`status.phase` is for people; tools look at conditions.",
        words(Phase),
        "## Phases of a MemoryBankBackup",
        words(BackupPhase),
        "## Phases of a MemoryBankRestore",
        words(RestorePhase),
    )
