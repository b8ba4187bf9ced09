"""What keeps the drain of a node from taking the bank's pod at any time."""

from __future__ import annotations

from typing import Any

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
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": metadata(ctx.bank, names.disruption_budget(ctx.bank)),
        "spec": {
            **budget.model_dump(mode="json", exclude_none=True),
            "selector": {"matchLabels": selector(ctx.bank)},
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
        },
    }
