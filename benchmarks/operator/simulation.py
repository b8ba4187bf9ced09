"""Nodes for a bare API server that run no process: the real controllers make the pods, kwok says
that they run, and stand-ins answer in their place.

What is real: Deployments, ReplicaSets and pods with all their events, and the requests by which
the operator proves each bank. What is not: scheduling (pods are bound to the one node as they
come), volumes, and the service, of which a thousand would take 160 GiB.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import httpx

from benchmarks.operator.measuring import client, post
from e2e.cluster.apiserver import ApiServer
from e2e.cluster.binaries import ensure_all

HERE = Path(__file__).parent
NODE = "simulated"
PROGRAMS = ("kube-controller-manager", "kwok")
CONTROLLERS = "deployment-controller,replicaset-controller"
REQUESTS_PER_SECOND = 500
"""Of the controllers, which would make twenty pods a second by default."""
STOP_SECONDS = 10.0


@contextmanager
def nodes(server: ApiServer) -> Iterator[None]:
    """Have pods run until the block ends."""
    programs = ensure_all(PROGRAMS)
    kubeconfig = str(server.kubeconfig)
    controllers = [
        str(programs["kube-controller-manager"]),
        f"--kubeconfig={kubeconfig}", f"--controllers={CONTROLLERS}", "--leader-elect=false",
        "--bind-address=127.0.0.1", "--secure-port=0",
        f"--kube-api-qps={REQUESTS_PER_SECOND}", f"--kube-api-burst={REQUESTS_PER_SECOND}",
        "--concurrent-deployment-syncs=20", "--concurrent-replicaset-syncs=20",
    ]  # fmt: skip
    kubelets = [
        str(programs["kwok"]),
        f"--config={HERE / 'stages.yaml'}", f"--kubeconfig={kubeconfig}",
        "--manage-all-nodes=true", "--server-address=127.0.0.1:0",
    ]  # fmt: skip
    services = [sys.executable, "-m", "benchmarks.operator.standins", kubeconfig]
    commands = {"controllers": controllers, "kwok": kubelets, "standins": services}
    with ExitStack() as stack, client(server) as http:
        for name, command in commands.items():
            stack.enter_context(_process(command, server.directory / f"{name}.log"))
        room = {"cpu": "100k", "memory": "1000Ti", "pods": "100k"}
        body: dict[str, Any] = {
            "metadata": {"name": NODE},
            "status": {"allocatable": room, "capacity": room},
        }
        post(http, "/api/v1/nodes", body)
        threading.Thread(target=_bind, args=(http,), daemon=True).start()
        yield


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
        if process.poll() is not None:
            raise RuntimeError(f"{command[0]} ended: {log.read_text()[-2000:]}")
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _bind(http: httpx.Client) -> None:
    """Put each new pod on the node, until the client is closed."""
    selector = {"watch": "true", "fieldSelector": "spec.nodeName="}
    # The server ends a watch whose events are taken too slowly. The next one begins with all pods.
    while not http.is_closed:
        with (
            contextlib.suppress(httpx.HTTPError, httpx.StreamError, RuntimeError),
            http.stream("GET", "/api/v1/pods", params=selector) as stream,
        ):
            for line in stream.iter_lines():
                event = json.loads(line)
                if event["type"] == "ADDED" and not event["object"]["spec"].get("nodeName"):
                    _put_on_the_node(http, event["object"]["metadata"])


def _put_on_the_node(http: httpx.Client, metadata: dict[str, Any]) -> None:
    path = f"/api/v1/namespaces/{metadata['namespace']}/pods/{metadata['name']}/binding"
    target = {"apiVersion": "v1", "kind": "Node", "name": NODE}
    # Whoever deleted the pod meanwhile does not want it bound: a refusal is none of our business.
    http.post(path, json={"metadata": {"name": metadata["name"]}, "target": target})
