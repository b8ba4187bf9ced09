"""Runs the named stages of the Makefile one after the other and sums them up.

python -m scripts.suite lint type unit,integration/e2e

Chains of stages with / between them run side by side, as some mostly compute and others mostly
wait; the first one is shown while it runs, the others once they have ended. After the first
failing stage none begins any more. A stage that uses a cluster gets one of its own, which is
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
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType

from e2e.stack import CommandFailed, Stack, run_module

ROOT = Path(__file__).resolve().parent.parent
LOGS = ROOT / ".build"
STOP_SECONDS = 30
LOOK_SECONDS = 0.2
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
    parser.add_argument(
        "steps", nargs="+", metavar="STAGE[,STAGE...][/STAGE...]", help="targets of the Makefile"
    )
    parser.add_argument("--kubernetes", metavar="VERSION", help="of the cluster, such as 1.33")
    arguments = parser.parse_args()
    steps = [[chain.split(",") for chain in step.split("/")] for step in arguments.steps]
    stages = [stage for step in steps for chain in step for stage in chain]
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(exist_ok=True)
    suite = Suite()
    started = time.monotonic()
    problem = None
    try:
        with own_cluster(arguments.kubernetes) if uses_cluster(stages) else nullcontext():
            for step in steps:
                suite.run(step)
    except CommandFailed as error:
        problem = error
    say(summary(suite.outcomes, stages, time.monotonic() - started))
    if problem:
        say(f"the suite's cluster: {problem}")
    return 1 if problem or suite.failed else 0


@dataclass
class Suite:
    """What has run of the stages, and what runs."""

    outcomes: list[Outcome] = field(default_factory=list)
    """In the order of their ends."""
    running: set[subprocess.Popen[str]] = field(default_factory=set)
    stopped: bool = False
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def failed(self) -> bool:
        """Whether a stage has."""
        return any(each.code for each in self.outcomes)

    def run(self, chains: Sequence[Sequence[str]]) -> None:
        """Run chains of stages side by side."""
        shown = [True, *[False] * (len(chains) - 1)]
        with ThreadPoolExecutor(len(chains)) as pool:
            try:
                ends = [pool.submit(self._run, *each) for each in zip(chains, shown, strict=True)]
                # A signal may reach another thread; this one hears of it when it is awake.
                while wait(ends, LOOK_SECONDS).not_done:
                    pass
                for end in ends:
                    end.result()
            except BaseException:
                self._stop()
                raise

    def _run(self, chain: Sequence[str], shown: bool) -> None:
        for stage in chain:
            if self.stopped or self.failed:
                return
            outcome = run(stage, self, shown=shown)
            with self.lock:
                self.outcomes.append(outcome)
                if not shown:
                    say(f"\n== {stage}\n{(LOGS / f'{stage}.log').read_text()}")
            if outcome.code:  # which takes a while: no other stage is to begin meanwhile
                keep_evidence(stage)

    def _stop(self) -> None:
        self.stopped = True
        deadline = time.monotonic() + STOP_SECONDS
        for how in (signal.SIGTERM, signal.SIGKILL):
            with self.lock:
                for process in self.running:
                    end_group(process, how)
            while self.running and time.monotonic() < deadline:
                time.sleep(LOOK_SECONDS)

    def begins(self, process: subprocess.Popen[str]) -> None:
        """Hear of a process that is to end with the suite."""
        with self.lock:
            self.running.add(process)
            if self.stopped:
                end_group(process, signal.SIGTERM)

    def ended(self, process: subprocess.Popen[str]) -> None:
        """Hear that it has ended."""
        with self.lock:
            self.running.discard(process)


def run(stage: str, suite: Suite, *, shown: bool) -> Outcome:
    """Run one target of the Makefile; keep what it prints, and show it now or later."""
    say(f"\n== {stage}" if shown else f"\n== {stage} begins beside it")
    started = time.monotonic()
    closing = ""
    command = ["make", "--silent", "--no-print-directory", stage]
    # A stage is no part of the `make` that started the suite: its job server is not the stage's.
    environment = {name: value for name, value in os.environ.items() if name not in MAKE_VARIABLES}
    environment["PYTHONUNBUFFERED"] = "1"
    if stage in CLUSTER_STAGES:
        environment[CLUSTER_VARIABLE] = CLUSTER
    with (LOGS / f"{stage}.log").open("w") as log, process_group(command, environment) as process:
        suite.begins(process)
        for line in process.stdout or ():
            if shown:
                sys.stdout.write(line)
                sys.stdout.flush()
            log.write(line)
            log.flush()  # who waits for what is not shown looks there
            if line.strip() and not line.startswith("make: ***"):
                closing = line.strip()
        code = process.wait()
        suite.ended(process)
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
                end_group(process, signal.SIGTERM)
                try:
                    process.communicate(timeout=STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    end_group(process, signal.SIGKILL)


def end_group(process: subprocess.Popen[str], how: signal.Signals) -> None:
    """Send a signal to a process that leads a group, and to all of the group."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, how)


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
    ended = {outcome.stage for outcome in outcomes}
    lines += [f"  {'not run':8}{stage}" for stage in stages if stage not in ended]
    passed = len(outcomes) == len(stages) and not any(outcome.code for outcome in outcomes)
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
