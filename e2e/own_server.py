"""A server that a bank has of its own: what every such server has to bear, whichever it is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from e2e.bank import Bank, timed
from e2e.neighbours import Neighbour, pod
from e2e.processes import frozen
from e2e.stack import IMAGES

TOLD_SECONDS = 60
"""The goal is 30, of a machine that has nothing else to do."""


@dataclass(frozen=True)
class OwnServer:
    """The server of one bank."""

    bank: Bank
    name: str
    """Of its StatefulSet, Service and NetworkPolicy."""
    port: int

    @property
    def claim(self) -> str:
        """Name of the claim of its volume."""
        return f"data-{self.name}-0"

    def uid(self, kind: str, name: str) -> str:
        """Uid of an object in the bank's namespace, empty while there is none."""
        found = self.bank.stack.get(kind, name, self.bank.namespace) or {}
        return str(found.get("metadata", {}).get("uid", ""))

    def banks_pod(self) -> dict[str, Any]:
        """The pod of the bank itself."""
        [own] = [each for each in self.bank.pods() if self.name not in each["metadata"]["name"]]
        return own

    def connections(self) -> tuple[list[str], list[str]]:
        """Once another pod is kept from it by its name: what comes of connections by the bank's own
        pod, and by the other one to its address.
        """
        stack, namespace = self.bank.stack, self.bank.namespace
        stack.apply(pod(namespace, "curious", f"{IMAGES[0]}:{stack.tag}", {"role": "agent"}))
        stack.kubectl(
            "-n", namespace, "wait", "--for=condition=Ready", "pod/curious", "--timeout=120s"
        )
        server = (f"{self.name}-0.{self.name}.{namespace}.svc", self.port)
        curious = Neighbour(stack, namespace, "curious")
        mine = Neighbour(stack, namespace, self.banks_pod()["metadata"]["name"])
        stack.wait(
            "the fence", lambda: curious.connects(server) == ["blocked"],
            describe=lambda: curious.connects(server),
        )  # fmt: skip
        target = (Neighbour(stack, namespace, f"{self.name}-0").address(), self.port)
        return mine.connects(server), curious.connects(target)

    def lose_volume(self) -> None:
        """Delete its volume, which goes when the pod that uses it does; return when it has another
        one.
        """
        stack, namespace = self.bank.stack, self.bank.namespace
        before = self.uid("pvc", self.claim)
        stack.kubectl("-n", namespace, "delete", "pvc", self.claim, "--wait=false")
        stack.kubectl("-n", namespace, "delete", "pod", f"{self.name}-0")
        stack.wait(
            "another volume",
            lambda: self.uid("pvc", self.claim) not in ("", before),
            describe=lambda: stack.kubectl("-n", namespace, "get", "pvc,pod", check=False),
        )

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Have it answer nothing while the block runs."""
        with frozen(self.uid("pod", f"{self.name}-0")):
            yield

    def wait_degraded(self, reason: str, seconds: float = 180) -> float:
        """Wait until the bank says that it serves without it; return how many seconds it took."""
        with timed() as took:
            self.bank.stack.wait(
                f"Degraded for {reason}",
                lambda: self.bank.condition("Degraded").get("reason") == reason,
                seconds=seconds, describe=lambda: self.bank.condition("Degraded"),
            )  # fmt: skip
        return took[0]

    def wait_gone(self) -> None:
        """Wait until nothing of it is left."""
        objects = [(kind, self.name) for kind in ("statefulset", "service", "networkpolicy")]

        def left() -> list[tuple[str, str]]:
            return [each for each in (*objects, ("pvc", self.claim)) if self.uid(*each)]

        self.bank.stack.wait(f"all of {self.name} gone", lambda: not left(), describe=left)
