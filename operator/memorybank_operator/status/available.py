"""Available: a pod serves requests, of whatever revision. It says nothing about the spec."""

from __future__ import annotations

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.reconcile.observed import Observed
from memorybank_operator.status.serving import serving
from memorybank_operator.status.verdict import Verdict


def judge_available(observed: Observed) -> Verdict:
    """Judge the pods behind the Service."""
    if serving(observed.pods):
        return Verdict("True", Reason.POD_AVAILABLE, "A pod serves requests.")
    return Verdict("False", Reason.NO_POD_AVAILABLE, "No pod serves requests.")
