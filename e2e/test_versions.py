"""Banks move on to the next version of the memory service: that of a team, by its example, applied
as its user would, with all that it names, and used by a pod beside it meanwhile; and a fleet, when
the operator brings another version.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
import yaml

from e2e import versions
from e2e.bank import READY_SECONDS, Bank
from e2e.cluster.paths import ROOT
from e2e.conftest import EXAMPLE as FIRST_EXAMPLE
from e2e.namespaces import restricted_namespace
from e2e.stack import IMAGES, OPERATOR_NAMESPACE, Stack

EXAMPLE = ROOT / "examples/production.yaml"
NEXT = "0.2.0"
"""Follows the version of the example."""
SERVED_SECONDS = 180
"""Far above what some requests take: a loaded machine must not make tests flaky."""
OPERATORS = 2
"""As many as the chart says."""
FACT = "A refund above five hundred euros needs a second signature."
QUESTION = "Which refund needs a second signature?"
VISITOR = """
import http.client, itertools, json, pathlib, time, urllib.request
uri, token = (pathlib.Path("/memory", name).read_text() for name in ("uri", "token"))
headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
for number in itertools.count():
    body = json.dumps({"content": f"Visitor {number} asked for the list of prices."}).encode()
    request = urllib.request.Request(f"{uri}/v1/memories", body, headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            print(answer.status, flush=True)
    except urllib.error.HTTPError as error:
        print(error.code, flush=True)
    except (OSError, http.client.HTTPException):
        print("unreachable", flush=True)
    time.sleep(0.2)
"""
"""Stores memories all the time, each by a connection of its own, and tells what became of it."""


@pytest.fixture(scope="module")
def version(stack: Stack) -> str:
    """The version of the example; the node has the image of it, and that of NEXT."""
    first = str(yaml.safe_load(EXAMPLE.read_text())["spec"]["version"])
    versions.load(stack, first, NEXT)
    return first


@pytest.fixture
def named(stack: Stack, namespace: str) -> Iterator[None]:
    """What the example names and is to be there: a storage class, a priority class, a Secret."""
    classes = json.loads(stack.kubectl("get", "storageclass", "-o", "json"))["items"]
    default = next(
        each for each in classes
        if "true" in (each["metadata"].get("annotations") or {}).values()
    )  # fmt: skip
    kept = {key: default[key] for key in default.keys() - {"metadata"}}
    priority = {"value": 1000, "preemptionPolicy": "Never"}
    stack.apply(
        kept | {"metadata": {"name": "fast"}},
        {
            "apiVersion": "scheduling.k8s.io/v1",
            "kind": "PriorityClass",
            "metadata": {"name": "high"},
        }
        | priority,
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "type": "kubernetes.io/dockerconfigjson",
            "metadata": {"name": "registry", "namespace": namespace},
            "stringData": {".dockerconfigjson": '{"auths": {}}'},
        },
    )
    yield
    stack.kubectl("delete", "storageclass/fast", "priorityclass/high", "--ignore-not-found")


@pytest.mark.usefixtures("named")
def test_the_bank_of_a_team_moves_on_to_the_next_version_with_all_that_it_has(
    stack: Stack, namespace: str, version: str
) -> None:
    manifest = yaml.safe_load(EXAMPLE.read_text())
    bank = Bank(stack, namespace, manifest["metadata"]["name"], manifest["spec"])
    stack.kubectl("-n", namespace, "apply", "-f", str(EXAMPLE))
    bank.wait_ready()
    assert ran(bank) == (version, f"{IMAGES[0]}:{version}")
    claim = bank.child("pvc", "-data") or {}
    assert claim["spec"]["storageClassName"] == "fast"
    (before,) = bank.pods()
    assert before["spec"]["priorityClassName"] == "high"
    bank.remember(FACT)
    key = bank.key()

    stack.apply(visitor(bank))
    wait_served(bank, after=0)
    bank.apply(version=NEXT)
    bank.wait_ready()
    wait_served(bank, after=len(visits(bank)))
    assert set(visits(bank)) <= {"201", "503", "unreachable"}, "its key was good all the time"

    assert ran(bank) == (NEXT, f"{IMAGES[0]}:{NEXT}")
    (after,) = bank.pods()
    assert after["metadata"]["uid"] != before["metadata"]["uid"]
    assert bank.key() == key
    assert bank.recall(QUESTION)[0] == FACT
    rollout = (bank.get() or {})["status"]["rollout"]
    assert rollout["previous"]["version"] == version
    assert "rejected" not in rollout

    # What ran on this data may have migrated it: there is no way to an older minor version.
    bank.apply(version=version)
    refused = bank.wait_not_ready("VersionRefused")
    assert f"version {version} is older than {NEXT}" in refused["message"]
    assert bank.condition("Available")["status"] == "True"
    assert [pod["metadata"]["uid"] for pod in bank.pods()] == [after["metadata"]["uid"]]


@pytest.fixture
def fleet(stack: Stack, namespace: str) -> Iterator[tuple[Bank, Bank]]:
    """Two banks of the first example, each in a namespace of its own, and an operator for these
    namespaces alone; for all, as before, when the test is over.
    """
    example = yaml.safe_load(FIRST_EXAMPLE.read_text())
    with restricted_namespace(stack, "fleet") as other:
        banks = [
            Bank(stack, each, example["metadata"]["name"], example["spec"])
            for each in (namespace, other)
        ]
        try:
            stack.install_operator(served(*banks))
            stack.wait("the operators before gone", lambda: len(operators(stack)) == OPERATORS)
            for bank in banks:
                bank.apply()
            for bank in banks:
                bank.wait_ready()
                bank.remember(FACT)
            yield banks[0], banks[1]
        finally:
            stack.install_operator()


def test_a_fleet_is_updated_bank_by_bank_and_stops_at_the_first_that_does_not_work(
    stack: Stack, version: str, fleet: tuple[Bank, Bank]
) -> None:
    with restricted_namespace(stack, "outside") as elsewhere:
        outside = Bank(stack, elsewhere, "agents")
        outside.apply_example("disposable")

        stack.install_operator(served(*fleet), f"appImage={IMAGES[0]}:{NEXT}", wave=1)
        for bank in fleet:
            stack.wait(
                f"{NEXT} in {bank.namespace}",
                partial(is_at, bank, NEXT),
                seconds=READY_SECONDS,
                describe=bank.get,
            )
            assert bank.recall(QUESTION) == [FACT]
            bank.wait_told("UpdateBegins")
        first, second = sorted(fleet, key=begun)
        assert begun(second) >= started(first), "one waits for the other"

        for bank in fleet:  # which restarts nothing
            bank.apply(updatePolicy={"deadlineSeconds": 10})
            bank.wait_ready()
        before = [uid(bank) for bank in fleet]
        stack.install_operator(served(*fleet), "appImage=localhost/no-such-image:1", wave=1)
        stack.wait(
            "one bank back, and the other one untouched",
            lambda: (
                all(bank.is_ready() for bank in fleet)
                and sorted(pending(bank) for bank in fleet) == ["RolledBack", "UpdateQueued"]
            ),
            seconds=READY_SECONDS,
            describe=lambda: [bank.get() for bank in fleet],
        )
        for bank, found in zip(fleet, before, strict=True):
            assert (uid(bank) == found) == (pending(bank) == "UpdateQueued")
            assert ran(bank) == (NEXT, f"{IMAGES[0]}:{NEXT}")
            assert bank.recall(QUESTION) == [FACT]

        assert (outside.get() or {})["status"] == {"observedGeneration": -1}
        assert may(stack, first.namespace) == "yes"
        assert may(stack, elsewhere) == "no"
        stack.install_operator()
        outside.wait_ready()


def served(*banks: Bank) -> str:
    """The setting by which the operator serves the namespaces of these banks alone."""
    return f"watchNamespaces={{{','.join(bank.namespace for bank in banks)}}}"


def is_at(bank: Bank, version: str) -> bool:
    return bank.is_ready() and ran(bank)[0] == version


def begun(bank: Bank) -> str:
    """When its pod was made."""
    (pod,) = bank.pods()
    return str(pod["metadata"]["creationTimestamp"])


def started(bank: Bank) -> str:
    """When its service was, which is before it is ready."""
    (pod,) = bank.pods()
    (container,) = pod["status"]["containerStatuses"]
    return str(container["state"]["running"]["startedAt"])


def uid(bank: Bank) -> str:
    (pod,) = bank.pods()
    return str(pod["metadata"]["uid"])


def pending(bank: Bank) -> str:
    """Why a change of its pod waits."""
    return str(bank.condition("UpdatePending").get("reason"))


def operators(stack: Stack) -> list[str]:
    """The pods of operators, those on their way out as well."""
    selector = "app.kubernetes.io/name=memorybank-operator"
    return stack.kubectl(
        "-n", OPERATOR_NAMESPACE, "get", "pods", "-l", selector, "-o", "name"
    ).split()


def may(stack: Stack, namespace: str) -> str:
    """Whether the operator may make Deployments there: yes or no."""
    operator = f"system:serviceaccount:{OPERATOR_NAMESPACE}:memorybank-operator"
    asked = ("auth", "can-i", "create", "deployments.apps", "-n", namespace, f"--as={operator}")
    return stack.kubectl(*asked, check=False).strip()


def ran(bank: Bank) -> tuple[str, str]:
    """Version and image, as the status tells them."""
    status = (bank.get() or {})["status"]
    return status["version"], status["image"]


def visits(bank: Bank) -> list[str]:
    """What became of each visit so far; none while the visitor starts."""
    return bank.stack.kubectl("-n", bank.namespace, "logs", "visitor", check=False).split()


def wait_served(bank: Bank, *, after: int) -> None:
    """Wait for ten visits in a row that were served, behind so many others."""
    bank.stack.wait(
        "ten visits served in a row",
        lambda: visits(bank)[after:][-10:] == ["201"] * 10,
        seconds=SERVED_SECONDS,
        describe=lambda: visits(bank)[after:],
    )


def visitor(bank: Bank) -> dict[str, Any]:
    """A pod that uses the bank as an application does, by the mounted Secret alone."""
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "visitor", "namespace": bank.namespace},
        "spec": {
            "terminationGracePeriodSeconds": 0,
            "securityContext": {
                "runAsNonRoot": True,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [
                {
                    "name": "visitor",
                    "image": f"{IMAGES[0]}:{bank.stack.tag}",
                    "command": ["python3", "-c", VISITOR],
                    "securityContext": {
                        "allowPrivilegeEscalation": False,
                        "capabilities": {"drop": ["ALL"]},
                    },
                    "volumeMounts": [{"name": "memory", "mountPath": "/memory"}],
                }
            ],
            "volumes": [
                {
                    "name": "memory",
                    "secret": {"secretName": f"{bank.name}-key", "defaultMode": 0o444},
                }
            ],
        },
    }
