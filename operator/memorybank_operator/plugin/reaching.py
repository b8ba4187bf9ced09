"""`logs` and `connect`: what a bank's pods print, and the way to its service, which kubectl's own
forwarding makes: it needs no route to the pod, and the service knows the name it is asked by.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import sys
from argparse import Namespace
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from memorybank_operator import constants
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import KubeClient, Object
from memorybank_operator.plugin import reading
from memorybank_operator.plugin.acting import token_of
from memorybank_operator.plugin.doctor.snapshot import OPERATOR
from memorybank_operator.plugin.problems import DONE, MISSING, NOT_READY, REFUSED, USAGE, Problem
from memorybank_operator.plugin.summary import status_of

KEY_VARIABLE = "MEMORY_BANK_KEY"
PORT = 8080
FORWARD_SECONDS = 15.0
_FORWARDING = re.compile(rb"Forwarding from (127\.0\.0\.1:\d+) ")


async def logs(asked: Namespace, api: KubeClient) -> int:
    """Print the last lines of a bank's pods, or those of the operator that are about the bank."""
    await reading.one(api, kinds.MEMORY_BANK, asked.namespace, asked.name)
    of_bank = f"{constants.LABEL_BANK}={asked.name}"
    namespace, selector = (None, OPERATOR) if asked.operator else (asked.namespace, of_bank)
    pods = await reading.listed(api, kinds.POD, namespace, selector=selector)
    container = asked.container or ("operator" if asked.operator else "memorybank")
    pods = [each for each in pods if container in _containers(each)]
    if not pods:
        raise Problem(
            f"no pod with a container {container}: see `kubectl memorybank doctor {asked.name}`",
            MISSING,
        )
    for pod in pods:
        name = pod["metadata"]["name"]
        try:
            text = await api.logs(
                pod["metadata"]["namespace"], name, container, previous=asked.previous,
                query={} if asked.operator else {"tailLines": str(asked.tail)},
            )  # fmt: skip
        except errors.KubeError as error:
            print(f"{name}: {error}", file=sys.stderr)  # noqa: T201 - what a user reads
            continue
        lines = text.splitlines()
        if asked.operator:
            lines = [each for each in lines if _is_about(each, asked)][-asked.tail :]
        for line in lines:
            print(f"[{name}] {line}" if len(pods) > 1 else line)  # noqa: T201 - the answer
    return DONE


async def connect(asked: Namespace, api: KubeClient) -> int:
    """Forward a port of this machine to a bank, and print what an MCP client needs for it; end with
    what kubectl's forwarding ends with.
    """
    bank = await reading.one(api, kinds.MEMORY_BANK, asked.namespace, asked.name)
    kubectl = _kubectl()
    secret = str((status_of(bank).get("binding") or {}).get("name", ""))
    if asked.config:
        key = await token_of(api, asked.namespace, secret)
        if not key:
            raise Problem(f"{asked.name} has no key yet: wait until it is ready", REFUSED)
        _write(Path(asked.config), configuration(asked.name, asked.port, key))
        told = f"{asked.config} has the key: keep it to yourself"
    else:
        told = f"{json.dumps(configuration(asked.name, asked.port, f'${{{KEY_VARIABLE}}}'))}\n"
        told += (
            f"The key: kubectl get secret {secret or f'{asked.name}-key'} -n {asked.namespace} "
            "-o jsonpath='{.data.token}' | base64 -d"
        )
    print(told, flush=True)  # noqa: T201 - the answer
    forward = await asyncio.create_subprocess_exec(
        kubectl, "port-forward", f"service/{asked.name}", f"{asked.port}:{PORT}",
        *_same_cluster(asked),
    )  # fmt: skip
    return await forward.wait()


@asynccontextmanager
async def forwarded(asked: Namespace) -> AsyncIterator[str]:
    """Yield the address on this machine at which the bank is served as long as the block lasts.
    Raises Problem when nothing is there to forward to.
    """
    forward = await asyncio.create_subprocess_exec(
        _kubectl(), "port-forward", f"service/{asked.name}", f":{PORT}", *_same_cluster(asked),
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    if forward.stdout is None or forward.stderr is None:
        raise RuntimeError("the process was started with pipes")
    try:
        try:
            async with asyncio.timeout(FORWARD_SECONDS):
                line = await forward.stdout.readline()
        except TimeoutError:
            raise _unreachable(asked, f"nothing within {FORWARD_SECONDS:g} s") from None
        match = _FORWARDING.match(line)
        if match is None:
            said = (await forward.stderr.read()).decode(errors="replace").strip()
            raise _unreachable(asked, said)
        yield f"http://{match[1].decode()}"
    finally:
        if forward.returncode is None:
            forward.terminate()
        await forward.communicate()


def _kubectl() -> str:
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        raise Problem("this command needs kubectl on the PATH", REFUSED)
    return kubectl


def _unreachable(asked: Namespace, why: str) -> Problem:
    return Problem(
        f"{asked.name} cannot be reached: {why}; see `kubectl memorybank status {asked.name}`",
        NOT_READY,
    )


def configuration(name: str, port: int, key: str) -> dict[str, Any]:
    """Return what MCP clients read: {"mcpServers": {NAME: {"type", "url", "headers"}}}."""
    server = {
        "type": "http",
        "url": f"http://127.0.0.1:{port}/mcp",
        "headers": {"Authorization": f"Bearer {key}"},
    }
    return {"mcpServers": {name: server}}


def _write(file: Path, value: dict[str, Any]) -> None:
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise Problem(f"--config: {error.strerror}: {file}", USAGE) from None
    with os.fdopen(handle, "w") as stream:
        json.dump(value, stream, indent=2)


def _same_cluster(asked: Namespace) -> Iterator[str]:
    yield f"--namespace={asked.namespace}"
    if asked.context:
        yield f"--context={asked.context}"
    if asked.kubeconfig:
        yield f"--kubeconfig={asked.kubeconfig}"


def _containers(pod: Object) -> set[str]:
    spec = pod.get("spec") or {}
    return {
        each["name"]
        for each in (*(spec.get("initContainers") or ()), *(spec.get("containers") or ()))
    }


def _is_about(line: str, asked: Namespace) -> bool:
    """Tell whether a line of the operator's log names the bank."""
    try:
        said = json.loads(line)
    except ValueError:
        return f"{asked.namespace}/{asked.name}" in line
    if not isinstance(said, dict):
        return False
    return (said.get("namespace"), said.get("bank")) == (asked.namespace, asked.name)
