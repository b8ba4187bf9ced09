"""What a bank's pod is made from, written down: the ground on which a change may wait, and the way
back when another image of the service does not work.

The status is written after the Deployment, so it may be behind by one step: then the Deployment's
own revision tells. That something is taken back is written before it is done.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta
from typing import NamedTuple

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.status import MemoryBankStatus
from memorybank_operator.api.v1alpha1.update import Made, Rejected, RolloutStatus, UpdatePolicy
from memorybank_operator.reconcile.observed import KubeObject, Observed
from memorybank_operator.reconcile.steps import Plan, Problem
from memorybank_operator.resources import names
from memorybank_operator.resources.deployment import image_in, revision_in
from memorybank_operator.status.ready import is_proof
from memorybank_operator.status.verdict import Verdict

AT_FAULT = frozenset(
    {
        Reason.CANARY_FAILED,
        Reason.CONTAINER_CONFIG_ERROR,
        Reason.CRASH_LOOP_BACK_OFF,
        Reason.DEPLOYMENT_PROGRESSING,
        Reason.IMAGE_PULL_BACK_OFF,
        Reason.POD_NOT_READY,
        Reason.RESTORE_FAILED,
        Reason.SERVICE_FAILING,
    }
)
"""Reasons not to be ready that another image can be the cause of, or the cure."""


def record(
    bank: MemoryBank, observed: Observed, plan: Plan, *, now: datetime
) -> RolloutStatus | None:
    """Return what is known of the bank's pod: what it is made from, and what it was before."""
    known = _as_told(bank.status.rollout or RolloutStatus(), observed)
    live = observed.children.get(names.deployment(bank))
    current, previous = known.current, known.previous
    present = revision_in(live) if live is not None else ""
    if live is not None and present and (current is None or current.revision != present):
        made = _made(plan, live, now)
        if made is not None:
            if any(each and _takes_none(each, made.image) for each in (current, previous)):
                made = made.model_copy(update={"takes_changes": False})
            previous = current if current is not None and current.proven else previous
            current = made
    if current is not None and previous is not None and previous.revision == current.revision:
        # Back where it was: what it proved then is still true of it.
        current, previous = previous.model_copy(update={"since": current.since}), None
    if current is not None and plan.asked is not None and _is_in_force(plan, current, present):
        # What was changed since makes no other pod.
        asked = plan.asked
        current = current.model_copy(
            update={
                "spec": dict(asked.spec),
                "defaults": dict(asked.defaults) if asked.defaults else None,
            }
        )
    rejected = known.rejected
    if rejected is not None and plan.wanted and rejected.revision != plan.wanted:
        rejected = None
    if current is None:
        return None
    return RolloutStatus(
        current=_proven(bank, observed, plan, current), previous=previous, rejected=rejected
    )


def _as_told(known: RolloutStatus, observed: Observed) -> RolloutStatus:
    """Return what is known with what the service says of itself: whether it takes changes."""
    canary, current = observed.canary, known.current
    if canary is None or canary.takes_changes is None or current is None:
        return known
    if canary.revision != current.revision:
        return known
    said = None if canary.takes_changes else False
    return known.model_copy(update={"current": current.model_copy(update={"takes_changes": said})})


def _takes_none(made: Made, image: str) -> bool:
    return made.image == image and made.takes_changes is False


def _is_in_force(plan: Plan, current: Made, present: str) -> bool:
    return plan.held is None and current.revision == present == plan.wanted


def _made(plan: Plan, live: KubeObject, now: datetime) -> Made | None:
    """Say what the Deployment was made from, None when nobody knows any more."""
    present = revision_in(live)
    if plan.origin is not None and present == plan.revision:
        origin = plan.origin
    elif plan.asked is not None and plan.held is not None and not plan.held.by_user:
        # The first look of an operator that keeps this record: the spec is not what changed.
        origin = replace(plan.asked, image=image_in(live))
    else:
        return None
    return Made(
        revision=present,
        generation=origin.generation,
        since=now.replace(microsecond=0),
        image=origin.image,
        spec=dict(origin.spec),
        defaults=dict(origin.defaults) if origin.defaults else None,
    )


def _proven(bank: MemoryBank, observed: Observed, plan: Plan, made: Made) -> Made:
    canary = observed.canary
    if canary is None or not canary.ok or made.revision != plan.revision:
        return made
    if not is_proof(canary, bank, observed, plan):
        return made
    said = {"version": canary.version, "schema_version": canary.schema_version}
    return made.model_copy(update=said | {"proven": True})


class WayBack(NamedTuple):
    """What is to become of an image that does not prove itself."""

    rollout: RolloutStatus | None
    problem: Problem | None = None
    """Why it is not taken back though it should be."""


def way_back(
    bank: MemoryBank,
    observed: Observed,
    plan: Plan,
    rollout: RolloutStatus | None,
    ready: Verdict,
    *,
    now: datetime,
) -> WayBack:
    """Take back an image that had its time, unless it has migrated the database and something was
    written since.

    The verdict is written into the status; the next plan acts on it.
    """
    deadline = bank.spec.update_policy.deadline_seconds
    before = rollout.previous if rollout else None
    if rollout is None or before is None or rollout.current is None:
        return WayBack(rollout)
    if not _is_on_trial(bank, plan, rollout) or ready.reason not in AT_FAULT:
        return WayBack(rollout)
    if now - rollout.current.since < timedelta(seconds=deadline):
        return WayBack(rollout)
    image = rollout.current.image
    failed = f"Image {image} did not prove itself within {deadline} s. {ready.message}"
    canary = observed.canary
    said = canary if canary and canary.revision == plan.revision else None
    schema, kept = (said.schema_version, said.way_back) if said else (0, 0)
    if 0 < before.schema_version < schema and not 0 < kept <= before.schema_version:
        refusal = (
            f"{failed.rstrip('.')}. It has migrated the database from schema "
            f"{before.schema_version} to {schema}, and was written to since; {before.image} cannot "
            "open it: set spec.version (or spec.image) to a version that works and is not older"
        )
        return WayBack(rollout, Problem(Reason.ROLLBACK_REFUSED, refusal, terminal=True))
    rejected = Rejected(revision=rollout.current.revision, image=image, message=failed)
    return WayBack(rollout.model_copy(update={"rejected": rejected}))


def look_again_in(policy: UpdatePolicy, status: MemoryBankStatus, now: datetime) -> float | None:
    """Return the seconds after which something written here is to be acted on; None when nothing
    is.
    """
    rollout = status.rollout
    if rollout is None or rollout.current is None:
        return None
    if rollout.rejected is not None and rollout.rejected.revision == rollout.current.revision:
        return 0.0
    if rollout.current.proven or rollout.previous is None:
        return None
    end = rollout.current.since + timedelta(seconds=policy.deadline_seconds)
    return max(0.0, (end - now).total_seconds()) if end > now else None


def _is_on_trial(bank: MemoryBank, plan: Plan, rollout: RolloutStatus) -> bool:
    """Tell whether the pod is of another image than the last one that proved itself."""
    current, before = rollout.current, rollout.previous
    return (
        current is not None
        and before is not None
        and not current.proven
        and before.image != current.image
        and current.revision == plan.revision == plan.wanted
        and plan.held is None
        and rollout.rejected is None
        and bank.spec.update_policy.rollback == "Automatic"
        and not bank.spec.paused
        and bank.spec.pods > 0
    )
