"""Scenarios as folders: what is given, and what the operator makes of it, as files to be read.

    data/<case>/given.yaml        the bank or the key, what was there before, what happened since
    data/<case>/expected/         the plan, the status, and each object that is written in full

`python -m tests.operator.golden --write` writes what is expected anew; read the difference before
you commit it.
"""

from __future__ import annotations

import argparse
import copy
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml
from typing_extensions import override

from memorybank_operator import constants
from memorybank_operator.api.duration import parse_duration
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.memorybankkey import MemoryBankKey
from memorybank_operator.reconcile.delivery import Delivery, deliver, rotation
from memorybank_operator.reconcile.final import hand_over, part, release
from memorybank_operator.reconcile.observed import (
    BackupReading,
    ChildKey,
    FollowReading,
    KubeObject,
)
from memorybank_operator.reconcile.points import Scene, stand
from memorybank_operator.reconcile.restores import Stage, advance
from memorybank_operator.reconcile.steps import Apply, Create, Delete, Mark, Note, Plan, Share, Step
from memorybank_operator.status.key import key_status, notes
from memorybank_operator.status.point import notes as point_notes
from memorybank_operator.status.point import point_status
from memorybank_operator.status.reduce import reduce_leaving
from memorybank_operator.status.restore import notes as restore_notes
from memorybank_operator.status.restore import restore_status
from tests.operator.recovery import backup, backup_body, replicated, report, restore, with_job
from tests.operator.recovery import scene as scene_of
from tests.operator.world import BACKED_UP, KEY, NOW, OTHER_KEY, World, bank, bank_body, running

DATA = Path(__file__).parent / "data"
READINGS: dict[str, tuple[Callable[..., object], dict[str, object]]] = {
    "backup": (
        BackupReading, {"epoch": "00000002-1a2b3c4d", "origin": "volume", "synced_at": NOW},
    ),
    **dict.fromkeys(
        ("follow", "readers"),
        (FollowReading, {"epoch": "00000002-1a2b3c4d", "lag_seconds": 0.7, "moment": NOW}),
    ),
}  # fmt: skip
SECRETS = {"secret": "admin_key_secret", "tls secret": "tls_secret"}


def cases() -> list[str]:
    """Names of all scenarios."""
    return sorted(each.parent.name for each in DATA.glob("*/given.yaml"))


def render(case: str) -> dict[str, str]:
    """Return what is expected of a scenario: file names and their content."""
    given = yaml.safe_load((DATA / case / "given.yaml").read_text())
    if "key" in given:
        return _rendered_key(given)
    if "point" in given:
        return _rendered_point(given)
    if "restore" in given:
        return _rendered_restore(given)
    if "final" in given:
        return _rendered_final(given)
    of, world = _scene(given)
    planned = world.plan(of)
    files = {"plan.yaml": _yaml(_summary(planned)), "status.yaml": _yaml(world.status(of))}
    return files | _written(planned.steps)


def _rendered_key(given: Mapping[str, Any]) -> dict[str, str]:
    """Return what is made of a MemoryBankKey: like a bank's, and the events that it causes.

    The Secret `before` was made by that spec, at NOW; `secret` changed it since. `after` is how
    much time passed. The bank takes every key that it is told.
    """
    now = NOW + parse_duration(given.get("after", "0s"))
    secret: KubeObject | None = None
    before: dict[str, Any] = {}
    if "before" in given:
        former = _key(given["before"])
        made = deliver(former, None, lambda: KEY, NOW).step
        assert made is not None
        secret = _stored(made)
        before = _key_status(former, deliver(former, secret, _never, NOW), "id-1", NOW)
        secret = copy.deepcopy(dict(secret))
        _merge(secret, given.get("secret", {}))
    elif "secret" in given:
        secret = given["secret"]
    key = _key({**given["key"], "status": before} if before else given["key"])
    delivery, key_id, steps = deliver(key, secret, lambda: OTHER_KEY, now), "id-1", []
    if delivery.step is not None:
        steps.append(delivery.step)
        delivery = deliver(key, _stored(delivery.step), _never, now)
    if delivery.rotates:
        steps.append(rotation(key, delivery, OTHER_KEY, key_id=key_id, now=now))
        delivery, key_id = deliver(key, _stored(steps[-1]), _never, now), "id-2"
    status = _key_status(key, delivery, key_id, now)
    plan = {
        "steps": [_line(step) for step in steps],
        "events": [_event(each) for each in notes(before, status)],
    }
    return {"plan.yaml": _yaml(plan), "status.yaml": _yaml(status)} | _written(steps)


