"""UpdatePending and Updating: what waits to be done with the pod, and what the operator does with
it of its own accord. Both are present only while they are True.
"""

from __future__ import annotations

from collections.abc import Iterator

from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.reconcile.steps import Plan
from memorybank_operator.status.progress import Progress
from memorybank_operator.status.verdict import Verdict


def judge_update(
    bank: MemoryBank, plan: Plan, ready: Verdict, progress: Progress | None
) -> Iterator[tuple[ConditionType, Verdict]]:
    """Yield those of both conditions that hold."""
    held = plan.held
    if held is not None and held.reason is Reason.UPDATE_BEGINS:
        yield ConditionType.UPDATING, Verdict("True", held.reason, held.message)
        return
    if held is not None:
        yield ConditionType.UPDATE_PENDING, Verdict("True", held.reason, held.message)
        return
    updating = bank.status.condition(ConditionType.UPDATING)
    if updating is None or updating.observed_generation != bank.generation or ready.holds:
        return
    if progress is not None and progress.kind is ConditionType.STALLED:
        failed = (
            "The bank does not work since the operator updated it, and no further bank is updated "
            "until it does, or is changed, paused or hibernated."
        )
        yield ConditionType.UPDATING, Verdict("True", Reason.UPDATE_FAILED, failed)
    elif bank.spec.pods > 0 and not bank.spec.paused:
        yield ConditionType.UPDATING, Verdict("True", updating.reason, updating.message)
