"""The operator's figures at scale on a real API server: how fast it acts, what it writes, how much
memory and CPU time it takes.

    python -m benchmarks.operator [--banks 1000] [--restart-banks 5000] [--idle-seconds 600]

First without nodes: the operator, the API server and nothing else. Then nodes are simulated
(benchmarks/operator/simulation.py), so that each bank is proven and Ready, and stays it. `--python`
chooses the interpreter of the operator: one with nothing but its own dependencies shows what its
image will take. Prints one table, goals beside figures.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.operator import simulation
from benchmarks.operator.measuring import (
    DEADLINE,
    NAMESPACE,
    Arrivals,
    Audit,
    Counters,
    Process,
    arrivals,
    client,
    import_memory,
    post,
    spread,
)
from e2e.cluster.apiserver import ApiServer, api_server, free_ports
from memorybank_operator import constants
from memorybank_operator.api import crd
from memorybank_operator.kube import kinds
from memorybank_operator.settings import Settings

BARE = "bare"
"""Namespace of objects that no operator made."""
STRANGERS = "strangers"
"""Namespace of objects that are no operator's business."""
SERVICES = "127.80.0.0/16"
"""The Services' range: every address in it leads to this machine."""
ALONE = 10
REPAIRS = 50
NEWCOMERS = 20
SLICES = 5
"""In so many turns the operator and bare requests make banks, so that both see the same machine."""
DONE = 'memorybank_operator_reconciles_total{result="done"}'
READY = 'memorybank_operator_banks{ready="True"}'
DEFAULT_CLASS = {
    "metadata": {
        "name": "standard",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "example.org/none",
}


class Failed(Exception):
    """The operator does not do what it is measured at."""


@dataclass
class Options:
    """What to measure, and with how much."""

    banks: int
    restart_banks: int
    idle_seconds: float
    python: str
    nodes: bool


@dataclass
class Bench:
    """A server, and what was made on it so far."""

    server: ApiServer
    http: httpx.Client
    options: Options
    log: Path
    banks: int = 0
    bare: int = 0
    deployments: Arrivals = field(init=False)

    def __post_init__(self) -> None:
        self.deployments = arrivals(self.http, kinds.DEPLOYMENT)

    def create(self) -> tuple[str, float]:
        """Create a bank; return its name, and when."""
        name, self.banks = f"bank{self.banks}", self.banks + 1
        now = time.perf_counter()
        body = {
            "apiVersion": constants.API_VERSION,
            "kind": constants.KIND,
            "metadata": {"name": name},
        }
        post(self.http, kinds.MEMORY_BANK.collection(NAMESPACE), body)
        return name, now

    def one_by_one(self, count: int) -> list[float]:
        """Seconds until each new bank's last object is there."""
        return [self.deployments.wait(name, after=at) for name, at in self._each(count)]

    def _each(self, count: int) -> Iterator[tuple[str, float]]:
        for _ in range(count):
            yield self.create()

    def at_once(self, count: int) -> float:
        """Seconds from the creation of the first of some banks to the last one's last object."""
        started = time.perf_counter()
        made = list(self._each(count))
        for name, at in made:
            self.deployments.wait(name, after=at)
        return time.perf_counter() - started

    def apply_bare(self, count: int) -> float:
        """Seconds in which bare requests make what as many banks consist of."""
        done = subprocess.run(
            [
                sys.executable, "-m", "benchmarks.operator.bare",
                str(self.server.kubeconfig), BARE, str(self.bare), str(count),
                str(Settings().workers),
            ],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        self.bare += count
        return float(json.loads(done.stdout)["seconds"])

    def repair(self, number: int, configs: Arrivals) -> float:
        """Seconds until a deleted ConfigMap is there again."""
        config = f"bank{number}-config"
        now = time.perf_counter()
        self.http.delete(kinds.CONFIG_MAP.item(NAMESPACE, config)).raise_for_status()
        return configs.wait(config, after=now)


def main() -> None:
    """Measure everything and print it."""
    options = parse()
    with (
        api_server(service_cidr=SERVICES) as server,
        client(server) as http,
        tempfile.TemporaryDirectory() as folder,
    ):
        prepare(http)
        bench = Bench(server, http, options, Path(folder) / "operator.log")
        show("operator imported, doing nothing (RSS)", "-", mib(import_memory(options.python)))
        with ExitStack() as stack:
            with operator(bench) as (process, counters):
                measure_alone(bench, process)
                if options.nodes:
                    stack.enter_context(simulation.nodes(server))
                measure_crowd(bench, process, counters)
                while bench.banks < options.restart_banks:
                    bench.at_once(min(200, options.restart_banks - bench.banks))
                wait_ready(bench, counters)
                show(f"memory with {bench.banks} banks (RSS)", "-", mib(process.memory()))
            measure_restart(bench)


def parse() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operator", description=__doc__)
    parser.add_argument("--banks", type=int, default=1000)
    parser.add_argument("--restart-banks", type=int, default=5000)
    parser.add_argument("--idle-seconds", type=float, default=600)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--no-nodes", dest="nodes", action="store_false")
    return Options(**vars(parser.parse_args()))


def show(what: str, goal: str, figure: str) -> None:
    """Print a line of the table as soon as it is known."""
    print(f"| {what} | {goal} | {figure} |", flush=True)


def mib(value: float) -> str:
    """Write an amount of memory."""
    return f"{value:.1f} MiB"


def measure_alone(bench: Bench, process: Process) -> None:
    """Measure without nodes: from no bank to all of them."""
    options = bench.options
    show("memory without banks (RSS)", "-", mib(process.memory()))
    show("apply -> children applied, alone", "p99 100 ms", spread(bench.one_by_one(ALONE)))
    show(f"memory with {ALONE} banks (RSS)", "-", mib(process.memory()))
    rest = options.banks - bench.banks
    by_operator, by_bare, used = 0.0, 0.0, process.cpu()
    for turn in range(SLICES):
        count = rest // SLICES + (turn < rest % SLICES)
        by_operator += bench.at_once(count)
        by_bare += bench.apply_bare(count)
    used = process.cpu() - used
    show(
        f"creating {rest} banks, beside bare requests for the same objects", "0.80",
        f"{by_bare / by_operator:.2f} ({rest / by_operator:.1f}/s, bare {rest / by_bare:.1f}/s)",
    )  # fmt: skip
    show("CPU time of the operator for one of them", "-", f"{used / rest * 1000:.1f} ms")


def measure_crowd(bench: Bench, process: Process, counters: Counters) -> None:
    """Measure with all banks there, and Ready if there are nodes."""
    options = bench.options
    wait_ready(bench, counters)
    if options.nodes:
        show("banks proven and Ready, by stand-ins", "-", f"{counters.value(READY):.0f}")
    show(f"memory with {bench.banks} banks (RSS)", "128 MiB", mib(process.memory()))
    configs = arrivals(bench.http, kinds.CONFIG_MAP)
    show(
        f"apply -> children applied, with {bench.banks} banks",
        "p99 1 s", spread(bench.one_by_one(NEWCOMERS)),
    )  # fmt: skip
    chosen = random.Random(1).choices(range(options.banks), k=REPAIRS)  # noqa: S311 - no secret
    repairs = [bench.repair(number, configs) for number in chosen]
    show("ConfigMap deleted -> put back", "2 s", spread(repairs))
    before = process.memory()
    strangers(bench.http, options.banks)
    growth = process.memory() - before
    show(f"growth by {options.banks} Secrets, ConfigMaps and Pods of others", "1 MiB", mib(growth))
    wait_ready(bench, counters)
    idle(bench, process)


def wait_ready(bench: Bench, counters: Counters) -> None:
    """Wait until each bank is proven, if there is something to prove."""
    if bench.options.nodes:
        counters.until(READY, bench.banks)


def idle(bench: Bench, process: Process) -> None:
    """Measure what an operator does while nothing happens."""
    audit, used, seconds = Audit(bench.server), process.cpu(), bench.options.idle_seconds
    started = time.monotonic()
    time.sleep(seconds)
    share = (process.cpu() - used) / (time.monotonic() - started)
    writes = audit.writes()
    show(f"writes in {seconds:g} idle seconds, {bench.banks} banks", "0", told(writes))
    show("CPU meanwhile", "2 % of a core", f"{share * 100:.1f} %")
    show("memory after it (RSS)", "-", mib(process.memory()))


def measure_restart(bench: Bench) -> None:
    """Measure an operator that finds all banks as they should be, and a new one among them."""
    banks, audit, started = bench.banks, Audit(bench.server), time.perf_counter()
    with operator(bench, wait=False) as (process, counters):
        acted = bench.one_by_one(1)
        first = time.perf_counter() - started
        acted += bench.one_by_one(NEWCOMERS)
        counters.until(DONE, bench.banks)
        took = time.perf_counter() - started
        show(f"restart with {banks} banks -> a new one's children applied", "5 s", f"{first:.1f} s")
        show("more new ones meanwhile", "p99 5 s", spread(acted[1:]))
        show("restart -> all looked at", "120 s", f"{took:.1f} s")
        own = Counter(audit.writes())
        show("writes about banks that were there", "0", told(beyond(own, NEWCOMERS + 1)))
        show("CPU time of it", "-", f"{process.cpu():.1f} s")
        show(f"memory after it, {bench.banks} banks (RSS)", "-", mib(process.memory()))


def beyond(writes: Counter[str], made: int) -> list[str]:
    """Return the writes that were more than new banks need."""
    needed = dict.fromkeys(writes, made)
    return [each for each, count in writes.items() for _ in range(count - needed[each])]


def told(writes: list[str]) -> str:
    """Say how many writes there were, and which."""
    each = ", ".join(f"{count} {what}" for what, count in Counter(writes).most_common())
    return f"{len(writes)}{f' ({each})' if each else ''}"


def strangers(http: httpx.Client, count: int) -> None:
    """Make what other people have in a cluster."""
    pod = {"containers": [{"name": "c", "image": "c"}], "automountServiceAccountToken": False}
    for number in range(count):
        metadata = {"name": f"stranger{number}"}
        bodies: dict[str, dict[str, Any]] = {
            "secrets": {"data": {"x": "eHh4" * 256}},
            "configmaps": {"data": {"x": "x" * 1024}},
            "pods": {"spec": pod},
        }
        for plural, body in bodies.items():
            post(http, f"/api/v1/namespaces/{STRANGERS}/{plural}", {"metadata": metadata} | body)


def prepare(http: httpx.Client) -> None:
    """Make what banks need."""
    for namespace in (NAMESPACE, BARE, STRANGERS):
        post(http, "/api/v1/namespaces", {"metadata": {"name": namespace}})
    post(http, kinds.STORAGE_CLASS.collection(), DEFAULT_CLASS)
    for definition in crd.build_all():
        post(http, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", definition)


@contextmanager
def operator(bench: Bench, *, wait: bool = True) -> Iterator[tuple[Process, Counters]]:
    """Run an operator until the block ends; yield it when it is ready, or at once."""
    (port,) = free_ports(1)
    environment = os.environ | {
        "KUBECONFIG": str(bench.server.kubeconfig),
        "MEMORYBANK_OPERATOR_HTTP_PORT": str(port),
        "MEMORYBANK_OPERATOR_HTTP_HOST": "127.0.0.1",
        "MEMORYBANK_OPERATOR_CANARY_CONNECT": "cluster-ip",
    }
    with bench.log.open("ab") as output:
        process = subprocess.Popen(
            [bench.options.python, "-m", "memorybank_operator"], env=environment, stderr=output
        )
    try:
        deadline = time.monotonic() + DEADLINE
        while not is_up(port, "readyz" if wait else "healthz"):
            if process.poll() is not None or time.monotonic() > deadline:
                raise Failed(f"the operator does not get ready: {bench.log.read_text()[-2000:]}")
            time.sleep(0.05)
        yield Process(process.pid), Counters(port)
        if process.poll() is not None:
            raise Failed(f"the operator ended: {bench.log.read_text()[-2000:]}")
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def is_up(port: int, probe: str) -> bool:
    """Tell whether the operator says yes."""
    try:
        return httpx.get(f"http://127.0.0.1:{port}/{probe}", trust_env=False).is_success
    except httpx.HTTPError:
        return False


if __name__ == "__main__":
    main()
