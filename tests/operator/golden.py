"""Scenarios as folders: what is given, and what the operator makes of it, as files to be read.

    data/<case>/given.yaml        the bank, what was there before, what happened since
    data/<case>/expected/         the plan, the status, and each object that is written in full

`python -m tests.operator.golden --write` writes what is expected anew; read the difference before
you commit it.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml

from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.reconcile.observed import ChildKey
from memorybank_operator.reconcile.steps import Apply, Create, Delete, Plan, Step
from tests.operator.world import World, bank, running

DATA = Path(__file__).parent / "data"


def cases() -> list[str]:
    """Names of all scenarios."""
    return sorted(each.parent.name for each in DATA.glob("*/given.yaml"))


def render(case: str) -> dict[str, str]:
    """Return what is expected of a scenario: file names and their content."""
    given = yaml.safe_load((DATA / case / "given.yaml").read_text())
    of, world = _scene(given)
    planned = world.plan(of)
    files = {"plan.yaml": _yaml(_summary(planned)), "status.yaml": _yaml(world.status(of))}
    for step in planned.steps:
        if isinstance(step, Apply | Create):
            body = step.body
            name = f"{body['kind'].lower()}-{body['metadata']['name']}.yaml"
            files[name] = _yaml(body)
    return files


def stored(case: str) -> dict[str, str]:
    """Return what the files say."""
    return {each.name: each.read_text() for each in (DATA / case / "expected").glob("*.yaml")}


def _scene(given: Mapping[str, Any]) -> tuple[MemoryBank, World]:
    world = World()
    if "before" in given:
        world = running(_bank(given["before"]))
    of = _bank(given["bank"])
    for change in given.get("changes", ()):
        _change(world, of, change)
    return of, world


def _bank(body: Mapping[str, Any]) -> MemoryBank:
    return bank(body.get("spec"), status=body.get("status"), **body.get("metadata", {}))


def _change(world: World, of: MemoryBank, change: Mapping[str, Any]) -> None:
    [(verb, value)] = change.items()
    match verb:
        case "delete":
            del world.children[_child(value)]
        case "put":
            world.children[ChildKey(value["kind"], value["metadata"]["name"])] = value
        case "merge":
            _merge(world.children[_child(value["object"])], value["with"])
        case "pods":
            world.pods = world.pods[:value]
        case "pod":
            _merge(world.pods[0], value)
        case "secret":
            world.admin_key_secret = value
        case "named secret":
            world.named_secrets[value["metadata"]["name"]] = value
        case "canary":
            # Of the bank as it is now, differing as said.
            world.canary = replace(world.passed(of), **value) if value else None
        case _:
            raise ValueError(f"a scenario cannot {verb}")


def _child(text: str) -> ChildKey:
    kind, _, name = text.partition("/")
    return ChildKey(kind, name)


def _merge(target: dict[str, Any], changes: Mapping[str, Any]) -> None:
    for key, value in changes.items():
        if isinstance(value, Mapping) and isinstance(target.get(key), dict):
            _merge(target[key], value)
        else:
            target[key] = value


def _summary(planned: Plan) -> dict[str, Any]:
    return {
        "steps": [_line(step) for step in planned.steps],
        "notes": [
            f"{'Warning' if each.warning else 'Normal'} {each.reason}: {each.message}"
            for each in planned.notes
        ],
        "problems": [
            f"{each.reason}{' (terminal)' if each.terminal else ''}: {each.message}"
            for each in planned.problems
        ],
        "revision": planned.revision,
        "requeueAfter": planned.requeue_after,
    }


def _line(step: Step) -> str:
    match step:
        case Apply(body, drift):
            where = f" (drift: {', '.join(drift)})" if drift else ""
            return f"apply {body['kind']} {body['metadata']['name']}{where}"
        case Create(body):
            return f"create {body['kind']} {body['metadata']['name']}"
        case Delete(key, uid):
            return f"delete {key.kind} {key.name} ({uid})"


def _yaml(value: Any) -> str:
    return yaml.safe_dump(value, sort_keys=False, width=100)


def _differing() -> Iterator[str]:
    for case in cases():
        if render(case) != stored(case):
            yield case


def main() -> int:
    """Check or write; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.operator.golden")
    parser.add_argument("--write", action="store_true", help="write what is expected anew")
    if parser.parse_args().write:
        for case in cases():
            folder = DATA / case / "expected"
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for name, text in render(case).items():
                (folder / name).write_text(text)
        return 0
    differing = list(_differing())
    sys.stdout.write("".join(f"{case} differs\n" for case in differing))
    return 1 if differing else 0


if __name__ == "__main__":
    sys.exit(main())
