"""The servers that a bank may have of its own: which there are, and what their objects are called.

Each is a StatefulSet of one pod with a headless Service and a NetworkPolicy, all of one name. The
labels of its pod select none of the bank's own pods.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.spec import Spec
from memorybank_operator.reconcile.observed import ChildKey


@dataclass(frozen=True, slots=True)
class Backend:
    """One kind of server."""

    name: str
    """Of its container and, in place of the bank's own, on its pod; ends the names of objects."""
    component: str
    """What it is to the bank, as its pod's label says it."""
    port: int
    managed: Callable[[Spec], object | None]
    """Returns what a spec says of a server of the bank's own; None when it wants none."""

    def server(self, bank: MemoryBank) -> ChildKey:
        """Name the StatefulSet, whether the bank has one or not; and so the others."""
        return ChildKey("StatefulSet", self._name(bank))

    def service(self, bank: MemoryBank) -> ChildKey:
        """Name the Service."""
        return ChildKey("Service", self._name(bank))

    def policy(self, bank: MemoryBank) -> ChildKey:
        """Name the NetworkPolicy."""
        return ChildKey("NetworkPolicy", self._name(bank))

    def children(self, bank: MemoryBank) -> tuple[ChildKey, ...]:
        """Name all of its objects, the fence before the pod."""
        return (self.service(bank), self.policy(bank), self.server(bank))

    def pod(self, bank: MemoryBank) -> str:
        """Return the name of its pod."""
        return f"{self._name(bank)}-0"

    def selector(self, bank: MemoryBank) -> dict[str, str]:
        """Return the labels that select its pod."""
        return {constants.LABEL_NAME: self.name, constants.LABEL_BANK: bank.name}

    def peer(self, bank: MemoryBank) -> dict[str, Any]:
        """Return its pod as a network policy names it."""
        return {"podSelector": {"matchLabels": self.selector(bank)}}

    def url(self, bank: MemoryBank) -> str:
        """Return where the bank reaches it."""
        return f"http://{self._name(bank)}.{bank.namespace}.svc:{self.port}"

    def _name(self, bank: MemoryBank) -> str:
        return f"{bank.name}-{self.name}"


CHROMA = Backend(
    "chroma", "vectors", constants.CHROMA_PORT, lambda spec: spec.vector.managed_chroma
)
OLLAMA = Backend(
    "ollama", "embeddings", constants.OLLAMA_PORT, lambda spec: spec.embedding.managed_ollama
)
BACKENDS = (CHROMA, OLLAMA)


def backends(spec: Spec) -> tuple[Backend, ...]:
    """Return those that a bank is to have."""
    return tuple(each for each in BACKENDS if each.managed(spec) is not None)
