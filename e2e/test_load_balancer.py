"""A bank at an address of a load balancer. The controller, which writes the address into the status
of a Service, is played by the test; who passes packets on is the cluster's own network.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from e2e.bank import Bank
from e2e.namespaces import restricted_namespace
from e2e.neighbours import Neighbour, pod
from e2e.stack import IMAGES, Stack

NAME = "lb.example.org"
ADDRESSES = (f"203.0.113.{number}" for number in range(1, 255))
"""One for each test: what another one left behind may be there for a moment."""
HTTP, METRICS, OUTSIDE = 8080, 9090, 80
FACT = "The load balancer is called Atlas."
ASK = """
import json, sys, urllib.error, urllib.request
address, host, key = sys.argv[1:]
body = json.dumps({"query": "what is the load balancer called"}).encode()
headers = {"Host": host, "Authorization": f"Bearer {key}", "Content-Type": "application/json"}
request = urllib.request.Request(f"http://{address}/v1/search", body, headers)
try:
    with urllib.request.urlopen(request, timeout=10) as answer:
        found = json.load(answer)["results"]
    print(json.dumps([each["memory"]["content"] for each in found]))
except urllib.error.HTTPError as error:
    print(error.code)
"""


@dataclass(frozen=True)
class Scene:
    """A bank, a client that the load balancer is for, and one that it is not for."""

    bank: Bank
    client: Neighbour
    stranger: Neighbour
    address: str
    """That of the load balancer."""

    def expose(self, **service: Any) -> None:
        """Ask for a load balancer."""
        self.bank.apply(expose={"service": {"type": "LoadBalancer"} | service})

    def give(self, *ingress: dict[str, str]) -> None:
        """Write into the Service's status where it is reached, as its controller does."""
        status = {"status": {"loadBalancer": {"ingress": list(ingress)}}}
        self.bank.stack.kubectl(
            "-n", self.bank.namespace, "patch", "service", f"{self.bank.name}-external",
            "--subresource=status", "--type=merge", "--patch", json.dumps(status),
        )  # fmt: skip

    def answer(self, host: str) -> Any:
        """Ask the bank by the address, under a host name; return what is found, or the code."""
        return json.loads(self.client.python(ASK, self.address, host, self.bank.key()))

    def wait_url(self, url: str) -> None:
        """Wait until the bank is ready and says that it is reached there."""
        self.bank.stack.wait(
            f"the URL {url}",
            lambda: self.bank.is_ready() and (self.bank.get() or {})["status"]["url"] == url,
            describe=lambda: (self.bank.get() or {}).get("status"),
        )

    def wait_connections(self, client: str, stranger: str) -> None:
        """Wait until this is what both meet at the address."""
        self.bank.stack.wait(
            f"connections {client}, {stranger}",
            lambda: self.connections() == [client, stranger],
            describe=self.connections,
        )

    def connections(self) -> list[str]:
        """Return what both meet at the address."""
        both = (self.client, self.stranger)
        return [met for each in both for met in each.connects((self.address, OUTSIDE))]


@pytest.fixture
def scene(stack: Stack) -> Iterator[Scene]:
    with restricted_namespace(stack, "load balancer") as name:
        bank = Bank(stack, name, "agents")
        both = [Neighbour(stack, name, each) for each in ("client", "stranger")]
        image = f"{IMAGES[0]}:{stack.tag}"
        stack.apply(bank.manifest(), *(pod(name, each.name, image, {}) for each in both))
        for each in both:
            stack.kubectl(
                "-n", name, "wait", f"pod/{each.name}", "--for=condition=Ready", "--timeout=300s"
            )
        bank.wait_ready()
        bank.remember(FACT)
        client, stranger = both
        yield Scene(bank, client, stranger, next(ADDRESSES))


def test_a_bank_is_reached_at_the_address_that_its_load_balancer_is_given(scene: Scene) -> None:
    bank = scene.bank
    [before] = bank.pods()
    bank.apply_example("balanced")
    told = bank.wait_not_ready("LoadBalancerPending")["message"]
    assert "Service agents-external has no address yet" in told
    assert bank.recall("what is the load balancer called") == [FACT], "who is inside is served"

    scene.give({"hostname": NAME}, {"ip": scene.address})
    scene.wait_url(f"http://{NAME}")
    assert scene.answer(NAME) == scene.answer(scene.address) == [FACT]
    assert scene.answer("evil.example") == 421
    service = bank.child("service", "-external") or {}
    assert [each["port"] for each in service["spec"]["ports"]] == [OUTSIDE]
    # Nothing but REST and MCP is there, while both are at the address within.
    ports = [(scene.address, each) for each in (HTTP, METRICS)]
    assert "open" not in scene.client.connects(*ports)
    within = f"{bank.name}.{bank.namespace}.svc"
    assert scene.client.connects((within, HTTP), (within, METRICS)) == ["open"] * 2
    secret = (bank.child("secret", "-key") or {})["data"]
    assert base64.b64decode(secret["uri"]).decode() == f"http://{within}:{HTTP}"

    scene.give({"ip": scene.address})
    scene.wait_url(f"http://{scene.address}")
    bank.stack.wait("the name to be given up", lambda: scene.answer(NAME) == 421)
    assert scene.answer(scene.address) == [FACT]

    bank.apply(expose={"service": {"type": "ClusterIP"}})
    scene.wait_url(f"http://{within}:{HTTP}")
    bank.stack.wait("the Service gone", lambda: bank.child("service", "-external") is None)
    bank.stack.wait("nobody at the address", lambda: "open" not in scene.connections())
    [after] = bank.pods()
    assert after["metadata"]["uid"] == before["metadata"]["uid"], "no pod was replaced for it"


def test_a_load_balancer_lets_in_whom_the_spec_names_also_through_a_fence(scene: Scene) -> None:
    bank, own = scene.bank, f"{scene.client.address()}/32"
    scene.expose()
    scene.bank.stack.wait("the Service", lambda: bank.child("service", "-external"))
    scene.give({"ip": scene.address})
    scene.wait_url(f"http://{scene.address}")
    scene.wait_connections("open", "open")

    scene.expose(loadBalancerSourceRanges=[own])
    scene.wait_url(f"http://{scene.address}")
    scene.wait_connections("open", "blocked")

    fence = {"enabled": True}
    ranges = {"type": "LoadBalancer", "loadBalancerSourceRanges": [own]}
    bank.apply(networkPolicy=fence, expose={"service": {"type": "LoadBalancer"}})
    scene.wait_url(f"http://{scene.address}")
    scene.wait_connections("blocked", "blocked")
    bank.apply(networkPolicy=fence, expose={"service": ranges})
    scene.wait_url(f"http://{scene.address}")
    scene.wait_connections("open", "blocked")
    assert scene.answer(scene.address) == [FACT]
