"""The fields of a status beside its conditions, and what holds for whatever is observed."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.status import MemoryBankStatus
from memorybank_operator.errors import InvalidSpec
from memorybank_operator.reconcile.steps import Problem
from memorybank_operator.status.reduce import reduce_invalid
from memorybank_operator.status.serving import serving
from tests.operator.status.kstatus import kstatus
from tests.operator.world import (
    KEY,
    NOW,
    OTHER_KEY,
    World,
    bank,
    bank_body,
    running,
    running_pod,
    unready,
)


def test_the_status_says_where_the_bank_is_and_what_it_runs() -> None:
    status = running(bank()).status(bank())
    assert status["url"] == "http://agents.team.svc:8080"
    assert status["endpoints"] == {
        "http": "http://agents.team.svc:8080",
        "mcp": "http://agents.team.svc:8080/mcp",
        "metrics": "http://agents.team.svc:9090/metrics",
    }
    assert status["binding"] == {"name": "agents-key"}
    assert status["version"] == "0.1.0"
    assert status["image"] == "localhost/memorybank-app:dev"
    assert status["revision"] == running(bank()).plan(bank()).revision
    assert (status["replicas"], status["readyReplicas"]) == (1, 1)
    assert status["selector"] == "app.kubernetes.io/name=memorybank,memorybank.dev/bank=agents"
    assert status["storage"] == {"capacity": "1Gi", "requested": "1Gi"}


def test_what_is_not_known_is_left_out() -> None:
    status = World().status(bank())
    for unknown in ("version", "image", "revision", "storage", "binding"):
        assert unknown not in status


def test_the_version_that_answered_last_stays_known() -> None:
    world = running(bank())
    before = world.status(bank())
    world.canary = None
    assert world.status(bank(status=before))["version"] == "0.1.0"


def test_a_lost_secret_does_not_make_forgotten_that_there_was_one() -> None:
    before = running(bank()).status(bank())
    assert World().status(bank(status=before))["binding"] == {"name": "agents-key"}


def test_somebody_elses_secret_is_no_binding() -> None:
    world = World()
    world.converge(bank())
    world.secret(bank())["metadata"] = {"name": "agents-key", "uid": "theirs"}
    assert "binding" not in world.status(bank())


def test_a_status_is_read_back_as_it_was_written() -> None:
    of = bank(annotations={constants.ANNOTATION_RESYNC: "now"}, status={"resync": "now"})
    status = running(of).status(of)
    parsed = MemoryBankStatus.model_validate(json.loads(json.dumps(status)))
    assert parsed.model_dump(mode="json", exclude_none=True) == status


def test_a_resync_is_echoed_when_the_bank_was_probed_since() -> None:
    asked = bank(annotations={constants.ANNOTATION_RESYNC: "now"})
    world = running(asked)
    assert "resync" not in world.status(asked)
    world.canary = world.passed(asked, resync="now")
    assert world.status(asked)["resync"] == "now"
    failure = Problem(Reason.API_UNREACHABLE, "no answer")
    assert "resync" not in world.status(asked, failure=failure)


def test_a_resync_that_is_done_stays_known() -> None:
    done = bank(status={"resync": "now"})
    assert running(done).status(done)["resync"] == "now"


def test_where_no_pod_is_wanted_a_resync_needs_no_probe() -> None:
    asked = bank({"hibernate": True}, annotations={constants.ANNOTATION_RESYNC: "now"})
    assert running(asked).status(asked)["resync"] == "now"


def test_no_key_ever_reaches_a_status() -> None:
    world = running(bank())
    status = json.dumps(world.status(bank()))
    world.secret(bank())["data"]["token"] = "bm90IGEga2V5"
    assert KEY not in status + json.dumps(world.status(bank()))


def test_an_invalid_resource_is_stalled_with_its_field_named() -> None:
    before = running(bank()).status(bank())
    body = bank_body({"storage": {"volume": {"size": "much"}}}, status=before, generation=2)
    error = InvalidSpec("spec.storage.volume.size", "not a quantity")
    status = reduce_invalid(body, error, now=NOW)
    conditions = {each["type"]: each for each in status["conditions"]}
    assert conditions["Ready"]["message"] == "spec.storage.volume.size: not a quantity"
    assert conditions["Ready"]["reason"] == conditions["Stalled"]["reason"] == "InvalidSpec"
    assert conditions["Available"]["status"] == "True", "the bank still runs"
    assert status["url"] == before["url"]
    assert kstatus({**body, "status": status}) == "Failed"
    again = reduce_invalid({**body, "status": status}, error, now=NOW.replace(hour=13))
    assert again == status
    healed = running(bank()).status(bank(status=status, generation=1))
    assert "Stalled" not in {each["type"] for each in healed["conditions"]}


def test_a_new_invalid_resource_gets_a_status_too() -> None:
    error = InvalidSpec("spec.replicas", "must be 0 or 1")
    status = reduce_invalid(bank_body({"replicas": 3}), error, now=NOW)
    assert status["observedGeneration"] == 1
    assert status["phase"] == "Failed"


def test_who_serves_changes_with_every_restart_and_replacement() -> None:
    template = {"metadata": {}, "spec": {"containers": [{"image": "a"}]}}
    pod, other = running_pod(template), running_pod(template, uid="pod-2")
    first = serving([pod])
    assert serving([other, pod]) == serving([pod, other])
    assert serving([other]) != first
    pod["status"]["containerStatuses"][0]["containerID"] = "containerd://2"
    assert serving([pod]) != first
    unready(pod, {})
    assert serving([pod]) == ""


# Whatever is observed, there is a status, and it claims Ready only with a proof.

states = st.sampled_from(
    [
        {"waiting": {"reason": "ErrImagePull"}},
        {"waiting": {"reason": "Unheard"}},
        {"waiting": {}},
        {"running": {}},
        {"terminated": {"exitCode": 1}},
        {},
    ]
)
counts = st.dictionaries(
    st.sampled_from(["replicas", "updatedReplicas", "availableReplicas", "observedGeneration"]),
    st.integers(0, 2),
)
specs = st.fixed_dictionaries({}, optional={"replicas": st.integers(0, 1), "paused": st.booleans()})


@settings(max_examples=60, deadline=None)
@given(
    spec=specs,
    dropped=st.sets(st.integers(0, 5)),
    state=st.none() | states,
    counted=st.none() | counts,
    claim=st.sampled_from([None, "Pending", "Bound", "Lost"]),
    canary=st.none() | st.booleans(),
    failure=st.none() | st.booleans(),
    generation=st.integers(1, 2),
)
def test_every_world_has_a_status_and_ready_is_never_claimed_without_a_proof(
    spec: dict[str, Any],
    dropped: set[int],
    state: dict[str, Any] | None,
    counted: dict[str, int] | None,
    claim: str | None,
    canary: bool | None,
    failure: bool | None,
    generation: int,
) -> None:
    world = running(bank())
    of: MemoryBank = bank(spec, generation=generation)
    if state is not None:
        unready(world.pods[0], state)
    if counted is not None:
        world.deployment(of)["status"] = counted
    if claim is not None:
        world.volume_claim(of)["status"] = {"phase": claim}
    world.canary = None if canary is None else world.passed(of, ok=canary)
    for index in dropped:
        world.children.pop(list(world.children)[index % len(world.children)])
        if not world.children:
            break
    problem = None if failure is None else Problem("ApiForbidden", "403", terminal=failure)
    status = world.status(of, failure=problem)
    resource = bank_body(spec, status=status, generation=generation)
    kinds = {each["type"]: each["status"] for each in status["conditions"]}
    if kinds["Ready"] == "True":
        assert canary is True
        assert failure is None
        assert state is None
        assert kstatus(resource) == "Current"
    else:
        assert kstatus(resource) in {"InProgress", "Failed"}
    assert json.loads(json.dumps(status)) == status
    again = bank(spec, status=status, generation=generation)
    assert world.status(again, failure=problem) == status
    assert OTHER_KEY not in json.dumps(status)
