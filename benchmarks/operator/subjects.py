"""The operators that are measured: ours, and one written in Go to compare with.

The Prometheus operator makes five objects of an Alertmanager, four Secrets and a StatefulSet, where
ours makes six of a MemoryBank. It keeps its own limit of 100 requests a second.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.operator.measuring import DEADLINE, NAMESPACE, Process
from e2e.cluster import binaries
from e2e.cluster.apiserver import ApiServer, free_ports
from memorybank_operator.api import crd
from memorybank_operator.kube import kinds


class Failed(Exception):
    """The operator does not do what it is measured at."""


@dataclass(frozen=True)
class Subject:
    """An operator, what is given to it, and by which of its objects it is judged."""

    definitions: tuple[str, ...]
    """Its CRDs, YAML."""
    kind: kinds.ApiKind
    """What people create."""
    prefix: str
    """Resources are named after it and their number."""
    last: kinds.ApiKind
    last_name: str
    """The object it makes last; {} stands for the resource's name."""
    mended: kinds.ApiKind
    mended_name: str
    """One that is deleted, to see it put back."""
    agent: str
    """How its requests begin to name who sends them."""
    command: tuple[str, ...]
    environment: Mapping[str, str]
    """{kubeconfig} and {port}, where it serves its probe, are put in."""
    ready: str
    """The probe that says that it has read everything."""
    alive: str
    """The probe that says that it runs."""

    elected: Mapping[str, str]
    """What is added to the environment of one of several."""

    @contextmanager
    def running(
        self, server: ApiServer, log: Path, *, wait: bool = True, elected: bool = False
    ) -> Iterator[tuple[Process, int]]:
        """Run it until the block ends; yield its process and port when it is ready, or at once.

        Raises Failed when it ends by itself.
        """
        (port,) = free_ports(1)
        given = {"kubeconfig": str(server.kubeconfig), "port": str(port)}
        variables = {**self.environment, **(self.elected if elected else {})}
        environment = {name: value.format(**given) for name, value in variables.items()}
        command = [word.format(**given) for word in self.command]
        with log.open("ab") as output:
            process = subprocess.Popen(
                command, env=os.environ | environment, stdout=output, stderr=output
            )
        try:
            probe = self.ready if wait else self.alive
            deadline = time.monotonic() + DEADLINE
            while not _says_yes(f"http://127.0.0.1:{port}/{probe}"):
                if process.poll() is not None or time.monotonic() > deadline:
                    raise Failed(f"{command[0]} does not get ready: {log.read_text()[-2000:]}")
                time.sleep(0.05)
            yield Process(process.pid), port
            if process.poll() is not None:
                raise Failed(f"{command[0]} ended: {log.read_text()[-2000:]}")
        finally:
            process.terminate()
            process.wait()


def memory_banks(python: str) -> Subject:
    """Return our operator, run by this interpreter."""
    return Subject(
        definitions=tuple(json.dumps(each) for each in crd.build_all()),
        kind=kinds.MEMORY_BANK,
        prefix="bank",
        last=kinds.DEPLOYMENT,
        last_name="{}",
        mended=kinds.CONFIG_MAP,
        mended_name="{}-config",
        agent="memorybank-operator/",
        command=(python, "-m", "memorybank_operator"),
        environment={
            "KUBECONFIG": "{kubeconfig}",
            "MEMORYBANK_OPERATOR_HTTP_PORT": "{port}",
            "MEMORYBANK_OPERATOR_HTTP_HOST": "127.0.0.1",
            "MEMORYBANK_OPERATOR_CANARY_CONNECT": "cluster-ip",
        },
        ready="readyz",
        alive="healthz",
        elected={"MEMORYBANK_OPERATOR_LEASE_NAMESPACE": NAMESPACE},
    )


def alertmanagers() -> Subject:
    """Return the Prometheus operator, built from its Go module if it is not yet."""
    folder = binaries.source("prometheus-operator") / "example" / "prometheus-operator-crd"
    files = sorted(folder.glob("*_alertmanager*.yaml"))
    stateful_set = kinds.ApiKind("apps/v1", "StatefulSet", "statefulsets")
    return Subject(
        definitions=tuple(file.read_text() for file in files),
        kind=kinds.ApiKind("monitoring.coreos.com/v1", "Alertmanager", "alertmanagers"),
        prefix="alerts",
        last=stateful_set,
        last_name="alertmanager-{}",
        # A Secret would do it no justice: of any that changes, it looks at all its resources again.
        mended=stateful_set,
        mended_name="alertmanager-{}",
        agent="PrometheusOperator/",
        command=(
            str(binaries.ensure("prometheus-operator")),
            "--web.listen-address=127.0.0.1:{port}",
            "--log-level=error",
        ),
        environment={"KUBECONFIG": "{kubeconfig}"},
        ready="healthz",
        alive="healthz",
        elected={},
    )


def _says_yes(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.HTTPError:
        return False
