"""Who reaches a fenced bank, whom it reaches, and who does not, on the packets' own way."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
import yaml

from e2e.bank import Bank
from e2e.cluster.paths import ROOT
from e2e.namespaces import restricted_namespace
from e2e.neighbours import Neighbour, pod
from e2e.stack import IMAGES, OPERATOR_NAMESPACE, Stack

EXAMPLE = ROOT / "examples/fenced.yaml"
HTTP, METRICS = 8080, 9090
RESOLVE = "import socket, sys; print(socket.gethostbyname(sys.argv[1]))"


@dataclass(frozen=True)
class Ground:
    """The fenced bank of the example and who is around it."""

    bank: Bank
    other: Bank
    """Another bank of the same namespace, without a policy."""
    neighbours: dict[str, Neighbour]

    def pod(self) -> Neighbour:
        """The bank's own pod."""
        [pod] = self.bank.pods()
        return Neighbour(self.bank.stack, self.bank.namespace, pod["metadata"]["name"])

    def picture(self) -> dict[str, list[str]]:
        """Return what each neighbour meets at the bank: http and metrics of the pod, and of the
        Service.
        """
        pod, service = self.pod().address(), f"{self.bank.name}.{self.bank.namespace}.svc"
        targets = [(host, port) for host in (pod, service) for port in (HTTP, METRICS)]
        with ThreadPoolExecutor() as together:
            met = together.map(lambda each: each.connects(*targets), self.neighbours.values())
            return dict(zip(self.neighbours, met, strict=True))

    def wait(self, expected: dict[str, list[str]]) -> None:
        """Wait until the picture is this one: policies are in force a moment after they change."""
        seen: dict[str, list[str]] = {}

        def is_so() -> bool:
            seen.update(self.picture())
            return seen == expected

        self.bank.stack.wait("connections", is_so, describe=lambda: f"{seen}, not {expected}")


@pytest.fixture(scope="module")
def ground(stack: Stack) -> Iterator[Ground]:
    """The example's bank, with the namespaces that it names under names of this test."""
    with ExitStack() as spaces:
        home, ingress, monitoring, away = (
            spaces.enter_context(restricted_namespace(stack, f"fence {name}"))
            for name in ("home", "ingress", "monitoring", "away")
        )
        [manifest] = yaml.safe_load_all(EXAMPLE.read_text())
        names = {"ingress": ingress, "monitoring": monitoring}
        for peer in manifest["spec"]["networkPolicy"]["allowFrom"]:
            if "namespace" in peer:
                peer["namespace"] = names[peer["namespace"]]
        bank = Bank(stack, home, "agents", manifest["spec"])
        other = Bank(stack, home, "other")
        agent, prometheus = {"role": "agent"}, {"app.kubernetes.io/name": "prometheus"}
        around = {
            "an agent of the namespace": (home, "agent", agent),
            "a stranger of the namespace": (home, "stranger", {"role": "stranger"}),
            "an agent of another namespace": (away, "agent", agent),
            "the ingress controller": (ingress, "controller", {"app": "controller"}),
            "prometheus": (monitoring, "prometheus", prometheus),
            "a neighbour of prometheus": (monitoring, "stranger", {"app": "stranger"}),
        }
        image = f"{IMAGES[0]}:{stack.tag}"
        stack.apply(
            bank.manifest(networkPolicy={"enabled": False}), other.manifest(),
            *(pod(space, name, image, labels) for space, name, labels in around.values()),
        )  # fmt: skip
        neighbours = {
            who: Neighbour(stack, space, name) for who, (space, name, _) in around.items()
        }
        for each in neighbours.values():
            stack.kubectl(
                "-n", each.namespace, "wait", f"pod/{each.name}", "--for=condition=Ready",
                "--timeout=300s",
            )  # fmt: skip
        bank.wait_ready()
        other.wait_ready()
        yield Ground(bank, other, neighbours)


OPEN = ["open"] * 4
HTTP_ALONE = ["open", "blocked"] * 2
METRICS_ALONE = ["blocked", "open"] * 2
CLOSED = ["blocked"] * 4
FENCED = {
    "an agent of the namespace": HTTP_ALONE,
    "a stranger of the namespace": CLOSED,
    "an agent of another namespace": CLOSED,
    "the ingress controller": HTTP_ALONE,
    "prometheus": METRICS_ALONE,
    "a neighbour of prometheus": CLOSED,
}
"""What each meets at the bank of the example."""


def test_a_fence_lets_in_whom_it_names_and_nobody_else_and_goes_again(ground: Ground) -> None:
    bank, stack = ground.bank, ground.bank.stack
    everybody = dict.fromkeys(ground.neighbours, OPEN)
    ground.wait(everybody)
    [before] = bank.pods()
    bank.apply()
    bank.wait_ready()
    ground.wait(FENCED)
    [after] = bank.pods()
    assert after["metadata"]["uid"] == before["metadata"]["uid"], "no pod was replaced for it"

    # The operator is let in: what it says now, it proved through the fence.
    stack.kubectl(
        "-n", bank.namespace, "annotate", "--overwrite", "mb", bank.name, "memorybank.dev/resync=in"
    )
    stack.wait(
        "a probe through the fence",
        lambda: (bank.get() or {})["status"].get("resync") == "in" and bank.is_ready(),
        describe=bank.get,
    )
    assert bank.remember("Fences make good neighbours.")
    assert bank.recall("what makes good neighbours") == ["Fences make good neighbours."]

    meets_its_limits(ground)

    bank.apply(networkPolicy={"enabled": False})
    ground.wait(everybody)
    bank.wait_ready()
    assert bank.child("networkpolicy") is None


def meets_its_limits(ground: Ground) -> None:
    """The fenced bank's own pod reaches DNS, and then those whom its spec names."""
    bank, stack = ground.bank, ground.bank.stack
    [operator, *_] = stack.kubectl(
        "-n", OPERATOR_NAMESPACE, "get", "pods", "-o", "jsonpath={.items[*].status.podIP}",
        "--selector=app.kubernetes.io/name=memorybank-operator",
    ).split()  # fmt: skip
    other = f"{ground.other.name}.{bank.namespace}.svc"
    targets = [(other, HTTP), (operator, HTTP), ("kubernetes.default.svc", 443)]
    own = ground.pod()
    assert own.python(RESOLVE, f"{other}.cluster.local")
    assert own.connects(*targets) == ["blocked"] * 3
    # It is nobody's way to the other bank either, which has no fence.
    agent = ground.neighbours["an agent of the namespace"]
    assert agent.connects((other, HTTP)) == ["open"]

    # A service that the spec names is let through, in the new pod that uses it.
    bank.apply(env=[{"name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": f"http://{other}:8080"}])
    bank.wait_ready()
    stack.wait(
        "the way to a service that the spec names",
        lambda: ground.pod().connects(*targets) == ["open", "blocked", "blocked"],
        describe=lambda: ground.pod().connects(*targets),
    )
    bank.apply(env=[])
    bank.wait_ready()
