"""What a MemoryBankKey's status says. Pure."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason
from memorybank_operator.api.v1alpha1.memorybankkey import MemoryBankKey, MemoryBankKeyStatus
from memorybank_operator.reconcile.steps import Problem
from memorybank_operator.status.conditions import condition
from memorybank_operator.status.verdict import Verdict


def key_status(
    key: MemoryBankKey,
    problem: Problem | None,
    *,
    delivered: bool,
    key_id: str,
    now: datetime,
) -> dict[str, Any]:
    """Return the status: Ready without a problem. Stalled is said for what waiting cannot cure."""
    if problem is None:
        bank = key.spec.bank_ref.name
        verdicts = {
            ConditionType.READY: Verdict(
                "True", Reason.KEY_ACCEPTED, f"Bank {bank} takes the key in Secret {key.secret}"
            )
        }
    else:
        progress = ConditionType.STALLED if problem.terminal else ConditionType.RECONCILING
        verdicts = {
            ConditionType.READY: Verdict("False", problem.reason, problem.message),
            progress: Verdict("True", problem.reason, problem.message),
        }
    conditions = (condition(key, kind, verdict, now) for kind, verdict in verdicts.items())
    status = MemoryBankKeyStatus(
        observed_generation=key.metadata.generation,
        conditions=tuple(sorted(conditions, key=lambda each: each.type)),
        secret_name=key.secret if delivered else "",
        key_id=key_id,
    )
    return status.model_dump(mode="json", by_alias=True, exclude_defaults=False)
