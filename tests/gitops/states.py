"""Each state of each kind, and what the tools say of it that people wait by, as a page.

    python -m tests.gitops.states --write

writes docs/reference/states.md from the statuses that the operator writes, and from what the tools
make of them: tests/operator/status/kstatus.py, which real tools are held against, and Argo CD's
scripts.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import yaml

from e2e.cluster.paths import ROOT
from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason, RestorePhase
from memorybank_operator.api.v1alpha1.memorybankkey import MemoryBankKey
from memorybank_operator.api.v1alpha1.memorybankrestore import MemoryBankRestore
from memorybank_operator.errors import InvalidSpec
from memorybank_operator.reconcile.restores import Progress
from memorybank_operator.reconcile.steps import Problem
from memorybank_operator.status.key import invalid_key_status, key_status
from memorybank_operator.status.point import invalid_point_status
from memorybank_operator.status.reduce import reduce_invalid
from memorybank_operator.status.restore import invalid_restore_status, restore_status
from scripts.reference import markdown
from tests.gitops.argocd import health
from tests.gitops.manifests import key_body, point_body
from tests.operator.golden import DATA, render
from tests.operator.recovery import restore_body
from tests.operator.status.kstatus import kstatus, kubectl_wait
from tests.operator.status.states import STATES, late, seen
from tests.operator.world import NOW, bank_body

PAGE = ROOT / "docs/reference/states.md"
WRITER = "python -m tests.gitops.states --write"
INTRODUCTION = """
What tools make of each state, so that it is known which of them waits, goes on or gives up. They
read the conditions of the newest generation. kstatus is what Flux waits by, and Helm 4 with
`--wait`: `Current` ends the wait, `Failed` ends it with an error, `InProgress` goes on. Helm 3
does not look at custom resources. What lasts for more than ten minutes, though nobody asked for
it, is `Stalled`: then kstatus says `Failed` and Argo CD `Degraded`, whatever the state.
""".strip()
WAITS_FOR = {
    constants.KIND: ConditionType.READY,
    constants.KEY_KIND: ConditionType.READY,
    constants.BACKUP_KIND: ConditionType.COMPLETE,
    constants.RESTORE_KIND: ConditionType.COMPLETE,
}
"""The condition that people wait for."""
AGREE = {
    "Healthy": {"Current"},
    "Progressing": {"InProgress", "Terminating"},
    "Degraded": {"Failed"},
    "Suspended": {"InProgress", "Current"},
}
"""What kstatus says where Argo CD says so. To be suspended is a state that only Argo CD has."""

_WRONG = InvalidSpec("spec.something", "what is wrong with it")
_LEAVES = {"deletionTimestamp": "2026-01-01T00:00:00Z"}
_KEY_PROBLEMS = {
    "being delivered": Problem(Reason.PROGRESSING, "The key is being delivered"),
    "no pod of the bank serves": Problem(Reason.BANK_UNAVAILABLE, "No pod of bank agents serves"),
    "no such bank": Problem(Reason.BANK_NOT_FOUND, "there is no MemoryBank agents"),
    "the bank refuses it": Problem(Reason.KEY_REFUSED, "another key has its name"),
    "its former Secret is being deleted": Problem(
        Reason.WAITING_FOR_DELETION, "Secret app is still being deleted; it is made anew"
    ),
}
_KEY_CASES = {
    "accepted": "key-every-field",
    "expires soon": "key-expires-soon",
    "expired": "key-expired",
    "its Secret is somebody else's": "key-secret-taken",
}
_POINT_CASES = {
    "waits": "point-without-backups",
    "its Job is made": "point-new",
    "its Job runs": "point-runs",
    "taken": "point-taken",
    "what was taken is damaged": "point-damaged",
    "expired": "point-expired",
}


@dataclass(frozen=True)
class Seen:
    """A state, and the resource as tools see it there."""

    name: str
    resource: dict[str, Any]

    @property
    def kind(self) -> str:
        return str(self.resource["kind"])

    @property
    def waited_for(self) -> dict[str, Any]:
        """The condition that people wait for; empty before the operator wrote one."""
        conditions = (self.resource.get("status") or {}).get("conditions", ())
        return next((each for each in conditions if each["type"] == WAITS_FOR[self.kind]), {})

    @property
    def kubectl_wait(self) -> bool:
        """Whether it returns at once."""
        return kubectl_wait(self.resource, WAITS_FOR[self.kind])


def states() -> list[Seen]:
    """Return all states, one kind after the other."""
    bodies = (*_banks(), *_keys(), *_points(), *_restores())
    return [Seen(name, body) for name, body in bodies]


def page() -> str:
    """Return the page."""
    parts = [INTRODUCTION]
    for kind, condition in WAITS_FOR.items():
        headings = (
            "State", f"`{condition}`", f"`kubectl wait --for=condition={condition}`", "kstatus",
            "Argo CD",
        )  # fmt: skip
        rows = [_row(each) for each in states() if each.kind == kind]
        parts += [f"## {kind}", markdown.table(headings, rows)]
    return markdown.page("What tools say of each state", *parts, by=WRITER)


def _row(of: Seen) -> tuple[str, ...]:
    said = of.waited_for
    condition = f"{said['status']}, `{said['reason']}`" if said else "not there"
    returns = "returns" if of.kubectl_wait else "waits"
    return of.name, condition, returns, kstatus(of.resource), health(of.resource)["status"]


def _banks() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "not seen yet", bank_body()
    running = seen(STATES["running"])
    yield "changed just now", _changed(running)
    for name, state in STATES.items():
        yield name, seen(state)
    yield "image cannot be pulled, for ten minutes", late(STATES["image cannot be pulled"])
    wrong = reduce_invalid(running, _WRONG, now=NOW)
    yield "a spec that only an older operator took", running | {"status": wrong}


def _keys() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "not seen yet", key_body({})
    for name, case in _KEY_CASES.items():
        yield name, _of_case(key_body, case)
    for name, problem in _KEY_PROBLEMS.items():
        body = key_body({})
        status = key_status(
            MemoryBankKey.parse(body), problem, record=None, key_id="", ids={}, now=NOW
        )
        yield name, body | {"status": status}
    body = key_body({})
    yield from _wrong_and_leaving(body, invalid_key_status(body, _WRONG, now=NOW))


def _points() -> Iterator[tuple[str, dict[str, Any]]]:
    yield "not seen yet", point_body({})
    for name, case in _POINT_CASES.items():
        yield name, _of_case(point_body, case)
    body = point_body({})
    yield from _wrong_and_leaving(body, invalid_point_status(body, _WRONG, NOW))


def _restores() -> Iterator[tuple[str, dict[str, Any]]]:
    body = restore_body({"latest": True})
    restore = MemoryBankRestore.parse(body)
    yield "not seen yet", body
    for phase in RestorePhase:
        status = restore_status(restore, Progress(phase), NOW)
        yield phase.meaning.rstrip("."), body | {"status": status}
    yield from _wrong_and_leaving(body, invalid_restore_status(body, _WRONG, NOW))


def _of_case(body: Any, case: str) -> dict[str, Any]:
    given = yaml.safe_load((DATA / case / "given.yaml").read_text())
    status = yaml.safe_load(render(case)["status.yaml"])
    return dict(body(given)) | {"status": status}


def _wrong_and_leaving(
    body: dict[str, Any], wrong: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    yield "a spec that only an older operator took", body | {"status": dict(wrong)}
    yield "being deleted", body | {"metadata": body["metadata"] | _LEAVES}


def _changed(body: Mapping[str, Any]) -> dict[str, Any]:
    metadata = dict(body["metadata"])
    return {**body, "metadata": metadata | {"generation": metadata["generation"] + 1}}


def main() -> None:
    """Entry point."""
    parser = argparse.ArgumentParser(prog="python -m tests.gitops.states", description=__doc__)
    parser.add_argument("--write", action="store_true", required=True)
    parser.parse_args()
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
