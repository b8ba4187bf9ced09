"""A bank behind a real Ingress controller: clients outside get to it by its name, whose certificate
they verify, and by no other name.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from e2e.bank import Bank
from e2e.cluster.pki import Authority
from e2e.namespaces import restricted_namespace
from e2e.neighbours import Neighbour, pod
from e2e.stack import IMAGES, Stack
from e2e.traefik import CLASS, SMALL_BODIES, SMALL_BODY, Traefik, traefik

pytestmark = pytest.mark.full

FACT = "The ferry to the island leaves at seven."
QUESTION = "When does the boat depart?"
MAX_BODY = 100_000
CERTIFICATE = "memory-tls"
PYTHON = "/opt/memorybank/bin/python"
"""That of the service, which has the official MCP client."""
VISIT = """
import asyncio, json, ssl, sys
import httpx2
from mcp import Client
from mcp.client.streamable_http import streamable_http_client
url, key, authority, question = sys.argv[1:]
trusted = ssl.create_default_context(cadata=authority)
async def visit():
    headers = {"Authorization": f"Bearer {key}"}
    async with httpx2.AsyncClient(
        verify=trusted, headers=headers, trust_env=False, timeout=30
    ) as http:
        found = await http.post(f"{url}/v1/search", json={"query": question})
        if found.status_code != 200:
            return f"{found.status_code} {found.text}"
        async with Client(streamable_http_client(f"{url}/mcp", http_client=http)) as memory:
            recalled = await memory.call_tool("recall", {"query": question})
    def contents(answer):
        return [each["memory"]["content"] for each in answer["results"]]
    return {
        "searched": contents(found.json()),
        "headers": dict(found.headers),
        "recalled": contents(recalled.structured_content),
    }
try:
    print(json.dumps(asyncio.run(visit())))
except httpx2.ConnectError as error:
    print(json.dumps(str(error)))
"""
SEARCH = """
import httpx2, sys
url, key, question, size = sys.argv[1:]
headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
body = question.ljust(int(size))
answer = httpx2.post(f"{url}/v1/search", content=body, headers=headers, trust_env=False, timeout=30)
print(answer.status_code)
"""


@dataclass(frozen=True)
class Scene:
    """A bank, a controller, and a client that knows the names which lead to it."""

    bank: Bank
    controller: Traefik
    client: Neighbour

    def expose(self, host: str, **fields: Any) -> dict[str, Any]:
        """Return what a bank's spec says to be found at a host."""
        return {"ingress": {"className": CLASS, "host": host, **fields}}

    def url(self) -> str:
        """Return the URL that the bank says of itself."""
        return str((self.bank.get() or {})["status"]["url"])

    def visit(self, authority: Authority) -> Any:
        """Use the bank at that URL, and trust this authority alone; return what came of it, or why
        nothing did.
        """
        trusted = authority.pair.certificate.decode()
        said = self.client.python(
            VISIT, self.url(), self.bank.key(), trusted, QUESTION, interpreter=PYTHON
        )
        return json.loads(said)

    def wait_trusted(self, authority: Authority) -> dict[str, Any]:
        """Wait until the controller presents a certificate of this authority; return the visit."""
        found = self.bank.stack.wait(
            "a certificate that is trusted",
            lambda: isinstance(visit := self.visit(authority), dict) and visit,
            describe=lambda: self.visit(authority),
        )
        return dict(found or {})

    def put_certificate(self, authority: Authority, host: str) -> None:
        """Have this authority issue the certificate of the host."""
        issued = authority.issue(host, hosts=[host])
        entries = {"tls.crt": issued.certificate.decode(), "tls.key": issued.key.decode()}
        self.bank.stack.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "type": "kubernetes.io/tls",
                "metadata": {"name": CERTIFICATE, "namespace": self.bank.namespace},
                "stringData": entries,
            }
        )

    def code(self, host: str, size: int = 0) -> int:
        """Return what is answered to a search of at least so many bytes at a host, by whomever."""
        question = json.dumps({"query": QUESTION})
        said = self.client.python(
            SEARCH, f"http://{host}", self.bank.key(), question, str(size), interpreter=PYTHON
        )
        return int(said)

    def wait_code(self, host: str, code: int, size: int = 0) -> None:
        """Wait until that is answered: the controller hears of changes by watches of its own."""
        seen: list[int] = []

        def is_so() -> bool:
            seen.append(self.code(host, size))
            return seen[-1] == code

        self.bank.stack.wait(f"{code} at {host}", is_so, describe=lambda: seen[-1])


