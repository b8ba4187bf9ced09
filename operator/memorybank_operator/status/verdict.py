"""What is said about one aspect of a bank, before it becomes a condition with a time."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple

from memorybank_operator.reconcile.observed import KubeObject


class Verdict(NamedTuple):
    """Status, reason and message of a condition."""

    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str

    @property
    def holds(self) -> bool:
        """Tell whether it is True."""
        return self.status == "True"


def find(conditions: Iterable[KubeObject] | None, kind: str) -> KubeObject | None:
    """Return the condition of a type among those of a Kubernetes object."""
    return next((each for each in conditions or () if each["type"] == kind), None)
