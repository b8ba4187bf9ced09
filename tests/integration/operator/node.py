"""What a cluster does with a Deployment, for an API server that has no controllers and no kubelet.

For each Deployment it makes one Pod, runs the Pod's container as a process (the real `memorybank
serve` with the real configuration, key and volume folder), starts it again in the same Pod when it
ended, without the pauses that a kubelet makes, probes it, and reports the states as controller and
kubelet would.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

from e2e.cluster.apiserver import free_ports
from memorybank_operator.configfiles import secret_files
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import KubeClient, with_status

POLL_SECONDS = 0.05
Object = dict[str, Any]


@dataclass
class Running:
    """A Pod and its process."""

    pod: Object
    process: asyncio.subprocess.Process
    port: int
    folders: dict[str, Path]
    """By volume."""
    restarts: int = 0
    ready: bool = False
    told: Object = field(default_factory=dict)
    """The state that was reported last."""

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"


class Node:
    """Runs the Deployments of one namespace, one Pod each."""

    def __init__(self, client: KubeClient, namespace: str, folder: Path) -> None:
        self._client = client
        self._namespace = namespace
        self._folder = folder
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5))
        self.running: dict[str, Running] = {}
        """By name of the Deployment."""
        self.releases: dict[str, Path] = {}
        """By image, folders with another version of the service; every other image is this one."""
        self._started: list[asyncio.subprocess.Process] = []
        """All of them: who is cancelled between two steps must leave none behind."""
        self._frozen = False
        self._looking = asyncio.Lock()

    async def run(self, names: list[str]) -> None:
        """Look after these Deployments until cancelled."""
        try:
            while True:
                for name in names:
                    # Whatever is being written at the same time is looked at again in a moment,
                    # as is what a busy API server did not answer.
                    with contextlib.suppress(errors.NotFound, errors.Transient):
                        async with self._looking:
                            if not self._frozen:
                                await self._look_after(name)
                await asyncio.sleep(POLL_SECONDS)
        finally:
            for process in self._started:
                await kill(process)
            await self._session.close()

    async def freeze(self) -> None:
        """From when this returns, processes and states stay as they are."""
        async with self._looking:
            self._frozen = True

    def thaw(self) -> None:
        """Look after Deployments again."""
        self._frozen = False

    async def crash(self, name: str) -> None:
        """Kill a process as a crash would; it is noticed and started again like one."""
        await kill(self.running[name].process)

    async def _look_after(self, name: str) -> None:
        deployment = await self._client.get(kinds.DEPLOYMENT, self._namespace, name)
        running = self.running.get(name)
        if running is not None and not self._is_wanted(running, deployment):
            await self._remove(name, running)
        elif running is None and deployment is not None and deployment["spec"]["replicas"]:
            await self._start(name, deployment)
        elif running is not None:
            if running.process.returncode is not None:
                await self._restart(running)
            await self._probe(running)
            await self._fill(running.pod["spec"], running.folders)
        if deployment is not None:
            await self._report(deployment, self.running.get(name))

    def _is_wanted(self, running: Running, deployment: Object | None) -> bool:
        if deployment is None or not deployment["spec"]["replicas"]:
            return False
        template = deployment["spec"]["template"]
        annotations: dict[str, str] = template["metadata"]["annotations"]
        present: dict[str, str] = running.pod["metadata"]["annotations"]
        return annotations.items() <= present.items()

    async def _remove(self, name: str, running: Running) -> None:
        del self.running[name]
        await kill(running.process)
        metadata = running.pod["metadata"]
        with contextlib.suppress(errors.NotFound):
            await self._client.delete(
                kinds.POD, self._namespace, name=metadata["name"], uid=metadata["uid"]
            )

    async def _start(self, name: str, deployment: Object) -> None:
        template = deployment["spec"]["template"]
        folders = await self._volumes(template["spec"])
        if folders is None:
            return
        process, port = await self._launch(template["spec"], folders)
        body = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                **template["metadata"],
                "name": f"{name}-{uuid.uuid4().hex[:8]}",
                "namespace": self._namespace,
            },
            "spec": {**template["spec"], "nodeName": "node", "terminationGracePeriodSeconds": 0},
        }
        try:
            pod = await self._client.create(body)
        except errors.KubeError:
            await kill(process)  # the next one must not find it at its volume
            raise
        self.running[name] = Running(pod, process, port, folders)

    async def _restart(self, running: Running) -> None:
        running.process, running.port = await self._launch(running.pod["spec"], running.folders)
        running.restarts += 1
        running.ready = False

    async def _launch(
        self, spec: Object, folders: dict[str, Path]
    ) -> tuple[asyncio.subprocess.Process, int]:
        """Start the process of a Pod's container; return it with the port that it serves at."""
        (container,) = spec["containers"]
        port, metrics_port = free_ports(2)
        paths = {m["mountPath"]: str(folders[m["name"]]) for m in container["volumeMounts"]}
        environment = {each["name"]: local(each["value"], paths) for each in container["env"]}
        environment |= _secret_files(folders)
        arguments = [local(each, paths) for each in container["args"]]
        release = self.releases.get(container["image"])
        if release is not None:
            environment["PYTHONPATH"] = str(release)
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "memorybank", *arguments,
            "--host", "127.0.0.1", "--port", str(port), "--metrics-port", str(metrics_port),
            env=os.environ | environment,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        self._started.append(process)
        return process, port

    async def _volumes(self, spec: Object) -> dict[str, Path] | None:
        """Fill a folder per volume; return None while an object is missing, as a kubelet waits."""
        folders = {}
        for volume in spec["volumes"]:
            if "persistentVolumeClaim" in volume:
                folder = self._folder / volume["persistentVolumeClaim"]["claimName"]
                folder.mkdir(exist_ok=True)
                folders[volume["name"]] = folder
                continue
            folders[volume["name"]] = folder = self._folder / uuid.uuid4().hex
            folder.mkdir()
        return folders if await self._fill(spec, folders) else None

    async def _fill(self, spec: Object, folders: dict[str, Path]) -> bool:
        """Bring ConfigMaps and Secrets into their folders; say whether all of them are there. A
        file is replaced as a whole, and only if it changed.
        """
        for volume in spec["volumes"]:
            folder = folders[volume["name"]]
            for kind, name in (
                (kinds.CONFIG_MAP, volume.get("configMap", {}).get("name")),
                (kinds.SECRET, volume.get("secret", {}).get("secretName")),
            ):
                if name is None:
                    continue
                source = await self._client.get(kind, self._namespace, name)
                if source is None:
                    return False
                shown = volume.get("secret", {}).get("items")
                entries = {each["key"]: each["path"] for each in shown or ()}
                for key, value in source["data"].items():
                    content = value if kind is kinds.CONFIG_MAP else _decoded(value)
                    if not shown or key in entries:
                        _replace(folder / entries.get(key, key), content)
        return True

    async def _probe(self, running: Running) -> None:
        try:
            async with self._session.get(f"{running.address}/ready") as response:
                running.ready = response.status == 200
        except (aiohttp.ClientError, TimeoutError):
            running.ready = False
        status = {
            "phase": "Running",
            "conditions": [_condition("Ready", running.ready)],
            "containerStatuses": [
                {
                    "name": "memorybank", "image": "x", "imageID": "x",
                    "restartCount": running.restarts,
                    "containerID": f"test://{running.process.pid}",
                    "ready": running.ready, "started": True,
                    "state": {"running": {"startedAt": "2026-01-01T00:00:00Z"}},
                }
            ],
        }  # fmt: skip
        if status != running.told:
            await self._client.apply_status(with_status(running.pod, status))
            running.told = status

    async def _report(self, deployment: Object, running: Running | None) -> None:
        ready = 1 if running is not None and running.ready else 0
        count = 0 if running is None else 1
        status = {
            "observedGeneration": deployment["metadata"]["generation"],
            "replicas": count,
            "updatedReplicas": count,
            "readyReplicas": ready,
            "availableReplicas": ready,
        }
        if {k: v for k, v in status.items() if v} != {
            k: v for k, v in deployment.get("status", {}).items() if v
        }:
            await self._client.apply_status(with_status(deployment, status))


def _condition(kind: str, holds: bool) -> Object:
    return {
        "type": kind,
        "status": "True" if holds else "False",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }


def local(text: str, paths: dict[str, str]) -> str:
    """Return a path in a container as it is here, and any other text as it is."""
    for path, folder in paths.items():
        if text == path or text.startswith(f"{path}/"):
            return folder + text[len(path) :]
    return text


def _secret_files(folders: dict[str, Path]) -> dict[str, str]:
    """Name the files of Secrets in the folders that stand for volumes. The environment wins over
    the configuration, which stays as it is.
    """
    return {
        f"MEMORY_BANK_{each.setting.upper().replace('.', '__')}": str(
            folders[each.value] / secret_files.FILE
        )
        for each in secret_files.Mounted
        if each.value in folders
    }


def _replace(file: Path, content: str) -> None:
    if file.exists() and file.read_text() == content:
        return
    fresh = file.with_name(f".{file.name}")
    fresh.write_text(content)
    fresh.rename(file)


def _decoded(value: str) -> str:
    return base64.b64decode(value).decode()


async def kill(process: asyncio.subprocess.Process) -> None:
    """End a process at once."""
    with contextlib.suppress(ProcessLookupError):
        process.send_signal(signal.SIGKILL)
    await process.wait()
