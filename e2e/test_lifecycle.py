"""A bank from apply to deletion, as a platform team sees it."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from e2e.bank import Bank, timed
from e2e.cluster.pki import Authority
from e2e.definitions import http_route_crd
from e2e.namespaces import restricted_namespace
from e2e.stack import CommandFailed, Stack

FACT = "The billing service keeps its invoices for ten years."
QUESTION = "How long do we have to store bills?"
OUTSIDE = "memory.example.org"
"""The host of the example of a bank that is exposed."""


def test_kubectl_get_shows_what_a_person_needs(shared_bank: Bank) -> None:
    table = shared_bank.stack.kubectl("-n", shared_bank.namespace, "get", "mb")
    header, row = table.strip().splitlines()
    assert header.split() == ["NAME", "READY", "REASON", "VERSION", "URL", "AGE"]
    assert row.split()[:2] == ["agents", "True"]
    assert f"http://{shared_bank.host}" in row


def test_kubectl_wait_and_explain_are_useful(shared_bank: Bank) -> None:
    waited = shared_bank.stack.kubectl(
        "-n", shared_bank.namespace, "wait", "--for=condition=Ready", "mb/agents", "--timeout=60s"
    )
    assert "condition met" in waited
    explained = shared_bank.stack.kubectl("explain", "mb.spec", "--recursive")
    assert "deletionPolicy" in explained
    described = shared_bank.stack.kubectl("explain", "mb.spec.storage.volume.size")
    assert "DESCRIPTION" in described
    assert "<empty>" not in described


def test_a_bank_without_any_spec_works(stack: Stack, namespace: str) -> None:
    bank = Bank(stack, namespace, "plain")
    stack.apply({key: value for key, value in bank.manifest().items() if key != "spec"})
    bank.wait_ready()
    bank.remember(FACT)
    assert bank.recall(QUESTION) == [FACT]


def test_an_agent_in_a_pod_uses_the_mounted_secret_alone(bank: Bank) -> None:
    stack = bank.stack
    job = stack.kubectl("kustomize", "examples/agent")
    stack.kubectl("-n", bank.namespace, "apply", "-f", "-", stdin=job)
    stack.kubectl(
        "-n", bank.namespace, "wait", "--for=condition=Complete", "job/example-agent",
        "--timeout=180s",
    )  # fmt: skip
    log = stack.kubectl("-n", bank.namespace, "logs", "job/example-agent")
    assert "recalled: Deploys to production are frozen every Friday afternoon." in log


def test_deleting_a_bank_keeps_the_volume_and_recreating_it_finds_the_memories(bank: Bank) -> None:
    bank.remember(FACT)
    old_key = bank.key()
    bank.stack.kubectl("-n", bank.namespace, "delete", "mb", "agents", "--timeout=180s")
    kinds = "deployment,service,configmap,secret,serviceaccount,pod"
    bank.stack.wait(
        "the bank's objects gone",
        lambda: (
            bank.stack.kubectl(
                "-n", bank.namespace, "get", kinds, "-l", "memorybank.dev/bank=agents", "-o", "name"
            ).strip()
            == ""
        ),
    )
    assert bank.child("pvc", "-data") is not None

    bank.apply()
    bank.wait_ready()
    assert bank.recall(QUESTION) == [FACT]
    with bank.http(old_key) as client:
        assert client.get("/v1/memories").status_code == 401
    bank.wait_told("VolumeAdopted")


def test_deletion_policy_delete_frees_the_volume(stack: Stack, namespace: str) -> None:
    bank = Bank(stack, namespace, "agents")
    bank.apply_example("disposable")
    bank.wait_ready()
    volume = (bank.child("pvc", "-data") or {})["spec"]["volumeName"]
    stack.kubectl("-n", namespace, "delete", "mb", bank.name, "--timeout=180s")
    stack.wait("the claim gone", lambda: bank.child("pvc", "-data") is None)
    listed = ("get", "pv", volume, "--ignore-not-found", "-o", "name")
    stack.wait("the volume gone", lambda: stack.kubectl(*listed) == "")


def test_scaling_to_zero_and_back_keeps_memories(bank: Bank) -> None:
    bank.remember(FACT)
    bank.stack.kubectl("-n", bank.namespace, "scale", "mb/agents", "--replicas=0")
    bank.wait_not_ready("ScaledToZero")
    bank.stack.wait("no pod", lambda: not bank.pods())
    bank.stack.kubectl("-n", bank.namespace, "scale", "mb/agents", "--replicas=1")
    bank.wait_ready()
    assert bank.recall(QUESTION) == [FACT]


@pytest.fixture(scope="module")
def living_bank(stack: Stack) -> Iterator[Bank]:
    """A Ready bank that the tests which use it change and leave Ready, with one memory."""
    with restricted_namespace(stack, "life") as name:
        bank = Bank(stack, name, "agents")
        bank.apply_example("memorybank")
        bank.wait_ready()
        bank.remember(FACT)
        yield bank


def uids(bank: Bank) -> list[str]:
    return [pod["metadata"]["uid"] for pod in bank.pods()]


def test_a_hibernated_bank_wakes_with_memories_key_and_url(
    living_bank: Bank, record_property: Callable[[str, object], None]
) -> None:
    bank = living_bank
    key, url = bank.key(), (bank.get() or {})["status"]["url"]
    bank.apply_example("hibernated")
    bank.wait_not_ready("Hibernated")
    bank.stack.wait("no pod", lambda: not bank.pods())
    with timed() as woken:
        bank.apply_example("memorybank")
        bank.wait_ready()
    record_property("seconds to wake", woken[0])
    assert (bank.key(), (bank.get() or {})["status"]["url"]) == (key, url)
    assert bank.recall(QUESTION) == [FACT]


def test_a_paused_bank_serves_and_is_left_alone(living_bank: Bank) -> None:
    bank = living_bank
    bank.apply_example("paused")
    bank.stack.wait("paused", lambda: bank.condition("Paused").get("status") == "True")
    bank.stack.kubectl("-n", bank.namespace, "delete", "configmap", "agents-config")
    # It looks at everything, as it says, and does nothing about it.
    bank.stack.kubectl(
        "-n", bank.namespace, "annotate", "mb", bank.name, "memorybank.dev/resync=while-paused"
    )
    bank.stack.wait(
        "looked at", lambda: (bank.get() or {})["status"].get("resync") == "while-paused"
    )
    assert bank.child("configmap", "-config") is None
    assert bank.recall(QUESTION) == [FACT]
    bank.apply_example("memorybank")
    bank.wait_ready()
    assert bank.child("configmap", "-config") is not None


def test_a_restart_replaces_the_pod_once_and_a_resync_is_echoed(living_bank: Bank) -> None:
    bank = living_bank
    (before,) = uids(bank)
    bank.apply_example("restarted")
    bank.stack.wait("another pod", lambda: uids(bank) not in ([], [before]))
    bank.wait_ready()
    after = uids(bank)
    bank.stack.wait(
        "the re-sync echoed",
        lambda: (bank.get() or {})["status"].get("resync") == "after-the-outage",
    )
    bank.apply_example("restarted")
    assert bank.is_ready(), "the same text does nothing"
    assert uids(bank) == after
    assert bank.recall(QUESTION) == [FACT]


def test_a_bank_has_a_name_outside_for_as_long_as_its_spec_says(living_bank: Bank) -> None:
    """No Ingress controller runs here: what one reads is looked at, and how the service answers to
    the requests that it would forward.
    """
    bank = living_bank
    # What another test asked for, such as a restart, is not taken back by the first change here.
    bank.apply_example("memorybank")
    bank.wait_ready()
    before = uids(bank)
    within = f"http://{bank.host}"
    assert bank.child("ingress") is None
    bank.apply_example("exposed")
    told = bank.wait_not_ready("TlsSecretNotFound")["message"]
    assert "Secret agents-tls does not exist" in told
    bank.stack.apply(certificate(bank, "agents-tls", OUTSIDE))
    bank.wait_ready()

    ingress = bank.child("ingress") or {}
    assert ingress["spec"] == {
        "ingressClassName": "nginx",
        "rules": [
            {
                "host": OUTSIDE,
                "http": {
                    "paths": [
                        {
                            "path": "/",
                            "pathType": "Prefix",
                            "backend": {"service": {"name": "agents", "port": {"name": "http"}}},
                        }
                    ]
                },
            }
        ],
        "tls": [{"hosts": [OUTSIDE], "secretName": "agents-tls"}],
    }
    annotations = ingress["metadata"]["annotations"]
    assert annotations["cert-manager.io/cluster-issuer"] == "letsencrypt"
    status = (bank.get() or {})["status"]
    assert status["url"] == status["endpoints"]["http"] == f"https://{OUTSIDE}"
    assert answers(bank) == {bank.host: 200, OUTSIDE: 200, "evil.example": 421}
    secret = (bank.child("secret", "-key") or {})["data"]
    assert base64.b64decode(secret["uri"]).decode() == within, "who is inside stays inside"

    bank.apply_example("memorybank")
    bank.wait_ready()
    bank.stack.wait("the Ingress gone", lambda: bank.child("ingress") is None)
    assert (bank.get() or {})["status"]["url"] == within
    assert answers(bank) == {bank.host: 200, OUTSIDE: 421, "evil.example": 421}
    assert uids(bank) == before, "no pod was replaced for it"
    assert bank.recall(QUESTION) == [FACT]


def test_a_bank_waits_for_a_gateway_api_and_says_what_a_gateway_says(living_bank: Bank) -> None:
    """No controller of Gateways runs here: what one writes is written by the test."""
    bank, stack = living_bank, living_bank.stack
    bank.apply_example("memorybank")
    bank.wait_ready()
    before = uids(bank)
    definition = http_route_crd()
    bank.apply_example("gateway")
    told = bank.wait_not_ready("GatewayApiNotInstalled")["message"]
    assert "use spec.expose.ingress" in told
    assert bank.recall(QUESTION) == [FACT], "who is inside is served"
    try:
        stack.kubectl("apply", "--server-side", "-f", "-", stdin=json.dumps(definition))
        bank.wait_ready()  # by operators that started anew
        route = bank.child("httproute") or {}
        assert route["spec"]["parentRefs"] == [
            {
                "group": "gateway.networking.k8s.io",
                "kind": "Gateway",
                "name": "public",
                "namespace": "gateways",
                "sectionName": "https",
            }
        ]
        assert route["spec"]["rules"][0]["timeouts"] == {"request": "120s"}
        assert (bank.get() or {})["status"]["url"] == f"https://{OUTSIDE}"
        assert answers(bank) == {bank.host: 200, OUTSIDE: 200, "evil.example": 421}

        answer(bank, route, "False", "NotAllowedByListeners")
        stack.wait(
            "Degraded",
            lambda: bank.condition("Degraded").get("reason") == "RouteRefused",
            describe=lambda: bank.condition("Degraded"),
        )
        assert "NotAllowedByListeners" in bank.condition("Degraded")["message"]
        assert bank.is_ready()
        answer(bank, route, "True", "Accepted")
        stack.wait("no condition Degraded", lambda: not bank.condition("Degraded"))

        bank.apply_example("memorybank")
        bank.wait_ready()
        stack.wait("the HTTPRoute gone", lambda: bank.child("httproute") is None)
    finally:
        bank.apply_example("memorybank")
        stack.kubectl("delete", "crd", definition["metadata"]["name"], "--ignore-not-found")
    bank.wait_ready()
    assert uids(bank) == before, "no pod was replaced for it"
    assert bank.recall(QUESTION) == [FACT]


def answer(bank: Bank, route: dict[str, Any], accepted: str, reason: str) -> None:
    """Write into the route's status what the controller of its Gateway says of it."""
    condition = {
        "type": "Accepted",
        "status": accepted,
        "reason": reason,
        "message": "So says the test.",
        "observedGeneration": route["metadata"]["generation"],
        "lastTransitionTime": route["metadata"]["creationTimestamp"],
    }
    parent = {
        "parentRef": route["spec"]["parentRefs"][0],
        "controllerName": "example.org/gateway",
        "conditions": [condition],
    }
    bank.stack.kubectl(
        "-n", bank.namespace, "patch", "httproute", bank.name, "--subresource=status",
        "--type=merge", "--patch", json.dumps({"status": {"parents": [parent]}}),
    )  # fmt: skip


