"""What becomes of the servers that banks have of their own, as far as the operator looks at it."""

from __future__ import annotations

from memorybank_operator.kube import kinds
from memorybank_operator.kube.client import with_status
from tests.integration.operator.world import World


async def load_model(world: World, bank: str = "agents") -> None:
    """Say of a bank's own Ollama, if it has one, that its pod is ready."""
    found = await world.get(kinds.STATEFUL_SET, f"{bank}-ollama")
    if found is None:
        return
    revision = f"{bank}-ollama-1"
    status = {
        "observedGeneration": found["metadata"]["generation"], "replicas": 1, "readyReplicas": 1,
        "currentRevision": revision, "updateRevision": revision,
    }  # fmt: skip
    await world.client.apply_status(with_status(found, status))