def _rendered_point(given: Mapping[str, Any]) -> dict[str, str]:
    """Return what is made of a MemoryBankBackup: its Job, its status, and the events.

    `job` is how its Job ended, or `runs`; `report` is in what its pod's report differs from one of
    work that was done, and `said` what it said instead. `after` is how much time passed since.
    """
    of, world = replicated(given.get("bank", BACKED_UP))
    scene = scene_of(of, world)
    if given.get("bank", {}) is None:
        scene = Scene(None)
    wanted = backup(given["point"], **given.get("metadata", {}))
    before = stand(wanted, scene, NOW)
    first = point_status(wanted, before, NOW)
    steps = [] if before.step is None else [before.step]
    now = NOW + parse_duration(given.get("after", "0s"))
    status, events = first, [*point_notes({}, first)]
    if "job" in given:
        said = given.get("said", report(**given.get("report", {})))
        ended = None if given["job"] == "runs" else given["job"]
        scene = with_job(scene, wanted, ended, None if ended is None else said)
        wanted = backup(given["point"], status=first, **given.get("metadata", {}))
        status = point_status(wanted, stand(wanted, scene, NOW), NOW)
        events += point_notes(first, status)
        wanted = backup(given["point"], status=status, **given.get("metadata", {}))
        later = point_status(wanted, stand(wanted, scene, now), now)
        events += point_notes(status, later)
        status = later
    plan = {
        "steps": [_line(step) for step in steps],
        "events": [_event(each) for each in events],
    }
    return {"plan.yaml": _yaml(plan), "status.yaml": _yaml(status)} | _written(steps)


def _rendered_restore(given: Mapping[str, Any]) -> dict[str, str]:
    """Return what is made of a MemoryBankRestore in a `phase`, of a bank that is `stopped` or not:
    its Job or the recovery point that is taken before, and its status.
    """
    of, world = replicated(given.get("bank", BACKED_UP))
    wanted = restore(given["restore"], phase=given.get("phase", ""))
    stage = Stage(scene_of(of, world), {}, is_stopped=given.get("stopped", False))
    progress = advance(wanted, stage)
    status = restore_status(wanted, progress, NOW)
    steps = [] if progress.step is None else [progress.step]
    plan = {
        "steps": [_line(step) for step in steps],
        "events": [_event(each) for each in restore_notes({}, status)],
    }
    return {"plan.yaml": _yaml(plan), "status.yaml": _yaml(status)} | _written(steps)


def _rendered_final(given: Mapping[str, Any]) -> dict[str, str]:
    """Return what becomes of a bank that was deleted under Snapshot, with its last recovery point
    as `final` has it (None before it is asked for) and `after` so much time.
    """
    spec = BACKED_UP | {"deletionPolicy": "Snapshot"} | given.get("bank", {})
    before, world = replicated(spec)
    leaving: dict[str, Any] = {
        "deletionTimestamp": NOW.isoformat(),
        "finalizers": [constants.FINALIZER],
    }
    of = bank(spec, status=world.status(before), **leaving)
    point = None if given["final"] is None else backup_body(status=given["final"])
    now = NOW + parse_duration(given.get("after", "0s"))
    parting = part(of, world.children, point, now)
    steps: list[Step] = [] if parting.step is None else [parting.step]
    status = world.status(before)
    if parting.message:
        status = reduce_leaving(of, parting.message, now=now)
    else:
        steps += hand_over(of, world.children, parting.goes)
        steps.append(release(bank_body(spec, **leaving)))
    plan = {
        "steps": [_line(step) for step in steps],
        "events": [] if parting.note is None else [_event(parting.note)],
    }
    return {"plan.yaml": _yaml(plan), "status.yaml": _yaml(status)} | _written(steps)


