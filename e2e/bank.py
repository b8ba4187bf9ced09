"""A MemoryBank as its users see it: kubectl on one side, URL and key on the other."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx

from e2e.cluster.paths import ROOT
from e2e.stack import Stack

READY_SECONDS = 300
"""Far above what a bank takes: a loaded machine must not make tests flaky."""


@dataclass(frozen=True)
class Bank:
    """One bank on a cluster, existing or not."""

    stack: Stack
    namespace: str
    name: str
    spec: dict[str, Any] = field(default_factory=dict)

    def manifest(self, **changes: Any) -> dict[str, Any]:
        """The resource; `changes` replace top-level fields of the spec."""
        return {
            "apiVersion": "memorybank.dev/v1alpha1",
            "kind": "MemoryBank",
            "metadata": {"name": self.name, "namespace": self.namespace},
            "spec": self.spec | changes,
        }

    def apply(self, **changes: Any) -> None:
        """Create it, or change it to this spec."""
        self.stack.apply(self.manifest(**changes))

    def apply_example(self, name: str) -> None:
        """Apply one of examples/, which is of a bank of this name."""
        file = ROOT / f"examples/{name}.yaml"
        self.stack.kubectl("-n", self.namespace, "apply", "-f", str(file))

    def get(self) -> dict[str, Any] | None:
        """The resource as it is now."""
        return self.stack.get("memorybank", self.name, self.namespace)

    def child(self, kind: str, suffix: str = "") -> dict[str, Any] | None:
        """One of its objects."""
        return self.stack.get(kind, self.name + suffix, self.namespace)

    def condition(self, kind: str = "Ready") -> dict[str, Any]:
        """One condition of its status, {} when it has none of that type."""
        status = (self.get() or {}).get("status", {})
        return next((c for c in status.get("conditions", []) if c["type"] == kind), {})

    def is_ready(self) -> bool:
        """True when Ready holds for the newest generation."""
        bank = self.get()
        ready = self.condition()
        return (
            bank is not None
            and ready.get("status") == "True"
            and ready.get("observedGeneration") == bank["metadata"]["generation"]
        )

    def wait_ready(self, seconds: float = READY_SECONDS) -> None:
        """Wait for Ready of the newest generation."""
        self.stack.wait(
            f"{self.namespace}/{self.name} Ready",
            self.is_ready,
            seconds=seconds,
            describe=self.condition,
        )

    def wait_not_ready(self, reason: str | None = None, seconds: float = 180) -> dict[str, Any]:
        """Wait for Ready=False (with that reason, if given); return the condition."""

        def probe() -> dict[str, Any] | None:
            ready = self.condition()
            right = ready.get("status") == "False" and reason in (None, ready.get("reason"))
            return ready if right else None

        found = self.stack.wait(
            f"{self.name} not Ready ({reason})", probe, seconds=seconds, describe=self.condition
        )
        return found or {}

    def key(self) -> str:
        """The key from its Secret, as an agent reads it."""
        secret = self.child("secret", "-key")
        if secret is None:
            raise LookupError(f"Secret {self.name}-key does not exist")
        return base64.b64decode(secret["data"]["token"]).decode()

    @property
    def host(self) -> str:
        """Host and port by which agents reach it."""
        return f"{self.name}.{self.namespace}.svc:8080"

    @contextmanager
    def http(self, key: str | None = None, *, host: str | None = None) -> Iterator[httpx.Client]:
        """An HTTP client through the Service; without `key`, the one from the Secret."""
        token = self.key() if key is None else key
        headers = {"Host": host or self.host, "Authorization": f"Bearer {token}"}
        with (
            self.stack.port_forward(f"service/{self.name}", 8080, self.namespace) as port,
            httpx.Client(
                base_url=f"http://127.0.0.1:{port}", headers=headers, timeout=30, trust_env=False
            ) as client,
        ):
            yield client

    def remember(self, content: str, **fields: Any) -> str:
        """Store a memory; return its id."""
        with self.http() as client:
            answer = client.post("/v1/memories", json={"content": content} | fields)
            answer.raise_for_status()
            return str(answer.json()["id"])

    def recall(self, query: str, *, key: str | None = None, **fields: Any) -> list[str]:
        """Search; return the contents found, best first."""
        with self.http(key) as client:
            answer = client.post("/v1/search", json={"query": query} | fields)
            answer.raise_for_status()
            return [str(result["memory"]["content"]) for result in answer.json()["results"]]

    def pods(self) -> list[dict[str, Any]]:
        """Its pods that are not on their way out; those that work on its backups are none."""
        own = f"app.kubernetes.io/name=memorybank,memorybank.dev/bank={self.name}"
        text = self.stack.kubectl(
            "-n", self.namespace, "get", "pods", "-l", own, "-o", "json",
        )  # fmt: skip
        pods = json.loads(text)["items"]
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def hurry_kubelet(self) -> bool:
        """Have the kubelet look at the pods' Secrets and ConfigMaps, as it does about once a minute
        by itself; always true.
        """
        self.stack.kubectl(
            "-n", self.namespace, "annotate", "pods", "-l", f"memorybank.dev/bank={self.name}",
            "--overwrite", f"example.org/look={time.monotonic_ns()}", check=False,
        )  # fmt: skip
        return True

    def events(self) -> list[tuple[str, str]]:
        """Reason and message of each event about it."""
        text = self.stack.kubectl(
            "-n", self.namespace, "get", "events",
            "--field-selector", f"involvedObject.kind=MemoryBank,involvedObject.name={self.name}",
            "-o", "json",
        )  # fmt: skip
        return [(event["reason"], event["message"]) for event in json.loads(text)["items"]]

    def wait_told(self, *reasons: str) -> None:
        """Wait for events of these reasons: they are made a moment after the status says it."""
        self.stack.wait(
            f"events {', '.join(reasons)}",
            lambda: set(reasons) <= {reason for reason, _ in self.events()},
            describe=self.events,
        )


@contextmanager
def timed() -> Iterator[list[float]]:
    """Measure a block; the list gets one element, the seconds, at its end."""
    measured: list[float] = []
    started = time.monotonic()
    yield measured
    measured.append(time.monotonic() - started)
