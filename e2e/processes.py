"""Reach the processes inside pods from the node's side, where this machine is the node.

A container's first process cannot be killed from within its own PID namespace, so a crash has to
come from outside.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

PROC = Path("/proc")


def container_processes(pod_uid: str) -> list[int]:
    """Process ids, in this machine's numbering, of a pod's containers without the pause process."""
    found = []
    for entry in PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            in_pod = (
                pod_uid in (entry / "cgroup").read_text()
                or pod_uid.replace("-", "_") in (entry / "cgroup").read_text()
            )
            command = (entry / "cmdline").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if in_pod and b"pause" not in command.split(b"\0")[0]:
            found.append(int(entry.name))
    return found


@contextmanager
def frozen(pod_uid: str) -> Iterator[None]:
    """Have a pod's containers do nothing while the block runs: what is sent to them is taken by
    the kernel, and never answered. What its kubelet replaced meanwhile runs on. Raises LookupError
    when no container runs.
    """
    processes = container_processes(pod_uid)
    if not processes:
        raise LookupError(f"no container of the pod {pod_uid} runs")
    with stopped(processes):
        yield


@contextmanager
def stopped(processes: Sequence[int]) -> Iterator[None]:
    """Have processes do nothing while the block runs."""
    for process in processes:
        os.kill(process, signal.SIGSTOP)
    try:
        yield
    finally:
        for process in processes:
            with suppress(ProcessLookupError):
                os.kill(process, signal.SIGCONT)


def signal_pod(pod_uid: str, number: signal.Signals) -> int:
    """Send a signal to every process of a pod's containers; return how many got it."""
    processes = container_processes(pod_uid)
    for process in processes:
        os.kill(process, number)
    return len(processes)
