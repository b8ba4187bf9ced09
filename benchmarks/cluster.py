"""A bank's figures on a real cluster: time to an answer, repairs, idle writes, memory.

    python -m benchmarks.cluster [--idle-minutes 2] [--banks 10]

Needs the cluster and images; both are made when missing. Prints one table, goals beside figures.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median

import httpx

from e2e.bank import Bank
from e2e.processes import container_processes
from e2e.stack import OPERATOR_NAMESPACE, CommandFailed, Stack

CLUSTER = "memorybank-bench"
NAMESPACE = "bench"
OPERATOR_USER = f"system:serviceaccount:{OPERATOR_NAMESPACE}:memorybank-operator"


def main() -> None:
    """Run all measurements and print them."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cluster", description=__doc__)
    parser.add_argument("--idle-minutes", type=float, default=2)
    parser.add_argument("--banks", type=int, default=10)
    options = parser.parse_args()
    stack = Stack.up(CLUSTER)
    stack.install_operator()
    stack.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})
    banks = [Bank(stack, NAMESPACE, f"bank{number}") for number in range(options.banks)]
    rows = [
        ("apply -> Ready and first search answered", "15 s", first_answer(banks[0])),
        ("ConfigMap deleted -> put back", "2 s", repair_time(banks[0])),
        ("app memory, idle (RSS)", "180 MiB", f"{app_memory(banks[0]):.0f} MiB"),
    ]
    for bank in banks[1:]:
        bank.apply()
    for bank in banks:
        bank.wait_ready(600)
    rows.append(
        (f"operator memory, {len(banks)} banks (RSS)", "-", f"{operator_memory(stack):.0f} MiB")
    )
    rows.append(
        (
            f"writes by the operator in {options.idle_minutes:g} idle minutes, {len(banks)} banks",
            "0",
            idle_writes(stack, options.idle_minutes),
        )
    )
    for name, goal, figure in rows:
        print(f"| {name} | {goal} | {figure} |")
    for bank in banks:
        stack.kubectl("-n", NAMESPACE, "delete", "mb", bank.name, "--wait=false")


def first_answer(bank: Bank) -> str:
    """Seconds from `kubectl apply` to Ready, and to the first search answered."""
    started = time.monotonic()
    bank.apply()
    bank.wait_ready()
    ready = time.monotonic() - started
    until(lambda: bank.recall("anything at all") == [])
    return f"Ready {ready:.1f} s, answered {time.monotonic() - started:.1f} s"


def repair_time(bank: Bank, rounds: int = 10) -> str:
    """Seconds from a child's deletion to its return, as kubectl sees it."""
    seconds = []
    for _ in range(rounds):
        old = (bank.child("configmap", "-config") or {})["metadata"]["uid"]
        bank.stack.kubectl("-n", bank.namespace, "delete", "configmap", f"{bank.name}-config")
        started = time.monotonic()
        until(partial(is_back, bank, old))
        seconds.append(time.monotonic() - started)
    return f"p50 {median(seconds):.2f} s, max {max(seconds):.2f} s"


def is_back(bank: Bank, old: str) -> bool:
    """True when the ConfigMap exists and is not the old one."""
    now = bank.child("configmap", "-config")
    return now is not None and now["metadata"]["uid"] != old


def app_memory(bank: Bank) -> float:
    """Resident memory of the bank's process, MiB."""
    return resident(bank.pods()[0]["metadata"]["uid"])


def operator_memory(stack: Stack) -> float:
    """Resident memory of the process of the operator that leads, MiB."""
    return resident(stack.leading_pod())


def resident(pod_uid: str) -> float:
    """Resident memory of a pod's processes, MiB."""
    total = 0
    for process in container_processes(pod_uid):
        for line in Path(f"/proc/{process}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1])
    return total / 1024


def idle_writes(stack: Stack, minutes: float) -> str:
    """What the operator asked the API server to write while nothing happened, by the audit log.

    Without its Lease, which the leader renews every two seconds whatever the number of banks.
    """
    audit = stack.audit_log()
    start = audit.stat().st_size
    time.sleep(minutes * 60)
    writes = []
    with audit.open("rb") as log:
        log.seek(start)
        for line in log:
            entry = json.loads(line)
            by_operator = entry["user"].get("username") == OPERATOR_USER
            is_lease = entry.get("objectRef", {}).get("resource") == "leases"
            if by_operator and not is_lease and entry["verb"] not in ("get", "list", "watch"):
                writes.append(f"{entry['verb']} {entry['objectRef']['resource']}")
    return f"{len(writes)} {sorted(set(writes)) or ''}"


def until(probe: Callable[[], bool], seconds: float = 60) -> None:
    """Poll often, for a fine measure; errors on the way count as "not yet"."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if probe():
                return
        except (CommandFailed, httpx.HTTPError, LookupError):
            pass  # broken just now, as expected while it is being repaired
        time.sleep(0.02)
    raise TimeoutError(f"not within {seconds:g} s")


if __name__ == "__main__":
    main()