def certificate(bank: Bank, name: str, host: str) -> dict[str, Any]:
    """The Secret with a certificate for the host, as an issuer makes it."""
    pair = Authority("authority of a test").issue(host, hosts=[host])
    entries = {"tls.crt": pair.certificate.decode(), "tls.key": pair.key.decode()}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "type": "kubernetes.io/tls",
        "metadata": {"name": name, "namespace": bank.namespace},
        "stringData": entries,
    }


def answers(bank: Bank) -> dict[str, int]:
    """Return what the service answers to who asks for each host."""
    found = {}
    for host in (bank.host, OUTSIDE, "evil.example"):
        with bank.http(host=host) as client:
            found[host] = client.get("/v1/memories").status_code
    return found


def test_a_node_keeps_a_bank_that_serves_until_its_spec_lets_it_go(living_bank: Bank) -> None:
    bank = living_bank
    bank.apply_example("memorybank")
    bank.wait_ready()
    before = uids(bank)
    assert bank.child("poddisruptionbudget") is None
    bank.apply_example("undisturbed")
    wait_budget(bank, allowed=0)
    bank.wait_ready()
    with pytest.raises(CommandFailed, match="would violate the pod's disruption budget"):
        evict(bank)
    assert uids(bank) == before

    patch = ("patch", "mb", bank.name, "--type", "merge", "--patch")
    budget = '{"spec": {"podDisruptionBudget": {"maxUnavailable": 1}}}'
    bank.stack.kubectl("-n", bank.namespace, *patch, budget)
    wait_budget(bank, allowed=1)
    bank.wait_ready()
    since = bank.condition()["lastTransitionTime"]
    evict(bank)
    bank.stack.wait("another pod", lambda: uids(bank) not in ([], before))
    bank.stack.wait(
        "Ready by the other pod",
        lambda: bank.is_ready() and bank.condition()["lastTransitionTime"] != since,
        describe=bank.condition,
    )
    assert bank.recall(QUESTION) == [FACT]

    bank.apply_example("memorybank")
    bank.stack.wait("no budget", lambda: bank.child("poddisruptionbudget") is None)
    bank.wait_ready()


