"""What the real `kubectl wait` makes of each state, on a real API server.

The states and their status are those of the table that the unit tests judge; here the API server
takes each status as the operator writes it, and the tool that users have waits for it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from e2e.cluster.apiserver import ASSETS_VARIABLE, ApiServer
from e2e.cluster.binaries import ensure
from memorybank_operator import constants
from memorybank_operator.api import crd
from tests.gitops.states import WAITS_FOR
from tests.gitops.states import states as all_states
from tests.integration.refusals import Banks, api
from tests.operator.status.states import ASKED_FOR, STATES, State, seen
from tests.support.apiserver import establish

FINALIZER = "example.org/still-here"
"""Keeps a bank that is being deleted where tools can see it."""
LONG = "--timeout=120s"
ONCE = "--timeout=0s"
"""Look, do not wait."""
NOT_MET = "(?:condition not met for|timed out waiting for the condition on)"
"""What it says of a bank, in one version or another."""

Wait = Callable[..., subprocess.Popen[str]]

TOLD = {
    (each.ready, each.kstatus, each.argo, each.phase, each.pending): name
    for name, each in reversed(STATES.items())
}
"""The first state of those that look the same to whoever waits."""
NAMES = {state: f"state{number}" for number, state in enumerate(TOLD.values())}
"""How the bank is called that is in a state."""
WAITS: dict[str, Callable[[State], bool]] = {
    "condition=Ready": lambda state: state.ready == "True",
    "condition=Ready=False": lambda state: state.ready == "False",
    "condition=Ready=Unknown": lambda state: state.ready == "Unknown",
    "condition=Reconciling": lambda state: (
        state.kstatus == "InProgress" and state.reason not in ASKED_FOR
    ),
    "condition=Stalled": lambda state: state.kstatus == "Failed",
    "condition=UpdatePending": lambda state: bool(state.pending),
    "condition=Paused": lambda state: state.phase == "Paused",
    "jsonpath={.status.phase}=Stopped": lambda state: state.phase == "Stopped",
    "jsonpath={.status.phase}=Deleting": lambda state: state.phase == "Deleting",
}
"""What may be waited for, and of which states it is true."""


@pytest.fixture(scope="module")
def http(api_server: ApiServer) -> Iterator[httpx.Client]:
    with api(api_server) as client:
        yield client


@pytest.fixture
def banks(http: httpx.Client, namespace: str) -> Banks:
    return Banks(http, namespace)


@pytest.fixture
def wait(api_server: ApiServer, namespace: str) -> Wait:
    """Starts `kubectl wait` with options in the namespace of the test."""
    at_hand = Path(os.environ.get(ASSETS_VARIABLE) or "/nowhere") / "kubectl"
    kubectl = at_hand if at_hand.exists() else ensure("kubectl")
    command = [str(kubectl), f"--kubeconfig={api_server.kubeconfig}", "-n", namespace, "wait"]

    def start(*options: str) -> subprocess.Popen[str]:
        return subprocess.Popen(  # noqa: S603  # the tool that is tested
            [*command, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    return start


def put(banks: Banks, state: str) -> str:
    """Have a bank that is in this state; return how kubectl calls it."""
    resource, name, deleting = seen(STATES[state]), NAMES[state], STATES[state].deleting
    metadata = {"name": name, "finalizers": [FINALIZER] if deleting else []}
    body = {key: resource[key] for key in ("apiVersion", "kind", "spec")} | {"metadata": metadata}
    made = banks.create(body)
    if deleting:
        made = banks.delete(name)
    tell(banks, state, name, made["metadata"]["generation"])
    return f"mb/{name}"


def tell(banks: Banks, state: str, name: str, generation: int) -> None:
    """Write the status of a state for a generation."""
    status = seen(STATES[state])["status"]
    conditions = [each | {"observedGeneration": generation} for each in status["conditions"]]
    told = status | {"observedGeneration": generation, "conditions": conditions}
    banks.change(f"{name}/status", {"status": told})


def test_each_wait_ends_for_the_states_that_it_is_for_and_for_no_other(
    banks: Banks, wait: Wait
) -> None:
    resources = [put(banks, state) for state in NAMES]
    found: dict[str, set[str]] = {}
    for what in WAITS:
        told, refused = wait(f"--for={what}", ONCE, *resources).communicate()
        met = set(re.findall(r"/(\S+) condition met$", told, re.M))
        others = set(re.findall(rf"{NOT_MET} \S+/(\S+)$", refused, re.M))
        assert met | others == set(NAMES.values()), refused
        found[what] = {state for state, name in NAMES.items() if name in met}
    assert found == {
        what: {state for state in NAMES if is_true(STATES[state])}
        for what, is_true in WAITS.items()
    }
    assert all(found.values()), "each of them is shown by a state at least"


def test_who_waits_is_told_when_the_state_comes(banks: Banks, wait: Wait) -> None:
    resource = put(banks, "new")
    waiting = wait("--for=condition=Ready", LONG, resource)
    tell(banks, "running", resource.removeprefix("mb/"), 1)
    told, refused = waiting.communicate()
    assert (waiting.returncode, refused) == (0, "")
    assert "condition met" in told


def test_what_was_ready_before_a_change_is_not_ready_after_it(banks: Banks, wait: Wait) -> None:
    resource = put(banks, "running")
    banks.change(resource.removeprefix("mb/"), {"spec": {"lifecycle": {"drainSeconds": 7}}})
    looked = wait("--for=condition=Ready", ONCE, resource)
    _, refused = looked.communicate()
    assert looked.returncode == 1
    assert re.search(NOT_MET, refused)


@pytest.mark.parametrize("kind", [kind for kind in WAITS_FOR if kind != constants.KIND])
def test_the_other_kinds_are_waited_for_likewise(
    kind: str, http: httpx.Client, namespace: str, wait: Wait
) -> None:
    [definition] = [each for each in crd.build_all() if each["spec"]["names"]["kind"] == kind]
    establish(http, definition)
    plural = definition["spec"]["names"]["plural"]
    path = f"/apis/{constants.API_VERSION}/namespaces/{namespace}/{plural}"
    states = {f"state{n}": each for n, each in enumerate(all_states()) if each.kind == kind}
    for name, state in states.items():
        have(http, path, name, state.resource)
    resources = [f"{plural}/{name}" for name in states]
    told, refused = wait(f"--for=condition={WAITS_FOR[kind]}", ONCE, *resources).communicate()
    met = set(re.findall(r"/(\S+) condition met$", told, re.M))
    others = set(re.findall(rf"{NOT_MET} \S+/(\S+)$", refused, re.M))
    assert met | others == set(states), refused
    assert met == {name for name, state in states.items() if state.kubectl_wait}
    assert met


def have(http: httpx.Client, path: str, name: str, resource: dict[str, Any]) -> None:
    """Have a resource with the status that it was seen with."""
    leaves = "deletionTimestamp" in resource["metadata"]
    metadata = {"name": name, "finalizers": [FINALIZER] if leaves else []}
    made = {key: resource[key] for key in ("apiVersion", "kind", "spec")}
    assert http.post(path, json=made | {"metadata": metadata}).is_success
    if leaves:
        assert http.delete(f"{path}/{name}").is_success
    status = resource["status"]
    if status.get("conditions"):
        patch = json.dumps({"status": status})
        media = {"Content-Type": "application/merge-patch+json"}
        answer = http.patch(f"{path}/{name}/status", content=patch, headers=media)
        assert answer.is_success, answer.text
