"""A bank moves on to the next version of the memory service, by the example of a bank of a team:
applied as its user would, with all that it names, and used by a pod beside it meanwhile.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
import yaml

from e2e.bank import Bank
from e2e.cluster.paths import ROOT
from e2e.images import engines
from e2e.images.engines import Build
from e2e.stack import IMAGES, Stack, run_module

EXAMPLE = ROOT / "examples/production.yaml"
NEXT = "0.2.0"
"""Follows the version of the example."""
SERVED_SECONDS = 180
"""Far above what some requests take: a loaded machine must not make tests flaky."""
DOCKERFILE = """
FROM {image}
USER 0
RUN sed -i 's/^Version: .*/Version: {version}/' \
    /opt/memorybank/lib/python3*/site-packages/memorybank-*.dist-info/METADATA
USER 65532:65532
"""
"""The memory service that is tested, as another version of itself."""
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
def version(stack: Stack, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The version of the example; the node has the image of it, and that of NEXT."""
    folder = tmp_path_factory.mktemp("versions")
    first = str(yaml.safe_load(EXAMPLE.read_text())["spec"]["version"])
    for each in (first, NEXT):
        dockerfile = folder / f"Dockerfile.{each}"
        dockerfile.write_text(DOCKERFILE.format(image=f"{IMAGES[0]}:{stack.tag}", version=each))
        build = Build(
            image=f"{IMAGES[0]}:{each}", dockerfile=dockerfile, context=folder, arguments={},
            labels={}, secrets={}, epoch=0,
        )  # fmt: skip
        engines.find().build(build, log=folder / "build.log")
    images = [f"{IMAGES[0]}:{each}" for each in (first, NEXT)]
    run_module("e2e.cluster", "load", "--name", stack.cluster, *images)
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
