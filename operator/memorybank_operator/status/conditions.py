"""A verdict as a condition of a resource, with the time since when its status holds."""

from __future__ import annotations

from datetime import datetime

from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.memorybankbackup import MemoryBankBackup
from memorybank_operator.api.v1alpha1.memorybankkey import MemoryBankKey
from memorybank_operator.api.v1alpha1.memorybankrestore import MemoryBankRestore
from memorybank_operator.api.v1alpha1.status import Condition
from memorybank_operator.status.verdict import Verdict

Conditioned = MemoryBank | MemoryBankKey | MemoryBankBackup | MemoryBankRestore


def condition(of: Conditioned, kind: str, verdict: Verdict, now: datetime) -> Condition:
    """Return the condition; its time is `now`, or the one it has if its status is as before."""
    before = of.status.condition(kind)
    unchanged = before is not None and before.status == verdict.status
    since = before.last_transition_time if before is not None and unchanged else now
    return stamped(of, kind, verdict, since)


def stamped(of: Conditioned, kind: str, verdict: Verdict, since: datetime) -> Condition:
    """Return the condition with this time, in whole seconds."""
    return Condition(
        type=str(kind),
        status=verdict.status,
        observed_generation=of.metadata.generation,
        last_transition_time=since.replace(microsecond=0),
        reason=str(verdict.reason),
        message=verdict.message,
    )
