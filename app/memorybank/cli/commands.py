"""store, search, health, version and model: parse, ask the bank, show."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from memorybank.cli.bank import Bank, open_bank
from memorybank.errors import InvalidRequest
from memorybank.schemas.health import ReadyReport
from memorybank.schemas.memories import NewMemory, SearchRequest, SearchResponse
from memorybank.schemas.problems import invalid_request
from memorybank.version import VERSION

_SHOWN = 300
"""Characters of a memory that a list for people shows."""

Model = TypeVar("Model", bound=BaseModel)


def store(arguments: argparse.Namespace) -> int:
    """Store a memory."""
    content = sys.stdin.read() if arguments.content == "-" else arguments.content
    metadata = None if arguments.metadata is None else _json(arguments.metadata)
    new = _validated(
        NewMemory,
        content=content,
        metadata=metadata,
        **_given(
            arguments, "title", "type", "project", "session", "tags", "importance", "occurred_at"
        ),
    )
    memory = _ask(arguments, lambda bank: bank.store(new))
    _show(arguments, memory, memory.id)
    return 0


def search(arguments: argparse.Namespace) -> int:
    """Find memories."""
    request = _validated(
        SearchRequest,
        query=arguments.query,
        **_given(arguments, "limit", "project", "session", "types", "tags"),
    )
    found = _ask(arguments, lambda bank: bank.search(request))
    _show(arguments, found, _listed(found))
    return 0


def health(arguments: argparse.Namespace) -> int:
    """Check that a bank does its job."""
    report = _ask(arguments, lambda bank: bank.health())
    _show(arguments, report, _reported(report))
    return 0 if report.status == "ready" else 1


def version(arguments: argparse.Namespace) -> int:
    """Print the version."""
    text = json.dumps({"version": VERSION}) if arguments.output == "json" else VERSION
    sys.stdout.write(f"{text}\n")
    return 0


def model(arguments: argparse.Namespace) -> int:
    """Make the built-in embedding model; `prepare` is all there is to do with it."""
    from memorybank.model.locate import cache_folder
    from memorybank.model.prepare import prepare

    def progress(step: str) -> None:
        sys.stderr.write(f"{step}\n")

    prepare(arguments.output or cache_folder(), progress)
    return 0


def _ask(arguments: argparse.Namespace, question: Callable[[Bank], Awaitable[Model]]) -> Model:
    async def ask() -> Model:
        async with open_bank(arguments) as bank:
            return await question(bank)

    return asyncio.run(ask())


def _show(arguments: argparse.Namespace, answer: BaseModel, text: str) -> None:
    shown = answer.model_dump_json(indent=2) if arguments.output == "json" else text
    sys.stdout.write(f"{shown}\n")


def _listed(found: SearchResponse) -> str:
    if not found.results:
        return "nothing found"
    blocks = []
    for result in found.results:
        memory = result.memory
        about = [memory.type, memory.project, memory.title]
        head = f"{result.score:.3f}  {memory.id}  {' · '.join(part for part in about if part)}"
        text = memory.content
        shown = text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
        blocks.append("\n".join([head, *(f"       {line}" for line in shown.splitlines())]))
    return "\n".join(blocks)


def _reported(report: ReadyReport) -> str:
    lines = [f"{report.status.replace('_', ' ')} (version {report.version})"]
    lines += [f"  {check.status:8}{check.name}" for check in report.checks]
    lines += [f"{check.name}: {check.message}" for check in report.checks if check.message]
    return "\n".join(lines)


def _given(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    return {name: value for name in names if (value := getattr(arguments, name)) is not None}


def _json(text: str) -> Any:
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise InvalidRequest(
            f"metadata is not JSON: {error}", field="metadata", hint='send it like {"key": "value"}'
        ) from None


def _validated(kind: type[Model], **fields: Any) -> Model:
    try:
        return kind.model_validate(
            {name: value for name, value in fields.items() if value is not None}
        )
    except ValidationError as error:
        raise invalid_request(error.errors()) from None
