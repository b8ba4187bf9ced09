"""The operator's figures on a bare API server: how fast it acts, what it writes, how much memory
it takes.

    python -m benchmarks.operator [--banks 100] [--idle-seconds 60] [--python FILE]

No node runs, so this is the operator and the API server alone. `--python` chooses the interpreter
of the operator: one with nothing but its own dependencies shows what its image will take. Prints
one table, goals beside figures.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any

import httpx

from e2e.cluster.apiserver import ApiServer, api_server, free_ports
from memorybank_operator import constants
from memorybank_operator.api import crd
from memorybank_operator.kube import kinds
from memorybank_operator.kube.connection import from_kubeconfig

NAMESPACE = "bench"
DEADLINE = 600.0
REPAIRS = 50
WRITES = {"create", "update", "patch", "delete"}
DEFAULT_CLASS = {
    "metadata": {
        "name": "standard",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "example.org/none",
}


SERVICE_RANGES = "/apis/networking.k8s.io/v1/servicecidrs"
MORE_SERVICES: dict[str, Any] = {
    "metadata": {"name": "bench"},
    "spec": {"cidrs": ["10.96.0.0/16"]},
}
"""The bare API server's own range has room for 250 Services."""


@dataclass
class Arrivals:
    """When objects of a kind appeared, seen by a watch of our own."""

    http: httpx.Client
    collection: str
    seen: dict[str, float] = field(default_factory=dict)
    changed: threading.Condition = field(default_factory=threading.Condition)

    def watch(self) -> None:
        """Follow the collection until the client is closed."""
        with self.http.stream("GET", self.collection, params={"watch": "true"}) as stream:
            for line in stream.iter_lines():
                event = json.loads(line)
                if event["type"] == "ADDED":
                    with self.changed:
                        self.seen[event["object"]["metadata"]["name"]] = time.perf_counter()
                        self.changed.notify_all()

    def wait(self, name: str, *, after: float) -> float:
        """Return the seconds from `after` to the object's next appearance."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.seen.get(name, 0) > after, DEADLINE):
                raise TimeoutError(f"{name} did not appear within {DEADLINE:g} s")
            return self.seen[name] - after


def main() -> None:
    """Measure everything and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operator", description=__doc__)
    parser.add_argument("--banks", type=int, default=100)
    parser.add_argument("--idle-seconds", type=float, default=60)
    parser.add_argument("--python", default=sys.executable)
    options = parser.parse_args()
    with api_server() as server, client(server) as http, tempfile.TemporaryDirectory() as folder:
        prepare(http)
        log = Path(folder) / "operator.log"
        with operator(server, options.python, log) as (process, port):
            for row in measure(server, http, process, options.banks, options.idle_seconds):
                show(row)
        before = writes(server)
        started = time.perf_counter()
        with operator(server, options.python, log) as (process, port):
            metrics = f"http://127.0.0.1:{port}/metrics"
            until_done(metrics, options.banks)
            took = time.perf_counter() - started
            show((f"restart with {options.banks} banks -> all looked at", "-", f"{took:.1f} s"))
            show(("writes after the restart", "0", str(writes(server) - before)))
            show((f"memory after it, {options.banks} banks (RSS)", "-", memory(process)))


def show(row: tuple[str, str, str]) -> None:
    """Print a line of the table as soon as it is known."""
    print(f"| {' | '.join(row)} |", flush=True)


def measure(
    server: ApiServer,
    http: httpx.Client,
    process: subprocess.Popen[bytes],
    banks: int,
    idle_seconds: float,
) -> Iterator[tuple[str, str, str]]:
    """Measure a running operator; yield figures as they are known."""
    deployments, configs = arrivals(http, kinds.DEPLOYMENT), arrivals(http, kinds.CONFIG_MAP)
    yield "memory without banks (RSS)", "-", memory(process)
    one_by_one = [create(http, number, deployments) for number in range(10)]
    yield "memory with 10 banks (RSS)", "-", memory(process)
    yield "apply -> children applied, one by one", "p99 1 s", spread(one_by_one)
    started = {number: post(http, number) for number in range(10, banks)}
    at_once = [deployments.wait(name(number), after=started[number]) for number in range(10, banks)]
    yield f"the same, {banks - 10} at once", "-", spread(at_once)
    yield f"memory with {banks} banks (RSS)", "-", memory(process)
    repairs = [repair(http, number % banks, configs) for number in range(REPAIRS)]
    yield "ConfigMap deleted -> put back", "2 s", spread(repairs)
    before = writes(server)
    time.sleep(idle_seconds)
    count = str(writes(server) - before)
    yield f"writes in {idle_seconds:g} idle seconds, {banks} banks", "0", count


def create(http: httpx.Client, number: int, deployments: Arrivals) -> float:
    """Seconds until a new bank's last object is there."""
    return deployments.wait(name(number), after=post(http, number))


