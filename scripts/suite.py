"""Runs the named stages of the Makefile one after the other and sums them up.

python -m scripts.suite lint type unit

The first failing stage is the last one. A stage that uses a cluster gets one of its own, which is
removed at the end whatever happens, so that a demo's or a developer's cluster is never disturbed.
What each stage printed stays in .build/, after a failure with the cluster's last words beside it.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from e2e.stack import CommandFailed, Stack, run_module

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / ".build"
STOP_SECONDS = 30
MAKE_VARIABLES = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}
CLUSTER = "memorybank-suite"
CLUSTER_STAGES = {"e2e"}
# Set for the stages that use a cluster; e2e/conftest.py reads it.
CLUSTER_VARIABLE = "MEMORYBANK_E2E_CLUSTER"


@dataclass(frozen=True)
class Outcome:
    """How one stage ended: its exit code, how long it took, and the line that sums it up."""

    stage: str
    code: int
    seconds: float
    closing: str


def main() -> int:
    """Entry point; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m scripts.suite", description=__doc__)
    parser.add_argument("stages", nargs="+", metavar="STAGE", help="a target of the Makefile")
    parser.add_argument("--kubernetes", metavar="VERSION", help="of the cluster, such as 1.33")
    arguments = parser.parse_args()
    stages: list[str] = arguments.stages
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(exist_ok=True)
    outcomes: list[Outcome] = []
    started = time.monotonic()
    problem = None
    try:
        with own_cluster(arguments.kubernetes) if uses_cluster(stages) else nullcontext():
            for stage in stages:
                outcomes.append(run(stage))
                if outcomes[-1].code:
                    keep_evidence(stage)
                    break
    except CommandFailed as error:
        problem = error
    say(summary(outcomes, stages, time.monotonic() - started))
    if problem:
        say(f"the suite's cluster: {problem}")
    return 1 if problem or outcomes[-1].code else 0


def run(stage: str) -> Outcome:
    """Run one target of the Makefile; show what it prints and keep it."""
    say(f"\n== {stage}")
    started = time.monotonic()
    closing = ""
    command = ["make", "--silent", "--no-print-directory", stage]
    # A stage is no part of the `make` that started the suite: its job server is not the stage's.
    environment = {name: value for name, value in os.environ.items() if name not in MAKE_VARIABLES}
    environment["PYTHONUNBUFFERED"] = "1"
    if stage in CLUSTER_STAGES:
        environment[CLUSTER_VARIABLE] = CLUSTER
    with (LOGS / f"{stage}.log").open("w") as log, process_group(command, environment) as process:
        for line in process.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
            log.write(line)
            if line.strip() and not line.startswith("make: ***"):
                closing = line.strip()
        code = process.wait()
    return Outcome(stage, code, time.monotonic() - started, closing)


@contextmanager
def process_group(
    command: list[str], environment: dict[str, str]
) -> Iterator[subprocess.Popen[str]]:
    """Start a command in a group of its own; nothing of the group is left afterwards."""
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace",
    ) as process:  # fmt: skip
        try:
            yield process
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)
                try:
                    process.communicate(timeout=STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    os.killpg(process.pid, signal.SIGKILL)


def uses_cluster(stages: Iterable[str]) -> bool:
    """Whether one of the stages runs on a whole cluster."""
    return not CLUSTER_STAGES.isdisjoint(stages)


@contextmanager
def own_cluster(kubernetes: str | None) -> Iterator[None]:
    """Remove the suite's cluster afterwards. The stages bring it up, unless it is a special one."""
    try:
        if kubernetes is not None:
            run_module("e2e.cluster", "up", "--name", CLUSTER, "--kubernetes", kubernetes)
        yield
    finally:
        say(f"\n== removing the cluster {CLUSTER}")
        run_module("e2e.cluster", "down", "--name", CLUSTER)


def keep_evidence(stage: str) -> None:
    """After a failure on the cluster, keep its objects, events and pod logs. No Secrets."""
    if stage not in CLUSTER_STAGES:
        return
    folder = LOGS / "cluster"
    try:
        stack = Stack.attach(CLUSTER)
        stack.kubectl("cluster-info", "dump", "--all-namespaces", "--output-directory", str(folder))
        banks = stack.kubectl("get", "memorybanks", "--all-namespaces", "-o", "yaml", check=False)
        (folder / "memorybanks.yaml").write_text(banks)
    except (CommandFailed, OSError) as error:
        say(f"the cluster's state could not be kept: {error}")


def summary(outcomes: list[Outcome], stages: list[str], seconds: float) -> str:
    """Say in a line per stage what happened, and what did not run."""
    lines = [
        f"  {'FAILED' if o.code else 'passed':8}{o.stage:13}{o.seconds:6.0f} s  {o.closing}"
        for o in outcomes
    ]
    lines += [f"  {'not run':8}{stage}" for stage in stages[len(outcomes) :]]
    passed = len(outcomes) == len(stages) and not outcomes[-1].code
    verdict = "all passed" if passed else f"FAILED; logs: {LOGS}"
    return "\n".join(["\n== summary", *lines, f"{verdict}, {seconds:.0f} s"])


def interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Leave by way of every `finally`, as after Ctrl-C."""
    raise KeyboardInterrupt


def say(text: str) -> None:
    """Print at once: the reader is waiting."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    try:
        code = main()
    except KeyboardInterrupt:
        code = 130
    raise SystemExit(code)
