"""Reconciling and Stalled: whether somebody who waits for the bank should go on waiting.

Both are present only while they are True, and never together (kstatus). Stalled is said at once for
what waiting cannot cure, and for everything else when the progress deadline has passed; both end
with their cause.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.reconcile.steps import Problem
from memorybank_operator.status.verdict import Verdict

_TAKES_TIME = {
    Reason.PROGRESSING,
    Reason.DEPLOYMENT_PROGRESSING,
    Reason.DATABASE_STARTING,
    Reason.MODEL_LOADING,
    Reason.VERIFYING,
    Reason.RELOADING,
}
_SETTLED = {
    Reason.SCALED_TO_ZERO,
    Reason.HIBERNATED,
    Reason.PAUSED,
    Reason.DELETING,
    Reason.AWAITING_APPROVAL,
}


class Progress(NamedTuple):
    """One of both conditions and when the bank began to be so."""

    kind: ConditionType
    verdict: Verdict
    since: datetime


def judge_progress(
    bank: MemoryBank,
    ready: Verdict,
    problems: Sequence[Problem],
    *,
    now: datetime,
    deadline: timedelta,
) -> Progress | None:
    """Judge a bank by its Ready condition and by how long it has not been ready."""
    if ready.holds or ready.reason in _SETTLED:
        return None
    terminal = next((each for each in problems if each.terminal), None)
    if terminal is not None:
        return _stalled(bank, Verdict("True", terminal.reason, terminal.message), now)
    since = _waiting_since(bank, now)
    if ready.reason == Reason.RESTORING:  # which takes as long as it takes
        verdict = Verdict("True", Reason.PROGRESSING, ready.message)
        return Progress(ConditionType.RECONCILING, verdict, since or now)
    if since is None or now - since >= deadline:
        message = f"Not ready within {deadline.total_seconds():g} s. {ready.message}"
        verdict = Verdict("True", Reason.PROGRESS_DEADLINE_EXCEEDED, message)
        return _stalled(bank, verdict, now)
    simple = ready.reason in _TAKES_TIME
    reason = Reason.PROGRESSING if simple else Reason.PROGRESSING_WITH_RETRY
    return Progress(ConditionType.RECONCILING, Verdict("True", reason, ready.message), since)


def _waiting_since(bank: MemoryBank, now: datetime) -> datetime | None:
    """Return when this wait began, None when it is known to have taken too long already.

    A new generation of the spec begins a new wait.
    """
    reconciling = bank.status.condition(ConditionType.RECONCILING)
    if reconciling is not None and reconciling.observed_generation == bank.generation:
        return reconciling.last_transition_time
    stalled = bank.status.condition(ConditionType.STALLED)
    if stalled is not None and stalled.observed_generation == bank.generation:
        return None if stalled.reason == Reason.PROGRESS_DEADLINE_EXCEEDED else now
    return now


def _stalled(bank: MemoryBank, verdict: Verdict, now: datetime) -> Progress:
    before = bank.status.condition(ConditionType.STALLED)
    since = before.last_transition_time if before is not None else now
    return Progress(ConditionType.STALLED, verdict, since)