def wait_budget(bank: Bank, *, allowed: int) -> None:
    """Wait until the cluster counts by the bank's newest budget, and lets so many pods go."""

    def is_counted() -> bool:
        budget = bank.child("poddisruptionbudget") or {}
        status = budget.get("status", {})
        return (
            budget.get("spec", {}).get("maxUnavailable") == allowed
            and status.get("observedGeneration") == budget["metadata"]["generation"]
            and (status.get("expectedPods"), status.get("disruptionsAllowed")) == (1, allowed)
        )

    bank.stack.wait(
        f"a budget of {allowed}", is_counted, describe=lambda: bank.child("poddisruptionbudget")
    )


def evict(bank: Bank) -> None:
    """Ask for the pod to go, as the drain of its node does."""
    [pod] = bank.pods()
    body = {
        "apiVersion": "policy/v1",
        "kind": "Eviction",
        "metadata": {"name": pod["metadata"]["name"], "namespace": bank.namespace},
    }
    path = f"/api/v1/namespaces/{bank.namespace}/pods/{pod['metadata']['name']}/eviction"
    bank.stack.kubectl("create", "--raw", path, "-f", "-", stdin=json.dumps(body))


def test_a_protected_bank_is_not_deleted(living_bank: Bank) -> None:
    bank = living_bank
    bank.apply_example("protected")
    delete = ("-n", bank.namespace, "delete", "mb", bank.name, "--timeout=180s")
    with pytest.raises(CommandFailed, match="set it to false first, such as by kubectl"):
        bank.stack.kubectl(*delete)
    bank.apply_example("memorybank")
    bank.stack.kubectl(*delete)


def test_a_namespace_goes_within_a_minute_whatever_state_its_banks_are_in(
    stack: Stack, namespace: str
) -> None:
    ready = Bank(stack, namespace, "agents")
    ready.apply_example("protected")
    without_backend = Bank(stack, namespace, "embedded")
    without_backend.apply_example("ollama")  # nothing answers at that address
    without_image = Bank(stack, namespace, "imageless", {"version": "no-such-version"})
    without_image.apply()
    ready.wait_ready()
    without_image.wait_not_ready("ImagePullBackOff")
    stack.kubectl("delete", "namespace", namespace, "--timeout=60s")
