"""What the operator would do about a bank, step by step until nothing is left to do. Pure."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.reconcile.observed import ChildKey, KubeObject, Observed
from memorybank_operator.reconcile.plan import plan
from memorybank_operator.reconcile.preview import changed_fields, preview
from memorybank_operator.reconcile.steps import Apply, Create, Delete, Plan
from memorybank_operator.resources import names
from memorybank_operator.resources.context import RenderSettings
from memorybank_operator.resources.deployment import revision_in

ROUNDS = 8
"""A new bank takes three: its key, its objects, nothing."""
NO_KEY = "mb_" + "x" * 43
NO_RING = json.dumps({"active": "new", "keys": {"new": base64.b64encode(bytes(32)).decode()}})
"""In the places of what would be made: nothing of them is shown."""
NOT_YET = frozenset({Reason.MODEL_LOADING})
"""Of problems: what comes by itself."""


@dataclass(frozen=True, slots=True)
class Change:
    """One object that would be made, changed or deleted."""

    action: str
    """create, change or delete."""
    child: ChildKey
    fields: tuple[str, ...] = ()
    """Of one that changes; never their values."""


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What would come of a bank."""

    changes: tuple[Change, ...] = ()
    restarts: tuple[str, ...] = ()
    irreversible: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()
    """What keeps the bank from being as it is asked to be, with the cure."""
    waits: str = ""
    """Why the change of the pod would wait; empty when it would not."""


def foresee(bank: MemoryBank, observed: Observed, settings: RenderSettings) -> Foreseen:
    """Play the steps of plan after plan on what there is.

    `bank` is as the API server would have it, with the status that it has. What a running pod says
    of itself is not known here: the last that it said is in the status.
    """
    children = dict(observed.children)
    decided = Plan()
    for _ in range(ROUNDS):
        now = replace(observed, children=children, turn=True)
        decided = plan(bank, now, settings, lambda: NO_KEY, lambda: NO_RING)
        before = dict(children)
        for step in decided.steps:
            if isinstance(step, Apply | Create):
                child = ChildKey(step.body["kind"], step.body["metadata"]["name"])
                children[child] = _made(step.body, children.get(child))
            elif isinstance(step, Delete):
                children.pop(step.key, None)
        if children == before:
            break
    restarts, irreversible = _costs(bank, observed, children, decided)
    lacking = (each.message for each in decided.problems if each.reason not in NOT_YET)
    return Foreseen(
        changes=tuple(_changes(observed.children, children)),
        restarts=restarts,
        irreversible=irreversible,
        problems=tuple(dict.fromkeys(lacking)),  # two may miss the same
        waits=decided.held.message if decided.held is not None else "",
    )


def _made(body: KubeObject, live: KubeObject | None) -> KubeObject:
    """Return an object as it would be there: what the API server adds, as far as plans read it."""
    was = live["metadata"] if live is not None else {"uid": "foreseen", "generation": 1}
    kept = {name: was[name] for name in ("uid", "generation") if name in was}
    made = {**body, "metadata": {**body["metadata"], **kept}}
    if live is not None and "status" in live:
        made["status"] = live["status"]
    return made


def _changes(
    before: Mapping[ChildKey, KubeObject], after: Mapping[ChildKey, KubeObject]
) -> list[Change]:
    found = []
    for child in sorted({*before, *after}):
        if child not in after:
            found.append(Change("delete", child))
        elif child not in before:
            found.append(Change("create", child))
        elif after[child] is not before[child]:
            fields = changed_fields(after[child], before[child])
            found.append(Change("change", child, fields))
    return found


def _costs(
    bank: MemoryBank, observed: Observed, children: Mapping[ChildKey, KubeObject], decided: Plan
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return what would restart, and what could not be taken back."""
    workload = names.deployment(bank)
    live, wanted = observed.children.get(workload), children.get(workload)
    if decided.held is not None and decided.held.plan is not None:
        return decided.held.plan.restarts, decided.held.plan.irreversible
    if live is None or wanted is None or revision_in(live) == revision_in(wanted):
        return (), ()
    rollout = bank.status.rollout
    told = preview(bank, observed, children, rollout.current if rollout else None)
    return (told.restarts if live["spec"].get("replicas") else ()), told.irreversible
