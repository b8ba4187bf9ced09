"""What becomes of the servers that banks have of their own, as far as the operator looks at it:
written by the tests in the place of who runs them.
"""

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


async def start_database(world: World, url: str, bank: str = "agents") -> None:
    """Say of a bank's own servers of PostgreSQL that they answer, and at which address."""
    name = f"{bank}-postgres"
    await world.put_secret(f"{name}-app", uri=url)
    found = await world.must(kinds.POSTGRES_CLUSTER, name)
    ready = {
        "type": "Ready", "status": "True", "reason": "ClusterIsReady", "message": "",
        "lastTransitionTime": found["metadata"]["creationTimestamp"],
    }  # fmt: skip
    status = {"phase": "Cluster in healthy state", "conditions": [ready]}
    await world.client.apply_status(with_status(found, status))