def post(http: httpx.Client, number: int) -> float:
    """Create a bank; return when."""
    body = {
        "apiVersion": constants.API_VERSION,
        "kind": constants.KIND,
        "metadata": {"name": name(number)},
    }
    now = time.perf_counter()
    http.post(kinds.MEMORY_BANK.collection(NAMESPACE), json=body).raise_for_status()
    return now


def repair(http: httpx.Client, number: int, configs: Arrivals) -> float:
    """Seconds until a deleted ConfigMap is there again."""
    config = f"{name(number)}-config"
    now = time.perf_counter()
    http.delete(kinds.CONFIG_MAP.item(NAMESPACE, config)).raise_for_status()
    return configs.wait(config, after=now)


def name(number: int) -> str:
    """Name a bank."""
    return f"bank{number}"


def spread(seconds: list[float]) -> str:
    """Say median and 99th percentile."""
    p99 = quantiles(seconds, n=100, method="inclusive")[-1]
    return f"p50 {median(seconds) * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms"


def memory(process: subprocess.Popen[bytes]) -> str:
    """Return the resident memory of a process."""
    pages = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
    return f"{pages * os.sysconf('SC_PAGE_SIZE') / 2**20:.0f} MiB"


def writes(server: ApiServer) -> int:
    """Count what operators wrote so far."""
    events = map(json.loads, server.audit_log.read_text().splitlines())
    return sum(
        event["verb"] in WRITES and event["userAgent"].startswith("memorybank-operator")
        for event in events
    )


def arrivals(http: httpx.Client, kind: kinds.ApiKind) -> Arrivals:
    """Start to watch a kind."""
    made = Arrivals(http, kind.collection(NAMESPACE))
    threading.Thread(target=_follow, args=(made,), daemon=True).start()
    return made


def _follow(made: Arrivals) -> None:
    # The client is closed at the end of the measurement, under the stream's feet.
    try:
        made.watch()
    except (httpx.HTTPError, httpx.StreamError):
        return


@contextmanager
def client(server: ApiServer) -> Iterator[httpx.Client]:
    """Connect with full rights."""
    connection = from_kubeconfig(server.kubeconfig)
    # A watch may be silent for as long as nothing happens.
    timeout = httpx.Timeout(30, read=DEADLINE)
    with httpx.Client(
        base_url=connection.server, verify=connection.ssl, trust_env=False, timeout=timeout
    ) as http:
        yield http


def prepare(http: httpx.Client) -> None:
    """Make what banks need."""
    definitions: tuple[tuple[str, dict[str, Any]], ...] = (
        ("/api/v1/namespaces", {"metadata": {"name": NAMESPACE}}),
        (kinds.STORAGE_CLASS.collection(), DEFAULT_CLASS),
        ("/apis/apiextensions.k8s.io/v1/customresourcedefinitions", crd.build()),
        (SERVICE_RANGES, MORE_SERVICES),
    )
    for path, body in definitions:
        http.post(path, json=body).raise_for_status()
    # No controller is here to say that the range may be used.
    ready = {"type": "Ready", "status": "True", "reason": "", "message": ""}
    status = {"status": {"conditions": [ready | {"lastTransitionTime": "2026-01-01T00:00:00Z"}]}}
    http.patch(
        f"{SERVICE_RANGES}/{MORE_SERVICES['metadata']['name']}/status",
        json=status,
        headers={"Content-Type": "application/merge-patch+json"},
    ).raise_for_status()


@contextmanager
def operator(
    server: ApiServer, python: str, log: Path
) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """Run an operator until the block ends; yield its process and HTTP port when it is ready."""
    (port,) = free_ports(1)
    environment = os.environ | {
        "KUBECONFIG": str(server.kubeconfig),
        "MEMORYBANK_OPERATOR_HTTP_PORT": str(port),
        "MEMORYBANK_OPERATOR_HTTP_HOST": "127.0.0.1",
    }
    with log.open("ab") as output:
        process = subprocess.Popen(
            [python, "-m", "memorybank_operator"], env=environment, stderr=output
        )
    try:
        deadline = time.monotonic() + DEADLINE
        while not is_ready(port):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the operator does not get ready: {log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield process, port
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def is_ready(port: int) -> bool:
    """Tell whether the operator knows everything."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/readyz", trust_env=False).is_success
    except httpx.HTTPError:
        return False


def until_done(metrics: str, banks: int) -> None:
    """Wait until each bank was reconciled once."""
    pattern = re.compile(r'^memorybank_operator_reconciles_total\{result="done"\} (\S+)', re.M)
    deadline = time.monotonic() + DEADLINE
    while True:
        found = pattern.search(httpx.get(metrics, trust_env=False).text)
        if found is not None and float(found[1]) >= banks:
            return
        if time.monotonic() > deadline:
            raise TimeoutError("not all banks were looked at")
        time.sleep(0.05)


if __name__ == "__main__":
    main()
