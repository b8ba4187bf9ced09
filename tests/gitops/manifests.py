"""The manifests that the scripts for Argo CD are tried with: as the operator leaves them.

    python -m tests.gitops.manifests --write

writes them anew, from the states and scenarios of tests/operator; read the difference before you
commit it. Argo CD's own tests read such files, from the same folders.
"""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Callable, Mapping
from typing import Any

import yaml

from memorybank_operator import constants
from tests.gitops.argocd import CUSTOMIZATIONS
from tests.operator.golden import DATA, render
from tests.operator.recovery import backup_body, restore_body
from tests.operator.status.states import STATES, seen
from tests.operator.world import NOW, bank_body

_RESTART = "2026-01-01T12:00:00Z"


def manifests() -> dict[str, dict[str, Any]]:
    """Return them by where they are, below the folder of our group."""
    made: dict[str, dict[str, Any]] = {}
    for name, state in _BANKS.items():
        made[f"MemoryBank/testdata/{name}.yaml"] = seen(STATES[state])
    made["MemoryBank/testdata/unseen.yaml"] = bank_body()
    made["MemoryBank/testdata/changed.yaml"] = seen(STATES["running"]) | {"spec": {"paused": False}}
    made["MemoryBank/testdata/changed.yaml"]["metadata"]["generation"] = 2
    for name, case in _BANK_CASES.items():
        made[f"MemoryBank/testdata/{name}.yaml"] = _bank_of(case)
    for kind, (body, cases) in _OTHERS.items():
        made[f"{kind}/testdata/unseen.yaml"] = body({})
        for name, case in cases.items():
            given = yaml.safe_load((DATA / case / "given.yaml").read_text())
            status = yaml.safe_load(render(case)["status.yaml"])
            made[f"{kind}/testdata/{name}.yaml"] = body(given) | {"status": status}
    done = {"type": "Complete", "status": "True", "reason": "Restored"}
    made["MemoryBankRestore/testdata/restored.yaml"] = restore_body({"latest": True}) | {
        "status": {
            "observedGeneration": 1,
            "phase": "Complete",
            "conditions": [
                done
                | {
                    "observedGeneration": 1,
                    "lastTransitionTime": _RESTART,
                    "message": "The bank serves what was restored",
                }
            ],
        }
    }
    return made | _acted(made)


def _acted(made: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Return what actions make of some of them."""
    found = {}
    for path, (before, changes) in _ACTED.items():
        kind, _, name = path.partition("/")
        after = copy.deepcopy(made[f"{kind}/testdata/{before}.yaml"])
        after["spec"] = _merged(after["spec"], changes)
        found[f"{kind}/actions/testdata/{name}.yaml"] = after
    for path in ("MemoryBank/running", "MemoryBank/paused", "MemoryBank/hibernated",
                 "MemoryBank/awaits-approval", "MemoryBank/backed-up",
                 "MemoryBankKey/accepted", "MemoryBankRestore/restored"):  # fmt: skip
        kind, _, name = path.partition("/")
        found[f"{kind}/actions/testdata/{name}.yaml"] = made[f"{kind}/testdata/{name}.yaml"]
    for name, (of, spec) in _MADE.items():
        found[f"MemoryBank/actions/testdata/{name}.yaml"] = {
            "apiVersion": constants.API_VERSION,
            "kind": of,
            "metadata": {"name": f"agents-{_SUFFIX[name]}", "namespace": "team"},
            "spec": {"bank": {"name": "agents"}} | spec,
        }
    return found


def _merged(spec: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = dict(spec)
    for name, value in changes.items():
        of = merged.get(name)
        merged[name] = _merged(of, value) if isinstance(of, dict) else value
    return merged


def _bank_of(case: str) -> dict[str, Any]:
    given = yaml.safe_load((DATA / case / "given.yaml").read_text())["bank"]
    status = yaml.safe_load(render(case)["status.yaml"])
    return bank_body(given.get("spec"), status=status, **given.get("metadata", {}))


def key_body(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return a MemoryBankKey as a scenario gives it, which the operator has not seen yet."""
    key = given.get("key", {"spec": {"bankRef": {"name": "agents"}}})
    return {
        "apiVersion": constants.API_VERSION,
        "kind": constants.KEY_KIND,
        "metadata": {
            "name": "app", "namespace": "team", "uid": "uid-1", "generation": 1,
            "creationTimestamp": NOW.isoformat(),
        } | key.get("metadata", {}),
        "spec": key["spec"],
        "status": {"observedGeneration": -1},
    }  # fmt: skip


def point_body(given: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a MemoryBankBackup."""
    return backup_body(given.get("point"), **given.get("metadata", {}))


def _restore_body(given: Mapping[str, Any]) -> dict[str, Any]:
    return restore_body(given.get("restore", {"latest": True}))


_BANKS = {
    "running": "running",
    "starting": "pod starts",
    "verifying": "unproven",
    "crashing": "crashing",
    "name-taken": "name taken",
    "rolled-back": "rolled back",
    "awaits-approval": "awaits approval",
    "paused": "paused and fine",
    "hibernated": "hibernated",
    "stopped": "stopped",
}
_BANK_CASES = {"backups-failing": "backups-failing", "backed-up": "backups-in-a-bucket"}
_OTHERS: dict[str, tuple[Callable[[Mapping[str, Any]], dict[str, Any]], dict[str, str]]] = {
    "MemoryBankKey": (
        key_body,
        {
            "accepted": "key-every-field",
            "expired": "key-expired",
            "expires-soon": "key-expires-soon",
            "secret-taken": "key-secret-taken",
        },
    ),
    "MemoryBankBackup": (
        point_body,
        {
            "waiting": "point-without-backups",
            "taking": "point-runs",
            "taken": "point-taken",
            "damaged": "point-damaged",
            "expired": "point-expired",
        },
    ),
    "MemoryBankRestore": (
        _restore_body,
        {"restoring": "restore-in-place", "stopping": "restore-stopping"},
    ),
}
_ACTED: dict[str, tuple[str, dict[str, Any]]] = {
    "MemoryBank/suspended": ("running", {"paused": True}),
    "MemoryBank/resumed": ("paused", {"paused": False}),
    "MemoryBank/put-to-sleep": ("running", {"hibernate": True}),
    "MemoryBank/woken": ("hibernated", {"hibernate": False}),
    "MemoryBank/restarted": ("running", {"restart": _RESTART}),
    "MemoryBank/approved": (
        "awaits-approval",
        {"updatePolicy": {"approved": "9ea4ac6cf0daab65"}},
    ),
    "MemoryBankKey/rotated": ("accepted", {"rotation": {"request": _RESTART}}),
    "MemoryBankRestore/rolled-back": ("restored", {"rollback": True}),
}


_MADE: dict[str, tuple[str, dict[str, Any]]] = {
    "point": (constants.BACKUP_KIND, {"expireAfter": "720h"}),
    "trial": (constants.RESTORE_KIND, {"latest": True, "check": True}),
}
_SUFFIX = {"point": "20260101-120000", "trial": "check-20260101-120000"}


def written() -> dict[str, str]:
    """Return them as files."""
    return {path: _yaml(body) for path, body in manifests().items()}


def _yaml(body: Mapping[str, Any]) -> str:
    """Return a manifest with nothing in it that stands for another part of it."""
    return yaml.safe_dump(json.loads(json.dumps(body)), sort_keys=False, width=120)


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.gitops.manifests", description=__doc__)
    parser.add_argument("--write", action="store_true", required=True)
    parser.parse_args()
    for path, text in written().items():
        file = CUSTOMIZATIONS / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


if __name__ == "__main__":
    main()
