"""The whole status of a bank, from what is observed and planned. It changes only when something
that it says changed, so that an idle bank causes no writes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from memorybank_operator.api.v1alpha1.conditions import ConditionType, Phase, Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.status import (
    BackupStatus,
    Binding,
    Condition,
    Endpoints,
    MemoryBankStatus,
)
from memorybank_operator.errors import InvalidSpec
from memorybank_operator.reconcile.observed import Observed
from memorybank_operator.reconcile.ownership import Ownership, ownership
from memorybank_operator.reconcile.steps import Plan, Problem
from memorybank_operator.resources import names
from memorybank_operator.resources.deployment import image_in
from memorybank_operator.resources.external_service import addresses
from memorybank_operator.resources.labels import selector_text
from memorybank_operator.status.available import judge_available
from memorybank_operator.status.backup import backup_status, judge_backup
from memorybank_operator.status.conditions import condition, stamped
from memorybank_operator.status.degraded import judge_degraded
from memorybank_operator.status.progress import Progress, judge_progress
from memorybank_operator.status.readers import readers_status
from memorybank_operator.status.ready import STOPPED, judge_ready
from memorybank_operator.status.record import record, way_back
from memorybank_operator.status.servers import servers_backup
from memorybank_operator.status.standby import judge_following, standby_status
from memorybank_operator.status.storage import judge_volume, storage
from memorybank_operator.status.update import judge_update
from memorybank_operator.status.verdict import Verdict
from memorybank_operator.status.verification import judge_verified, with_verification


def reduce(
    bank: MemoryBank,
    observed: Observed,
    plan: Plan,
    *,
    failure: Problem | None,
    now: datetime,
    progress_deadline: timedelta,
) -> dict[str, Any]:
    """Return the status as JSON.

    `failure` is what executing the plan met. `now` becomes the time of conditions whose status
    changes; all others keep the time they have in the bank's present status.
    """
    problems = _in_order((*plan.problems, *([failure] if failure else [])))
    ready = judge_ready(bank, observed, plan, problems)
    rollout, refused = way_back(
        bank, observed, plan, record(bank, observed, plan, now=now), ready, now=now
    )
    if refused is not None:
        problems = _in_order((*problems, refused))
        ready = judge_ready(bank, observed, plan, problems)
    progress = judge_progress(bank, ready, problems, now=now, deadline=progress_deadline)
    conditions = [
        condition(bank, ConditionType.READY, ready, now),
        condition(bank, ConditionType.AVAILABLE, judge_available(observed), now),
    ]
    if progress is not None:
        conditions.append(_progress_condition(bank, progress))
    if bank.spec.paused:
        paused = Verdict("True", Reason.PAUSED, "spec.paused is true: nothing is changed.")
        conditions.append(condition(bank, ConditionType.PAUSED, paused, now))
    backup = backup_status(bank, observed)
    if backup is not None:
        backup = with_verification(bank, observed, backup)
    servers = servers_backup(bank, observed)
    if servers is not None:
        backup = (backup or BackupStatus()).model_copy(update={"servers": servers})
    conditions += [
        condition(bank, kind, verdict, now)
        for kind, verdict in (
            *judge_degraded(bank, observed, now=now),
            *judge_update(bank, plan, ready, progress),
            *judge_volume(bank, observed, now=now, deadline=progress_deadline),
            *judge_backup(bank, observed, backup, now=now),
            *judge_following(bank, observed),
            *judge_verified(bank, observed, backup, now=now),
        )
    ]
    deployment = observed.children.get(names.deployment(bank), {})
    counts = deployment.get("status", {})
    url = names.public_url(bank, addresses(bank, observed.children))
    return _as_json(
        MemoryBankStatus(
            observed_generation=bank.generation,
            phase=_phase(bank, ready, progress),
            conditions=tuple(sorted(conditions, key=lambda each: each.type)),
            url=url,
            endpoints=Endpoints(http=url, mcp=f"{url}/mcp", metrics=names.metrics_url(bank)),
            binding=_binding(bank, observed),
            version=(observed.canary.version if observed.canary else "") or bank.status.version,
            image=image_in(deployment) if deployment else "",
            revision=plan.revision or bank.status.revision,
            configuration=_configuration(bank, observed),
            resync=_resync(bank, observed, failure),
            replicas=counts.get("replicas", 0),
            ready_replicas=counts.get("readyReplicas", 0),
            selector=selector_text(bank),
            storage=storage(bank, observed),
            backup=backup,
            standby=standby_status(bank, observed),
            read_replicas=readers_status(bank, observed),
            plan=plan.held.plan if plan.held else None,
            rollout=rollout,
        )
    )


def reduce_invalid(body: Mapping[str, Any], error: InvalidSpec, *, now: datetime) -> dict[str, Any]:
    """Return the status of a resource that cannot be parsed.

    What it says of the running bank stays, since nothing is done to that, but it is not ready and
    waiting does not help.
    """
    bank = MemoryBank.model_validate({**body, "spec": {}})
    verdict = Verdict("False", Reason.INVALID_SPEC, str(error))
    stalled = Progress(ConditionType.STALLED, verdict._replace(status="True"), now)
    before = bank.status.condition(ConditionType.STALLED)
    if before is not None:
        stalled = stalled._replace(since=before.last_transition_time)
    available = bank.status.condition(ConditionType.AVAILABLE)
    conditions = [
        *([available] if available else []),
        condition(bank, ConditionType.READY, verdict, now),
        _progress_condition(bank, stalled),
    ]
    return _as_json(
        bank.status.model_copy(
            update={
                "observed_generation": bank.generation,
                "phase": Phase.FAILED.value,
                "conditions": tuple(conditions),
            }
        )
    )


def reduce_leaving(bank: MemoryBank, message: str, *, now: datetime) -> dict[str, Any]:
    """Return the status of a bank that was deleted and stays until its last recovery point is
    taken: as it was, but for what it waits for.
    """
    verdict = Verdict("False", Reason.FINAL_BACKUP, message)
    outdated = {ConditionType.READY, ConditionType.RECONCILING, ConditionType.STALLED}
    kept = [each for each in bank.status.conditions if each.type not in outdated]
    ready = condition(bank, ConditionType.READY, verdict, now)
    return _as_json(
        bank.status.model_copy(
            update={
                "observed_generation": bank.generation,
                "phase": Phase.DELETING.value,
                "conditions": tuple(sorted([*kept, ready], key=lambda each: each.type)),
            }
        )
    )


def _in_order(problems: Sequence[Problem]) -> list[Problem]:
    """Put what somebody has to cure first; each problem once."""
    return sorted(set(problems), key=lambda each: (not each.terminal, each.reason, each.message))


def _progress_condition(bank: MemoryBank, progress: Progress) -> Condition:
    return stamped(bank, progress.kind, progress.verdict, progress.since)


def _phase(bank: MemoryBank, ready: Verdict, progress: Progress | None) -> str:
    if ready.reason == Reason.DELETING:
        return Phase.DELETING.value
    if bank.spec.paused:
        return Phase.PAUSED.value
    if ready.holds:
        return Phase.RUNNING.value
    if ready.reason in STOPPED:
        return Phase.STOPPED.value
    stalled = progress is not None and progress.kind is ConditionType.STALLED
    return (Phase.FAILED if stalled else Phase.PENDING).value


def _binding(bank: MemoryBank, observed: Observed) -> Binding | None:
    """Name the Secret once it exists. That it did is how a lost key is told from a first one."""
    key = names.key_secret(bank)
    secret = observed.children.get(key)
    exists = secret is not None and ownership(bank, secret) is Ownership.OURS
    return Binding(name=key.name) if exists or bank.status.binding is not None else None


def _resync(bank: MemoryBank, observed: Observed, failure: Problem | None) -> str:
    """Return the re-sync that is done. What was observed and planned for this status was read anew
    if one was asked for.
    """
    probed = observed.canary is not None and observed.canary.resync == bank.resync
    done = failure is None and (probed or not bank.spec.pods)
    return bank.resync if bank.resync and done else bank.status.resync


def _configuration(bank: MemoryBank, observed: Observed) -> str:
    """Return what a pod said last that it runs by; what is still to be read is not in effect."""
    canary = observed.canary
    return canary.configuration if canary is not None and canary.ok else bank.status.configuration


def _as_json(status: MemoryBankStatus) -> dict[str, Any]:
    """Leave out what is not known."""
    return {
        key: value
        for key, value in status.model_dump(mode="json", exclude_none=True).items()
        if value != ""
    }
