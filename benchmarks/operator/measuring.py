"""What the measurements read: processes, the API server's audit log, and watches of their own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, quantiles
from typing import Any, NamedTuple

import httpx

from e2e.cluster.apiserver import ApiServer
from memorybank_operator.kube import kinds
from memorybank_operator.kube.connection import from_kubeconfig

NAMESPACE = "bench"
DEADLINE = 1800.0
ANSWER_SECONDS = 60.0
"""An operator that begins with thousands of banks on a busy machine has other things to do."""
WRITES = {"create", "update", "patch", "delete", "deletecollection"}
MEBIBYTE = 2**20


class Process:
    """What a process has used so far."""

    def __init__(self, pid: int) -> None:
        self._folder = Path("/proc") / str(pid)

    def memory(self) -> float:
        """Resident memory, MiB."""
        pages = int((self._folder / "statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE

    def cpu(self) -> float:
        """Seconds of CPU time, user and system."""
        # After the name, which is in brackets and may hold spaces.
        values = (self._folder / "stat").read_text().rpartition(")")[2].split()
        return (int(values[11]) + int(values[12])) / os.sysconf("SC_CLK_TCK")


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
                # The rest of an event is not worth the time that reading it takes.
                if not line.startswith('{"type":"ADDED"'):
                    continue
                now = time.perf_counter()
                with self.changed:
                    self.seen[json.loads(line)["object"]["metadata"]["name"]] = now
                    self.changed.notify_all()

    def wait(self, name: str, *, after: float) -> float:
        """Return the seconds from `after` to the object's next appearance."""
        with self.changed:
            if not self.changed.wait_for(lambda: self.seen.get(name, 0) > after, DEADLINE):
                raise TimeoutError(f"{name} did not appear within {DEADLINE:g} s")
            return self.seen[name] - after


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


class Write(NamedTuple):
    """A write of an operator."""

    what: str
    """Verb and resource."""
    name: str
    """Of the object; empty when the server chose it."""


class Audit:
    """What an operator wrote, by the API server's audit log: counted from where one looks on."""

    def __init__(self, server: ApiServer, agent: str) -> None:
        self._agent = f'"userAgent":"{agent}'.encode()
        self._log = server.audit_log
        self._position = self._log.stat().st_size

    def writes(self) -> list[Write]:
        """Return the writes since the last time."""
        found = []
        with self._log.open("rb") as log:
            if self._log.stat().st_size < self._position:  # the API server began a new file
                self._position = 0
            log.seek(self._position)
            for line in log:
                if not line.endswith(b"\n"):
                    break
                self._position += len(line)
                if self._agent not in line:
                    continue
                event = json.loads(line)
                if event["verb"] in WRITES:
                    of = event["objectRef"]
                    found.append(Write(f"{event['verb']} {of['resource']}", of.get("name", "")))
        return found


class Counters:
    """The operator's own metrics."""

    def __init__(self, port: int) -> None:
        self._url = f"http://127.0.0.1:{port}/metrics"

    def value(self, name: str) -> float:
        """Return a metric; 0 while there is none of that name and labels."""
        text = httpx.get(self._url, trust_env=False, timeout=ANSWER_SECONDS).text
        found = re.search(rf"^{re.escape(name)} (\S+)$", text, re.M)
        return float(found[1]) if found else 0.0

    def until(self, name: str, least: float) -> None:
        """Wait until a metric is as large as this."""
        deadline = time.monotonic() + DEADLINE
        while self.value(name) < least:
            if time.monotonic() > deadline:
                raise TimeoutError(f"{name} is {self.value(name):g} and not {least:g}")
            time.sleep(0.1)


def spread(seconds: list[float]) -> str:
    """Say median and 99th percentile."""
    p99 = quantiles(seconds, n=100, method="inclusive")[-1]
    return f"p50 {median(seconds) * 1000:.0f} ms, p99 {p99 * 1000:.0f} ms"


def import_memory(python: str) -> float:
    """Resident memory of an interpreter that has imported the operator and done nothing, MiB."""
    code = "import memorybank_operator.__main__; print(open('/proc/self/statm').read().split()[1])"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return int(done.stdout) * os.sysconf("SC_PAGE_SIZE") / MEBIBYTE


@contextmanager
def client(server: ApiServer) -> Iterator[httpx.Client]:
    """Connect with full rights."""
    connection = from_kubeconfig(server.kubeconfig)
    # A watch may be silent for as long as nothing happens.
    timeout = httpx.Timeout(60, read=DEADLINE)
    with httpx.Client(
        base_url=connection.server, verify=connection.ssl, trust_env=False, timeout=timeout
    ) as http:
        yield http


def post(http: httpx.Client, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """Create an object; return it."""
    response = http.post(path, json=body)
    if response.is_error:
        raise RuntimeError(f"POST {path}: {response.text}")
    made: dict[str, Any] = response.json()
    return made