def _key(body: Mapping[str, Any]) -> MemoryBankKey:
    metadata = {
        "name": "app", "namespace": "team", "uid": "uid-1", "generation": 1,
        "creationTimestamp": NOW.isoformat(),
    }  # fmt: skip
    return MemoryBankKey.parse({**body, "metadata": metadata | body.get("metadata", {})})


def _stored(step: Apply | Create) -> KubeObject:
    return {**step.body, "metadata": {**step.body["metadata"], "uid": "secret-1"}}


def _never() -> str:
    raise AssertionError("a key was generated that nobody needs")


def _key_status(
    key: MemoryBankKey, delivery: Delivery, key_id: str, now: datetime
) -> dict[str, Any]:
    return key_status(
        key, delivery.problem, record=delivery.record, now=now,
        key_id=key_id if delivery.record else "", ids={},
    )  # fmt: skip


def _written(steps: Iterable[Step]) -> dict[str, str]:
    """Return each object that is written in full, as last written."""
    bodies = [step.body for step in steps if isinstance(step, Apply | Create)]
    return {
        f"{each['kind'].lower()}-{each['metadata']['name']}.yaml": _yaml(each) for each in bodies
    }


def stored(case: str) -> dict[str, str]:
    """Return what the files say."""
    return {each.name: each.read_text() for each in (DATA / case / "expected").glob("*.yaml")}


def _scene(given: Mapping[str, Any]) -> tuple[MemoryBank, World]:
    world = World()
    if "before" in given:
        world = running(_bank(given["before"]))
        if given.get("settled"):
            world.converge(_bank(given["before"]))
    if "installed" in given:
        world.settings = replace(world.settings, installed=frozenset(given["installed"]))
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
        case "secret" | "tls secret":
            setattr(world, SECRETS[verb], value)
        case "named secret":
            world.named_secrets[value["metadata"]["name"]] = value
        case "backup" | "follow" | "readers":
            reading, said = READINGS[verb]
            setattr(world, verb, reading(**said | value))
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
        "notes": [_event(each) for each in planned.notes],
        "problems": [
            f"{each.reason}{' (terminal)' if each.terminal else ''}: {each.message}"
            for each in planned.problems
        ],
        "revision": planned.revision,
        "requeueAfter": planned.requeue_after,
    }


def _event(note: Note) -> str:
    return f"{'Warning' if note.warning else 'Normal'} {note.reason}: {note.message}"


def _line(step: Step) -> str:
    match step:
        case Apply(body, drift):
            where = f" (drift: {', '.join(drift)})" if drift else ""
            return f"apply {body['kind']} {body['metadata']['name']}{where}"
        case Create(body):
            return f"create {body['kind']} {body['metadata']['name']}"
        case Mark(key, _, changes):
            return f"mark {key.kind} {key.name} ({', '.join(changes)})"
        case Share(body):
            return f"share {body['kind']} {body['metadata']['name']} ({', '.join(body['spec'])})"
        case Delete(key, uid):
            return f"delete {key.kind} {key.name} ({uid})"


class _InFull(yaml.SafeDumper):
    """Writes what occurs twice twice."""

    @override
    def ignore_aliases(self, data: Any) -> bool:
        return True


def _yaml(value: Any) -> str:
    return yaml.dump(value, Dumper=_InFull, sort_keys=False, width=100)


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
