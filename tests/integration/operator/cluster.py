"""What a cluster does with the Deployment and the Jobs of one bank, for an API server that has
neither controllers nor a kubelet: pods come and go, and say what a test wants them to.

It watches over what must never be: a pod of the bank beside one that has its volume.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

from typing_extensions import override

from memorybank_operator import constants
from memorybank_operator.canary import Door, Prober, Proof, Target
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import with_status
from memorybank_operator.reconcile.jobs import has_ended
from memorybank_operator.reconcile.restores import is_in_place
from tests.integration.operator.jobs import end, jobs, now, report_of, start
from tests.integration.operator.world import Object, World

POLL_SECONDS = 0.05


class ServingProber(Prober):
    """Finds that whoever serves does its job."""

    @override
    async def probe(self, target: Target) -> Proof:
        return Proof("0.1.0")

    @override
    async def set_keys(
        self, door: Door, keys: Sequence[Mapping[str, Any]]
    ) -> Sequence[Mapping[str, Any]]:
        return [{"id": f"id-{number}"} for number, _ in enumerate(keys)]


class Cluster:
    """Looks after the bank `agents`."""

    def __init__(
        self, world: World, run: Callable[[Object], Awaitable[None]] | None = None
    ) -> None:
        """`run` does what a Job is for; without it, the Job says that it did."""
        self._world = world
        self._run_job = run
        self.failing: dict[str, int] = {}
        """By what a Job does, the exit code that it ends with."""
        self.holding: set[str] = set()
        """What is done by Jobs that do not come to their end."""
        self.done: list[list[str]] = []
        """The arguments of the Jobs that came to their end, in order."""
        self.collisions = 0
        """How often a pod of the bank was there beside one that has its volume."""

    @asynccontextmanager
    async def runs(self) -> AsyncIterator[None]:
        """Look after the bank until the block ends."""
        running = asyncio.create_task(self._run())
        try:
            yield
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
        assert self.collisions == 0

    async def _run(self) -> None:
        while True:
            with contextlib.suppress(errors.NotFound, errors.Conflict, errors.Transient):
                await self._look_after_pods()
            for job in await jobs(self._world):
                with contextlib.suppress(errors.NotFound, errors.Conflict, errors.Transient):
                    await self._look_after_job(job)
            await asyncio.sleep(POLL_SECONDS)

    async def _pods(self, name: str) -> list[Object]:
        found = (await self._world.client.discover(kinds.POD.collection(self._world.namespace)))[
            "items"
        ]
        return [
            {"apiVersion": "v1", "kind": "Pod", **each}
            for each in found
            if each["metadata"]["labels"][constants.LABEL_NAME] == name
        ]

    async def _look_after_pods(self) -> None:
        deployment = await self._world.get("Deployment", "agents")
        if deployment is None:
            return
        template, wanted = deployment["spec"]["template"], deployment["spec"]["replicas"]
        pods = await self._pods(constants.APP_NAME)
        for pod in pods:
            annotations = template["metadata"]["annotations"]
            if not wanted or not annotations.items() <= pod["metadata"]["annotations"].items():
                await self._delete(pod)
        if wanted and not pods:
            await self._run_pod(template)
        count = {"replicas": wanted, "updatedReplicas": wanted} if wanted else {}
        ready = {"readyReplicas": wanted, "availableReplicas": wanted} if wanted else {}
        status = {"observedGeneration": deployment["metadata"]["generation"], **count, **ready}
        if status != deployment.get("status", {}):
            await self._world.client.apply_status(with_status(deployment, status))

    async def _delete(self, pod: Object) -> None:
        metadata = pod["metadata"]
        await self._world.client.delete(
            kinds.POD, self._world.namespace, name=metadata["name"], uid=metadata["uid"]
        )

    async def _run_pod(self, template: Object) -> None:
        for each in await self._pods(constants.BACKUP_NAME):
            over = each.get("status", {}).get("phase") in ("Succeeded", "Failed")
            self.collisions += is_in_place(each) and not over
        name = f"agents-{uuid.uuid4().hex[:8]}"
        metadata = {**template["metadata"], "name": name, "namespace": self._world.namespace}
        spec = {**template["spec"], "nodeName": "node", "terminationGracePeriodSeconds": 0}
        body = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}
        pod = await self._world.client.create(body)
        container = {
            "name": "memorybank", "image": "x", "imageID": "x", "restartCount": 0, "ready": True,
            "started": True, "containerID": f"test://{name}",
            "state": {"running": {"startedAt": now()}},
        }  # fmt: skip
        status = {
            "phase": "Running",
            "podIP": "192.0.2.1",
            "podIPs": [{"ip": "192.0.2.1"}],
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": now()}],
            "containerStatuses": [container],
        }
        await self._world.client.apply_status(with_status(pod, status))

    async def _look_after_job(self, job: Object) -> None:
        if has_ended(job):
            return
        arguments = job["spec"]["template"]["spec"]["containers"][0]["args"]
        operation = arguments[1]
        if is_in_place(job):
            self.collisions += len(await self._pods(constants.APP_NAME))
        if self._run_job is not None:
            await self._run_job(job)
            self.done.append(arguments)
            return
        running = [
            pod
            for pod in await self._pods(constants.BACKUP_NAME)
            if pod["metadata"]["ownerReferences"][0]["uid"] == job["metadata"]["uid"]
        ]
        pod = running[0] if running else await start(self._world, job)
        if operation in self.holding:
            return
        code = self.failing.get(operation, 0)
        error = {"code": "backup_damaged", "message": f"{operation} failed", "hint": None}
        said: dict[str, Any] = {"result": "failed", "error": error} if code else {}
        await end(self._world, job, pod, await report_of(self._world, job, **said), code=code)
        self.done.append(arguments)
