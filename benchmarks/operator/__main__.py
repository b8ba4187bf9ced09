"""The operator's figures at scale on a real API server: how fast it acts, what it writes, how much
memory and CPU time it takes.

    python -m benchmarks.operator [--banks 1000] [--restart-banks 5000] [--idle-seconds 600]

First without nodes: the operator, the API server and nothing else. Then nodes are simulated
(benchmarks/operator/simulation.py), so that each bank is proven and Ready, and stays it. `--python`
chooses the interpreter of the operator: one with nothing but its own dependencies shows what its
image will take. At last the same of an operator written in Go (benchmarks/operator/subjects.py).
Prints one table, goals beside figures.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from benchmarks.operator import simulation
from benchmarks.operator.crowd import Crowd
from benchmarks.operator.measuring import (
    DEADLINE,
    NAMESPACE,
    Audit,
    Counters,
    Process,
    Write,
    arrivals,
    client,
    import_memory,
    post,
    spread,
)
from benchmarks.operator.subjects import Subject, alertmanagers, memory_banks
from e2e.cluster.apiserver import ApiServer, api_server
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
PEER_IDLE_SECONDS = 60.0
"""Of the other operator, whose idleness is no goal of ours."""
PEER_SAMPLES = 3
"""New resources, and repairs, of the other operator among a thousand: each takes it minutes."""
SLICES = 5
"""In so many turns the operator and bare requests make banks, so that both see the same machine."""
DONE = 'memorybank_operator_reconciles_total{result="done"}'
LEADS = "memorybank_operator_leader"
READY = 'memorybank_operator_banks{ready="True"}'
DEFAULT_CLASS = {
    "metadata": {
        "name": "standard",
        "annotations": {"storageclass.kubernetes.io/is-default-class": "true"},
    },
    "provisioner": "example.org/none",
}


@dataclass
class Options:
    """What to measure, and with how much."""

    banks: int
    restart_banks: int
    idle_seconds: float
    python: str
    nodes: bool
    peer: bool


@dataclass
class Bench:
    """A server, the banks on it, and what bare requests made beside them."""

    server: ApiServer
    http: httpx.Client
    options: Options
    log: Path
    crowd: Crowd
    bare: int = 0

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

    def audit(self) -> Audit:
        """Count what the operator writes from now on."""
        return Audit(self.server, self.crowd.subject.agent)

    @contextmanager
    def operator(
        self, *, wait: bool = True, elected: bool = False
    ) -> Iterator[tuple[Process, Counters]]:
        """Run the operator until the block ends; yield it when it is ready, or at once."""
        running = self.crowd.subject.running(self.server, self.log, wait=wait, elected=elected)
        with running as (process, port):
            yield process, Counters(port)


def main() -> None:
    """Measure everything and print it."""
    options = parse()
    show("operator imported, doing nothing (RSS)", "-", mib(import_memory(options.python)))
    with measured(memory_banks(options.python), options) as bench, ExitStack() as stack:
        with bench.operator() as (process, counters):
            counters.until(LEADS, 1)  # ready is who stands by as well
            measure_alone(bench, process)
            if options.nodes:
                stack.enter_context(simulation.nodes(bench.server))
            measure_crowd(bench, process, counters)
            while bench.crowd.count < options.restart_banks:
                bench.crowd.at_once(min(200, options.restart_banks - bench.crowd.count))
            wait_ready(bench, counters)
            show(f"memory with {bench.crowd.count} banks (RSS)", "-", mib(process.memory()))
        measure_restart(bench)
        measure_handover(bench)
    if options.peer:
        with measured(alertmanagers(), options) as bench:
            measure_peer(bench)


@contextmanager
def measured(subject: Subject, options: Options) -> Iterator[Bench]:
    """Have an API server with what the subject needs, until the block ends."""
    with (
        api_server(service_cidr=SERVICES) as server,
        client(server) as http,
        tempfile.TemporaryDirectory() as folder,
    ):
        prepare(http, subject)
        yield Bench(server, http, options, Path(folder) / "operator.log", Crowd(http, subject))


def parse() -> Options:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operator", description=__doc__)
    parser.add_argument("--banks", type=int, default=1000)
    parser.add_argument("--restart-banks", type=int, default=5000)
    parser.add_argument("--idle-seconds", type=float, default=600)
    parser.add_argument("--python", default=sys.executable)
    parser.add_argument("--no-nodes", dest="nodes", action="store_false")
    parser.add_argument("--no-peer", dest="peer", action="store_false")
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
    show("apply -> children applied, alone", "p99 100 ms", spread(bench.crowd.one_by_one(ALONE)))
    show(f"memory with {ALONE} banks (RSS)", "-", mib(process.memory()))
    rest = options.banks - bench.crowd.count
    by_operator, by_bare, used = 0.0, 0.0, process.cpu()
    for turn in range(SLICES):
        count = rest // SLICES + (turn < rest % SLICES)
        by_operator += bench.crowd.at_once(count)
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
    show(f"memory with {bench.crowd.count} banks (RSS)", "128 MiB", mib(process.memory()))
    show(
        f"apply -> children applied, with {bench.crowd.count} banks",
        "p99 1 s", spread(bench.crowd.one_by_one(NEWCOMERS)),
    )  # fmt: skip
    show("ConfigMap deleted -> put back", "2 s", spread(repairs(bench)))
    before = process.memory()
    strangers(bench.http, options.banks)
    growth = process.memory() - before
    show(f"growth by {options.banks} Secrets, ConfigMaps and Pods of others", "1 MiB", mib(growth))
    wait_ready(bench, counters)
    idle(bench, process)


def repairs(bench: Bench, count: int = REPAIRS) -> list[float]:
    """Seconds until a deleted object is there again, for some resources by chance."""
    mended = arrivals(bench.http, bench.crowd.subject.mended)
    chosen = random.Random(1).choices(range(bench.options.banks), k=count)  # noqa: S311 - no secret
    return [bench.crowd.repair(number, mended) for number in chosen]


def wait_ready(bench: Bench, counters: Counters) -> None:
    """Wait until each bank is proven, if there is something to prove."""
    if bench.options.nodes:
        counters.until(READY, bench.crowd.count)


def idle(bench: Bench, process: Process) -> None:
    """Measure what an operator does while nothing happens."""
    audit, used, seconds = bench.audit(), process.cpu(), bench.options.idle_seconds
    started = time.monotonic()
    time.sleep(seconds)
    share = (process.cpu() - used) / (time.monotonic() - started)
    writes = audit.writes()
    show(f"writes in {seconds:g} idle seconds, {bench.crowd.count} banks", "0", told(writes))
    show("CPU meanwhile", "2 % of a core", f"{share * 100:.1f} %")
    show("memory after it (RSS)", "-", mib(process.memory()))


def measure_restart(bench: Bench) -> None:
    """Measure an operator that finds all banks as they should be, and a new one among them."""
    banks, audit, started = bench.crowd.count, bench.audit(), time.perf_counter()
    with bench.operator(wait=False) as (process, counters):
        acted = bench.crowd.one_by_one(1)
        first = time.perf_counter() - started
        acted += bench.crowd.one_by_one(NEWCOMERS)
        counters.until(DONE, bench.crowd.count)
        took = time.perf_counter() - started
        show(f"restart with {banks} banks -> a new one's children applied", "5 s", f"{first:.1f} s")
        show("more new ones meanwhile", "p99 5 s", spread(acted[1:]))
        show("restart -> all looked at", "120 s", f"{took:.1f} s")
        old = [each for each in audit.writes() if 0 <= bench.crowd.number(each.name) < banks]
        show("writes about banks that were there", "0", told(old))
        show("CPU time of it", "-", f"{process.cpu():.1f} s")
        show(f"memory after it, {bench.crowd.count} banks (RSS)", "-", mib(process.memory()))


def measure_handover(bench: Bench) -> None:
    """Measure what a rolling restart means to a new bank: two operators, whose leader ends."""
    banks = bench.crowd.count
    with ExitStack() as leader:
        _, counters = leader.enter_context(bench.operator(elected=True))
        counters.until(LEADS, 1)
        counters.until(DONE, banks)
        with bench.operator(elected=True):
            started = time.perf_counter()
            leader.close()
            acted = bench.crowd.one_by_one(1)
            first = time.perf_counter() - started
            acted += bench.crowd.one_by_one(NEWCOMERS)
    show(f"leader of two ends, {banks} banks -> a new one's children", "5 s", f"{first:.1f} s")
    show("more new ones meanwhile", "p99 5 s", spread(acted[1:]))


def measure_peer(bench: Bench) -> None:
    """Measure the Go operator with as many Alertmanagers, without nodes."""

    def line(what: str, figure: str) -> None:
        show(f"Prometheus operator: {what}", "-", figure)

    with bench.operator() as (process, _):
        line("memory without Alertmanagers (RSS)", mib(process.memory()))
        line("apply -> children applied, alone", spread(bench.crowd.one_by_one(ALONE)))
        rest, used = bench.options.banks - bench.crowd.count, process.cpu()
        took = bench.crowd.at_once(rest)
        used = process.cpu() - used
        line(f"creating {rest} Alertmanagers", f"{rest / took:.1f}/s")
        line("CPU time for one of them", f"{used / rest * 1000:.1f} ms")
        line(f"memory with {bench.crowd.count} (RSS)", mib(process.memory()))
        newcomers = spread(bench.crowd.one_by_one(PEER_SAMPLES))
        line(f"apply -> children applied, with {bench.crowd.count}", newcomers)
        line("StatefulSet deleted -> put back", spread(repairs(bench, PEER_SAMPLES)))
        audit, used, started = bench.audit(), process.cpu(), time.monotonic()
        time.sleep(PEER_IDLE_SECONDS)
        share = (process.cpu() - used) / (time.monotonic() - started)
        line(f"writes in {PEER_IDLE_SECONDS:g} idle seconds", told(audit.writes()))
        line("CPU meanwhile", f"{share * 100:.1f} % of a core")
    present, started = bench.crowd.count, time.perf_counter()
    with bench.operator(wait=False) as (process, _):
        bench.crowd.one_by_one(1)
        first = time.perf_counter() - started
        line(f"restart with {present} -> a new one's children applied", f"{first:.1f} s")
        line("memory after it (RSS)", mib(process.memory()))


def told(writes: list[Write]) -> str:
    """Say how many writes there were, and which."""
    kinds_of = Counter(each.what for each in writes)
    each = ", ".join(f"{count} {what}" for what, count in kinds_of.most_common())
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


def prepare(http: httpx.Client, subject: Subject) -> None:
    """Make what the subject needs."""
    for namespace in (NAMESPACE, BARE, STRANGERS):
        post(http, "/api/v1/namespaces", {"metadata": {"name": namespace}})
    post(http, kinds.STORAGE_CLASS.collection(), DEFAULT_CLASS)
    for definition in subject.definitions:
        http.post(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            content=definition,
            headers={"Content-Type": "application/yaml"},
        ).raise_for_status()
    deadline = time.monotonic() + DEADLINE
    while subject.kind.plural not in served(http, subject.kind):
        if time.monotonic() > deadline:
            raise TimeoutError(f"{subject.kind.plural} are not served")
        time.sleep(0.05)
    # The API server compiles a kind's rules when it meets the first object, which takes seconds.
    kind = {"apiVersion": subject.kind.api_version, "kind": subject.kind.kind}
    first = kind | {"metadata": {"name": "first"}, "spec": {}}
    post(http, f"{subject.kind.collection(NAMESPACE)}?dryRun=All", first)


def served(http: httpx.Client, kind: kinds.ApiKind) -> set[str]:
    """Return what discovery tells of the kind's group: it lags behind what is served."""
    answer = http.get(f"/apis/{kind.api_version}")
    return {each["name"] for each in answer.json()["resources"]} if answer.is_success else set()


if __name__ == "__main__":
    main()
