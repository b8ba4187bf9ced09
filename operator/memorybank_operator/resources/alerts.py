"""Rules that tell somebody when a bank, or the operator itself, needs them.

The one YAML that is a template: rules are prose with a few values in them. What comes out is parsed
and checked before anybody gets it. Values are names of Kubernetes objects, which no quoting breaks.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

import yaml
from jinja2 import Environment, PackageLoader, StrictUndefined
from pydantic import BaseModel, ConfigDict, Field

RUNBOOKS = "https://memorybank.dev/runbooks/alerts"
"""Where the pages of docs/runbooks/alerts are, unless somebody keeps them elsewhere."""
NOT_ASKED = 'route!~"/(live|ready|health)|/mcp|/v1/(export|import)|/api/v1/export/all|unmatched"'
"""Leaves out what probes ask, and answers that are streams and last as long as somebody reads."""

Text = Annotated[str, Field(min_length=1)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Annotations(_Model):
    """What somebody reads who is told."""

    summary: Text
    description: Text
    runbook_url: Annotated[str, Field(pattern=r"^https?://")]


class Rule(_Model):
    """One alert."""

    alert: Annotated[str, Field(pattern=r"^MemoryBank[A-Za-z]+$")]
    expr: Text
    held: Annotated[str, Field(alias="for", pattern=r"^[1-9][0-9]*[mh]$")]
    labels: Mapping[str, str]
    annotations: Annotations


class Group(_Model):
    """Rules that are evaluated together."""

    name: Text
    rules: Annotated[tuple[Rule, ...], Field(min_length=1)]


class Rules(_Model):
    """What a PrometheusRule has as its spec, and a file of rules as its content."""

    groups: Annotated[tuple[Group, ...], Field(min_length=1)]


def bank_rules(namespace: str, bank: str, *, runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """Return the rules about one bank, over series whose labels `namespace` and `bank` name it."""
    of = f'namespace="{namespace}",bank="{bank}"'
    return _rendered(
        namespace=namespace,
        bank=bank,
        of=of,
        waiting=f"max by (namespace, bank) (memorybank_embedding_pending{{{of}}}"
        f" + memorybank_reembedding_pending{{{of}}})",
        asked=NOT_ASKED,
        runbooks=runbooks,
    )


def operator_rules(*, runbooks: str = RUNBOOKS) -> dict[str, Any]:
    """Return the rules about the operator, and about whatever bank it has trouble with."""
    return _rendered(bank=None, runbooks=runbooks)


def _rendered(*, runbooks: str, **values: Any) -> dict[str, Any]:
    def labels(severity: str) -> str:
        return json.dumps({"severity": severity})

    def runbook(alert: str) -> str:
        return json.dumps(f"{runbooks.rstrip('/')}/{alert}")

    template = _environment().get_template("alerts.yaml.j2")
    text = template.render(**values, labels=labels, runbook=runbook)
    return Rules.model_validate(yaml.load(text, Loader=yaml.CSafeLoader)).model_dump(
        mode="json", by_alias=True
    )


@cache
def _environment() -> Environment:
    # {{ }} is what Prometheus fills in. Nothing of this is HTML.
    return Environment(
        loader=PackageLoader("memorybank_operator.resources"),
        block_start_string="[%",
        block_end_string="%]",
        variable_start_string="[[",
        variable_end_string="]]",
        undefined=StrictUndefined,
        autoescape=False,  # noqa: S701 - YAML, which no browser reads
        trim_blocks=True,
        lstrip_blocks=True,
    )
