"""Jobs as their controller and a kubelet leave them, for an API server that has neither.

What is written of a Job is what the real controller writes, in its order, and the API server checks
that it makes sense: first the pod ends with its words, then the Job is about to end, then it is
over.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import uuid
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from memorybank_operator.kube import kinds
from memorybank_operator.kube.client import with_status
from tests.integration.operator.node import local
from tests.integration.operator.world import Object, World
from tests.operator.recovery import REPORT

IDENTITY = "batch.kubernetes.io/job-name"
COMPLETE = {
    "reason": "CompletionsReached",
    "message": "Reached expected number of succeeded pods",
}
"""What the controller says of a Job that did its work."""
FAILED = {
    2: {
        "reason": "PodFailurePolicy",
        "message": "Container backup for pod failed with exit code 2 matching FailJob rule at "
        "index 0",
    },
    6: {
        "reason": "PodFailurePolicy",
        "message": "Container backup for pod failed with exit code 6 matching FailJob rule at "
        "index 0",
    },
    5: {
        "reason": "BackoffLimitExceeded",
        "message": "Job has reached the specified backoff limit",
    },
}
"""Likewise, by the exit code of the pod."""


async def jobs(world: World) -> list[Object]:
    """Return the Jobs of the namespace, by name."""
    found: list[Object] = (await world.client.discover(kinds.JOB.collection(world.namespace)))[
        "items"
    ]
    return sorted(
        ({"apiVersion": "batch/v1", "kind": "Job", **each} for each in found),
        key=lambda each: str(each["metadata"]["name"]),
    )


async def report_of(world: World, job: Object, bank: str = "agents", **changes: Any) -> str:
    """Return what a Job says that did its work, or differs so."""
    operation, *rest = job["spec"]["template"]["spec"]["containers"][0]["args"][1:]
    of = await world.must(kinds.MEMORY_BANK, bank)
    said = REPORT | {
        "taken_at": datetime.now(UTC).isoformat(),
        "operation": operation,
        "name": rest[0] if operation == "take" else None,
        "bank": f"{world.namespace}/{bank}/{of['metadata']['uid']}",
    }
    return json.dumps(said | changes)


def now() -> str:
    """Return the time as the API server writes it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


async def start(world: World, job: Object) -> Object:
    """Make the pod of a Job, which runs."""
    status = {"startTime": now(), "active": 1, "ready": 1, "terminating": 0}
    await world.client.apply_status(with_status(job, status | {"uncountedTerminatedPods": {}}))
    template, metadata = job["spec"]["template"], job["metadata"]
    owner = {
        "apiVersion": "batch/v1", "kind": "Job", "name": metadata["name"], "uid": metadata["uid"],
        "controller": True, "blockOwnerDeletion": True,
    }  # fmt: skip
    pod = await world.client.create(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{metadata['name'][:50]}-{uuid.uuid4().hex[:5]}",
                "namespace": world.namespace,
                "labels": template["metadata"]["labels"] | {IDENTITY: metadata["name"]},
                "ownerReferences": [owner],
            },
            "spec": {**template["spec"], "nodeName": "node"},
        }
    )
    await _pod_is(world, pod, "Running", ready=True, running={"startedAt": now()})
    return pod


async def end(world: World, job: Object, pod: Object, said: str, *, code: int = 0) -> None:
    """Let the pod of a Job end with this code and these words, and the Job with it."""
    started = (await world.must(kinds.JOB, job["metadata"]["name"]))["status"]["startTime"]
    over = now()
    ended = {
        "exitCode": code, "reason": "Error" if code else "Completed", "message": said,
        "startedAt": started, "finishedAt": over, "containerID": "test://1",
    }  # fmt: skip
    await _pod_is(world, pod, "Failed" if code else "Succeeded", ready=False, terminated=ended)
    kind, about = ("Failed", "FailureTarget") if code else ("Complete", "SuccessCriteriaMet")
    why = FAILED[code] if code else COMPLETE
    counts = {"startTime": started, "ready": 0, "terminating": 0, "uncountedTerminatedPods": {}}
    counts["failed" if code else "succeeded"] = 1
    conditions = []
    for each in (about, kind):
        said_of_it = {"lastProbeTime": over, "lastTransitionTime": over, **why}
        conditions.append({"type": each, "status": "True", **said_of_it})
        ends = {"completionTime": over} if each == "Complete" else {}
        status = {**counts, **ends, "conditions": list(conditions)}
        await world.client.apply_status(with_status(job, status))


async def run(world: World, job: Object, *, code: int = 0, said: str | None = None) -> None:
    """Let a Job do its work, or fail with this code."""
    words = await report_of(world, job) if said is None else said
    await end(world, job, await start(world, job), words, code=code)


async def _pod_is(world: World, pod: Object, phase: str, *, ready: bool, **state: Object) -> None:
    condition = {"status": "True" if ready else "False", "lastTransitionTime": now()}
    container = {
        "name": "backup", "image": "x", "imageID": "x", "restartCount": 0, "ready": ready,
        "started": ready, "state": state,
    }  # fmt: skip
    status = {
        "phase": phase,
        "conditions": [{"type": "Ready", **condition}],
        "containerStatuses": [container],
    }
    await world.client.apply_status(with_status(pod, status))


async def really_run(
    world: World,
    job: Object,
    destination: Path,
    folder: Path,
    *,
    data: Path | None = None,
    environ: Mapping[str, str] | None = None,
) -> None:
    """Run the command of a Job, as a kubelet would: with the bank's own settings and key, and with
    this folder in place of the volume of its backups, and `data` in that of its own. `environ` says
    what else is where.
    """
    pod = await start(world, job)
    config = await world.must("ConfigMap", "agents-config")
    key = await world.must("Secret", "agents-key")
    mounted = {
        "/etc/memorybank": folder / "config",
        "/etc/memorybank-key": folder / "key",
        "/scratch": folder / "scratch",
        "/tmp": folder / "tmp",  # noqa: S108 - a volume of the pod
        "/run/memorybank": folder / "run",
        "/data": folder / "data" if data is None else data,
    }
    for each in mounted.values():
        each.mkdir(parents=True, exist_ok=True)
    for name, text in config["data"].items():
        (mounted["/etc/memorybank"] / name).write_text(text)
    for name, value in key["data"].items():
        (mounted["/etc/memorybank-key"] / name).write_bytes(base64.b64decode(value))
    said = folder / "termination-log"
    said.touch()
    arguments = [
        local(each, {path: str(where) for path, where in mounted.items()})
        for each in job["spec"]["template"]["spec"]["containers"][0]["args"]
    ]
    environment = {
        "MEMORY_BANK_BACKUP__VOLUME__PATH": str(destination),
        "MEMORY_BANK_BACKUP__RUN_DIR": str(mounted["/run/memorybank"]),
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "memorybank", *arguments, "--termination-log", str(said),
        env=os.environ | environment | dict(environ or {}), stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    code = await process.wait()
    await end(world, job, pod, said.read_text(), code=code)
