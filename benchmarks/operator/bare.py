"""The bare cost of banks: their objects applied by the operator's own client, and nothing else.

    python -m benchmarks.operator.bare KUBECONFIG NAMESPACE FIRST COUNT WORKERS

Prints the seconds from the first request to the last answer, and of CPU time, as JSON.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
import time
import uuid
from pathlib import Path
from typing import Any

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.kube.connection import from_kubeconfig
from memorybank_operator.resources.build import build_all
from memorybank_operator.resources.context import BuildContext, RenderSettings
from memorybank_operator.settings import Settings


def objects(namespace: str, number: int) -> tuple[dict[str, Any], ...]:
    """Return all objects of a bank, as nobody's: no operator looks at them."""
    settings = Settings()
    bank = MemoryBank.parse(
        {
            "apiVersion": constants.API_VERSION,
            "kind": constants.KIND,
            "metadata": {
                "name": f"bare{number}",
                "namespace": namespace,
                "uid": str(uuid.uuid4()),
                "generation": 1,
            },
            "spec": {},
        }
    )
    context = BuildContext(
        bank,
        RenderSettings(settings.app_image, settings.cluster_domain),
        admin_key=f"mb_{secrets.token_urlsafe(32)}",
        volume_size=bank.spec.storage.volume.size,
    )
    bodies = build_all(context)
    for body in bodies:
        body["metadata"]["labels"][constants.LABEL_MANAGED_BY] = "nobody"
        body["metadata"].pop("ownerReferences", None)
    return bodies


async def main(kubeconfig: str, namespace: str, first: int, count: int, workers: int) -> None:
    """Apply what `count` banks consist of."""
    connection = from_kubeconfig(Path(kubeconfig))
    waiting = iter(range(first, first + count))
    async with connection.session() as session:
        client = KubeClient(session, connection.server, field_manager=constants.FIELD_MANAGER)

        async def work() -> None:
            for number in waiting:
                for body in objects(namespace, number):
                    await client.apply(body)

        started, used = time.perf_counter(), time.process_time()
        async with asyncio.TaskGroup() as group:
            for _ in range(workers):
                group.create_task(work())
        took = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - used}
    print(json.dumps(took))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:])))