@pytest.fixture(scope="module")
def scene(stack: Stack) -> Iterator[Scene]:
    with traefik(stack) as controller, restricted_namespace(stack, "exposed") as namespace:
        bank = Bank(stack, namespace, "agents", {"limits": {"maxBodyBytes": MAX_BODY}})
        client = pod(namespace, "client", f"{IMAGES[0]}:{stack.tag}", {"role": "client"})
        stack.apply(bank.manifest(), client)
        stack.kubectl(
            "-n", namespace, "wait", "pod/client", "--for=condition=Ready", "--timeout=300s"
        )
        bank.wait_ready()
        bank.remember(FACT)
        yield Scene(bank, controller, Neighbour(stack, namespace, "client"))


def test_clients_outside_reach_the_bank_by_its_name_and_verify_its_certificate(
    scene: Scene,
) -> None:
    bank, authority = scene.bank, Authority("authority of the platform")
    host, _ = scene.controller.names
    [before] = bank.pods()
    bank.apply(expose=scene.expose(host, tls={"secretName": CERTIFICATE}))
    bank.wait_not_ready("TlsSecretNotFound")
    scene.put_certificate(authority, host)
    bank.wait_ready()
    assert scene.url() == f"https://{host}"

    visit = scene.wait_trusted(authority)
    assert visit["searched"] == visit["recalled"] == [FACT]
    headers = visit["headers"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["cache-control"] == "no-store"

    # Another authority's certificate is not taken, and one that follows is, when it is there.
    other = Authority("another authority")
    assert "CERTIFICATE_VERIFY_FAILED" in scene.visit(other)
    scene.put_certificate(other, host)
    assert scene.wait_trusted(other)["recalled"] == [FACT]
    [after] = bank.pods()
    assert after["metadata"]["uid"] == before["metadata"]["uid"], "no pod was replaced for it"


def test_no_other_name_leads_to_the_bank(scene: Scene) -> None:
    bank = scene.bank
    host, other = scene.controller.names
    bank.apply(expose=scene.expose(host))
    bank.wait_ready()
    assert scene.url() == f"http://{host}"
    scene.wait_code(host, 200)
    assert scene.code(other) == 404, "nothing is at this name"

    # Somebody leads another name to the bank's Service: the bank itself does not answer to it.
    ingress = bank.child("ingress") or {}
    [rule] = ingress["spec"]["rules"]
    bank.stack.apply(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {"name": "astray", "namespace": bank.namespace},
            "spec": ingress["spec"] | {"rules": [rule | {"host": other}]},
        }
    )
    scene.wait_code(other, 421)

    # The name follows the spec.
    bank.apply(expose=scene.expose(other))
    bank.wait_ready()
    scene.wait_code(other, 200)
    scene.wait_code(host, 404)
    bank.apply()
    bank.wait_ready()
    scene.wait_code(other, 421)


def test_the_controller_does_what_annotations_of_the_spec_ask_of_it(scene: Scene) -> None:
    bank = scene.bank
    host, _ = scene.controller.names
    bank.apply(expose=scene.expose(host))
    bank.wait_ready()
    scene.wait_code(host, 200)
    assert scene.code(host, 2 * SMALL_BODY) == 200
    assert scene.code(host, 2 * MAX_BODY) == 413, "a body is as large as the bank lets it be"
    bank.apply(expose=scene.expose(host, annotations=SMALL_BODIES))
    bank.wait_ready()
    scene.wait_code(host, 413, 2 * SMALL_BODY)
    assert scene.code(host) == 200
    bank.apply(expose=scene.expose(host))
    bank.wait_ready()
    scene.wait_code(host, 200, 2 * SMALL_BODY)


def test_a_fenced_bank_is_reached_through_the_controller_that_it_lets_in_alone(
    scene: Scene,
) -> None:
    bank = scene.bank
    host, _ = scene.controller.names
    bank.apply(expose=scene.expose(host), networkPolicy={"enabled": True})
    bank.wait_ready()
    scene.wait_code(host, 504)
    peer = {"namespace": scene.controller.namespace}
    fence = {"enabled": True, "allowFrom": [peer]}
    bank.apply(expose=scene.expose(host), networkPolicy=fence)
    bank.wait_ready()
    scene.wait_code(host, 200)
