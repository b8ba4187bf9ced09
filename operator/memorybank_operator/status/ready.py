"""Ready: the bank proved, for its newest generation, that it does its job.

True needs all of it: no open problem, the wanted revision of the pod in service, and a canary that
passed for this generation, this revision and the very pod that serves now; of several, while one of
them serves that did then.
"""

from __future__ import annotations

from collections.abc import Sequence

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.reconcile.observed import CanaryResult, Observed
from memorybank_operator.reconcile.steps import Plan, Problem
from memorybank_operator.resources import names
from memorybank_operator.status.rollout import unfinished
from memorybank_operator.status.serving import serving, still_serves
from memorybank_operator.status.verdict import Verdict

STOPPED = frozenset({Reason.SCALED_TO_ZERO, Reason.HIBERNATED})
"""Not ready because no pod is wanted."""


def judge_ready(
    bank: MemoryBank, observed: Observed, plan: Plan, problems: Sequence[Problem]
) -> Verdict:
    """Judge the bank. `problems` are the plan's and what its execution met."""
    if bank.metadata.deletion_timestamp is not None:
        return Verdict("False", Reason.DELETING, "The bank is being deleted.")
    verdict = _judge(bank, observed, plan, problems)
    stopped = verdict.reason in STOPPED and not pods_exist(bank, observed)
    if bank.spec.paused and not verdict.holds and not stopped:
        return Verdict(
            verdict.status,
            Reason.PAUSED,
            f"The operator changes nothing while spec.paused is true. {verdict.message}",
        )
    return verdict


def pods_exist(bank: MemoryBank, observed: Observed) -> bool:
    """Tell whether the Deployment has pods."""
    deployment = observed.children.get(names.deployment(bank), {})
    return bool(deployment.get("status", {}).get("replicas"))


def _judge(
    bank: MemoryBank, observed: Observed, plan: Plan, problems: Sequence[Problem]
) -> Verdict:
    if observed.halted:
        return Verdict("False", Reason.RESTORING, f"The bank is stopped: {observed.halted}.")
    if problems:
        verdict = Verdict("False", problems[0].reason, _joined(problems))
        return _with_trouble(verdict, bank, observed, plan)
    if bank.spec.hibernate:
        return Verdict(
            "False",
            Reason.HIBERNATED,
            "spec.hibernate is true: no pod runs, the data is kept. Set it to false to wake the "
            "bank.",
        )
    if bank.spec.replicas == 0:
        return Verdict(
            "False",
            Reason.SCALED_TO_ZERO,
            "spec.replicas is 0: no pod runs, the data is kept. Set it to 1 to start the bank.",
        )
    if plan.held is not None and plan.held.by_user:
        return Verdict("False", plan.held.reason, plan.held.message)
    missing = unfinished(bank, observed, plan)
    if missing is not None:
        return missing
    canary = observed.canary
    if canary is None or not is_proof(canary, bank, observed, plan):
        return Verdict(
            "Unknown",
            Reason.VERIFYING,
            "The pod is ready and has still to prove that it stores and finds a memory.",
        )
    if canary.pending:
        return Verdict("Unknown", Reason.RELOADING, _sentence(canary.message))
    if not canary.ok:
        return Verdict("False", Reason.CANARY_FAILED, canary.message)
    return _working(bank)


def _working(bank: MemoryBank) -> Verdict:
    url = names.http_url(bank)
    if bank.spec.followed is not None:
        return Verdict(
            "True",
            Reason.FOLLOWING,
            f"A search is answered through {url}. The bank follows another one and takes no writes "
            "until spec.standby.enabled is false.",
        )
    return Verdict(
        "True",
        Reason.CANARY_PASSED,
        f"A memory was stored, found by other words and deleted through {url}.",
    )


def _with_trouble(verdict: Verdict, bank: MemoryBank, observed: Observed, plan: Plan) -> Verdict:
    """Add what keeps from serving what the bank went back to: it may not know the database any
    more.
    """
    if verdict.reason != Reason.ROLLED_BACK or plan.steps:
        return verdict
    trouble = unfinished(bank, observed, plan)
    if trouble is None or trouble.reason == Reason.DEPLOYMENT_PROGRESSING:
        return verdict
    return verdict._replace(message=f"{verdict.message} That does not serve now: {trouble.message}")


def is_proof(canary: CanaryResult, bank: MemoryBank, observed: Observed, plan: Plan) -> bool:
    """Tell whether a result is about this generation, revision, configuration and who serves."""
    wanted = plan.configuration.fingerprint if plan.configuration is not None else None
    return (canary.generation, canary.revision, canary.configuration) == (
        bank.generation,
        plan.revision,
        wanted,
    ) and still_serves(canary.serving, serving(observed.pods))


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}."


def _joined(problems: Sequence[Problem]) -> str:
    return "; ".join(problem.message.rstrip(".") for problem in problems) + "."
