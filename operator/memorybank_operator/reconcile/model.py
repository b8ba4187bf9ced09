"""Whether the bank's own Ollama has the model that the pod is to use.

A memory service asks a model that it never used for its dimensions before it starts. So its pod is
made, changed, or woken when the model answers; what served before goes on until then. A bank that
has used the model starts without it, and says what that costs.
"""

from __future__ import annotations

from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.update import Made
from memorybank_operator.reconcile.observed import KubeObject, Observed
from memorybank_operator.resources.backend import OLLAMA
from memorybank_operator.resources.build import rendered_hash
from memorybank_operator.resources.ollama import KEEPER


def awaited_model(bank: MemoryBank, observed: Observed, wanted: KubeObject | None) -> str | None:
    """Say that the model is being loaded by `wanted`, the StatefulSet of the bank's own Ollama, and
    where to look; None when nothing of the kind is awaited.
    """
    if wanted is None or not bank.spec.pods or _was_used(bank):
        return None
    if _has_loaded(observed.children.get(OLLAMA.server(bank)), wanted):
        return None
    place, pod = f"kubectl -n {bank.namespace}", OLLAMA.pod(bank)
    return (
        f"Ollama loads the model {bank.spec.embedding.model} (spec.embedding): "
        f"`{place} logs {pod} -c {KEEPER}` says how far it is, `{place} describe pod {pod}` what "
        "keeps it from starting."
    )


def _was_used(bank: MemoryBank) -> bool:
    """Tell whether the bank used the model last. That its pod was made for it is no proof: it may
    sleep since, and never have run.
    """
    rollout = bank.status.rollout
    current = rollout.current if rollout else None
    if rollout is None or current is None or not _is_made_for(current, bank):
        return False
    before = rollout.previous  # the last one that proved itself
    return current.proven or (before is not None and _is_made_for(before, bank))


def _is_made_for(made: Made, bank: MemoryBank) -> bool:
    embedding = made.spec.get("embedding") or {}
    same = (embedding.get("provider"), embedding.get("model"))
    return same == ("ollama", bank.spec.embedding.model)


def _has_loaded(live: KubeObject | None, wanted: KubeObject) -> bool:
    """Tell whether a pod as it is wanted now is ready: then its model answers."""
    if live is None or rendered_hash(live) != rendered_hash(wanted):
        return False
    status = live.get("status") or {}
    return bool(
        status.get("observedGeneration", 0) >= live["metadata"]["generation"]
        and status.get("readyReplicas")
        and status.get("currentRevision") == status.get("updateRevision")
    )
