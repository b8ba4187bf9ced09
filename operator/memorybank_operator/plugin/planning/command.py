"""`plan`: asks the API server what it would make of a file, and tells what the operator would do
about that. Nothing is changed.
"""

from __future__ import annotations

import sys
from argparse import Namespace
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import KubeClient, Object
from memorybank_operator.plugin import rendering
from memorybank_operator.plugin.planning import surroundings
from memorybank_operator.plugin.planning.foreseen import Foreseen, foresee
from memorybank_operator.plugin.problems import DONE, NOT_READY, REFUSED, USAGE, Problem
from memorybank_operator.plugin.showing import put


async def plan(asked: Namespace, api: KubeClient) -> int:
    """Print what applying a file would do to its banks; 1 when one of them would lack something."""
    banks = list(_banks(asked))
    settings = await surroundings.settings(api)
    told = []
    for wanted in banks:
        live = await api.get(
            kinds.MEMORY_BANK, wanted["metadata"]["namespace"], wanted["metadata"]["name"]
        )
        bank = _parsed(await _tried(api, wanted, live))
        found = foresee(bank, await surroundings.observed(api, bank), settings)
        told.append(_told(bank, found, is_new=live is None))
    put(asked, {"plans": told}, lambda: "\n\n".join(map(rendering.foreseen, told)))
    return NOT_READY if any(each["problems"] for each in told) else DONE


def _banks(asked: Namespace) -> Iterator[Object]:
    """Yield the banks of the file, each in the namespace that it is for."""
    try:
        text = sys.stdin.read() if asked.file == "-" else Path(asked.file).read_text()
        documents = [each for each in yaml.safe_load_all(text) if each]
    except OSError as error:
        raise Problem(f"--file: {error.strerror}: {asked.file}", USAGE) from None
    except (UnicodeDecodeError, yaml.YAMLError) as error:
        where = getattr(error, "problem_mark", None)
        line = f" in line {where.line + 1}" if where else ""
        raise Problem(f"--file: {asked.file} is no YAML{line}", USAGE) from None
    banks = [each for each in documents if _is_bank(each)]
    if not banks:
        raise Problem(
            f"--file: there is no {constants.KIND} ({constants.API_VERSION}) in {asked.file}", USAGE
        )
    for each in banks:
        metadata = each.get("metadata")
        if not isinstance(metadata, dict) or not isinstance(metadata.get("name"), str):
            raise Problem(f"--file: a {constants.KIND} lacks metadata.name", USAGE)
        yield {**each, "metadata": {"namespace": asked.namespace, **metadata}}


def _is_bank(document: object) -> bool:
    return (
        isinstance(document, dict)
        and document.get("kind") == constants.KIND
        and document.get("apiVersion") == constants.API_VERSION
    )


async def _tried(api: KubeClient, wanted: Object, live: Object | None) -> Object:
    """Return the bank as the API server would have it, with the status that it has. Raises Problem
    with what the API server refuses.
    """
    metadata = wanted["metadata"]
    try:
        if live is None:
            return await api.create({**wanted, "status": {}}, dry_run=True)
        spec = _replacing(live.get("spec") or {}, wanted.get("spec") or {})
        return await api.merge(
            kinds.MEMORY_BANK, metadata["namespace"], name=metadata["name"],
            changes={"spec": spec}, dry_run=True,
        )  # fmt: skip
    except errors.Invalid as error:
        raise Problem(str(error), REFUSED) from None


def _replacing(live: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return the merge patch (RFC 7386) that makes one object of another."""
    patch: dict[str, Any] = {name: None for name in live if name not in wanted}
    for name, value in wanted.items():
        before = live.get(name)
        if isinstance(value, dict) and isinstance(before, dict):
            value = _replacing(before, value)
        patch[name] = value
    return patch


def _parsed(resource: Object) -> MemoryBank:
    try:
        return MemoryBank.model_validate(resource)
    except ValidationError as error:
        found = "; ".join(
            f"{'.'.join(map(str, each['loc']))}: {each['msg']}" for each in error.errors()
        )
        raise Problem(f"{resource['metadata']['name']}: {found}", REFUSED) from None


def _told(bank: MemoryBank, found: Foreseen, *, is_new: bool) -> dict[str, Any]:
    return {
        "name": bank.name,
        "namespace": bank.namespace,
        "new": is_new,
        "paused": bank.spec.paused,
        "changes": [
            {
                "action": each.action,
                "kind": each.child.kind,
                "name": each.child.name,
                "fields": list(each.fields),
            }
            for each in found.changes
        ],
        "restarts": list(found.restarts),
        "irreversible": list(found.irreversible),
        "waits": found.waits,
        "problems": list(found.problems),
    }
