"""What keeps the drain of a node from taking the bank's pod at any time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memorybank_operator.api.v1alpha1.disruption import PodDisruptionBudget
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.reconcile.observed import ChildKey
from memorybank_operator.resources import names
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.labels import metadata, selector


def build_disruption_budget(ctx: BuildContext) -> dict[str, Any] | None:
    """Build the PodDisruptionBudget, None where nothing limits it. A pod that does not serve may
    always go: nobody would miss it, and it must not hold up a node.
    """
    budget = ctx.bank.spec.disruption_budget
    if budget is None:
        return None
    return budget_of(ctx.bank, names.disruption_budget(ctx.bank), budget, selector(ctx.bank))


def budget_of(
    bank: MemoryBank, name: ChildKey, budget: PodDisruptionBudget, selected: Mapping[str, str]
) -> dict[str, Any]:
    """Build the PodDisruptionBudget of the pods that these labels select."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(bank, name),
        "spec": {
            **budget.model_dump(mode="json", exclude_none=True),
            "selector": {"matchLabels": dict(selected)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
