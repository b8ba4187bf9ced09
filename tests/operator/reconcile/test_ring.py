"""The key ring that is generated for an encrypted bank: made once, kept with the volume, and never
replaced.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from memorybank_operator.reconcile.memorybank import new_ring
from memorybank_operator.reconcile.observed import Observed
from memorybank_operator.reconcile.plan import plan
from memorybank_operator.reconcile.ring import is_ring
from memorybank_operator.reconcile.steps import Apply, Create, Plan, Share
from memorybank_operator.resources import names
from memorybank_operator.resources.labels import owner_reference
from tests.operator.world import (
    CLASSES,
    KEY,
    OTHER_RING,
    RING,
    SETTINGS,
    World,
    bank,
    running,
)

ENCRYPTED = {"encryption": {"enabled": True}}
DISPOSABLE = ENCRYPTED | {"deletionPolicy": "Delete"}
NAMED = {"encryption": {"enabled": True, "keySecretRef": {"name": "mine", "key": "value"}}}


def never() -> str:
    raise AssertionError("a ring was generated that opens nothing")


def steps(planned: Plan) -> list[str]:
    """Kind and name of what is written, and how."""
    found = []
    for step in planned.steps:
        if isinstance(step, Apply | Create | Share):
            what = f"{step.body['kind']}/{step.body['metadata']['name']}"
        else:
            what = "/".join(step.key)
        found.append(f"{type(step).__name__.lower()} {what}")
    return found


def content(secret: dict[str, Any]) -> str:
    return base64.b64decode(secret["data"]["ring.json"]).decode()


def without_ring(world: World, spec: dict[str, Any] | None = None) -> Plan:
    """Plan for the bank as if its ring had been deleted; none may be generated."""
    of = bank(spec or ENCRYPTED)
    del world.children[names.key_ring(of)]
    return plan(of, world.observed(), SETTINGS, lambda: KEY, never)


def test_the_ring_is_stored_before_a_volume_is_claimed() -> None:
    of, world = bank(ENCRYPTED), World()
    first = world.plan(of)
    assert steps(first) == [
        "apply ServiceAccount/agents",
        "create Secret/agents-key",
        "create Secret/agents-key-ring",
        "apply Service/agents",
    ]
    world.execute(first)
    second = world.plan(of, ring=OTHER_RING)
    assert steps(second) == [
        "apply ConfigMap/agents-config",
        "apply PersistentVolumeClaim/agents-data",
        "apply Deployment/agents",
    ]
    world.execute(second)
    assert world.plan(of).steps == ()
    assert content(world.ring(of)) == RING
    [note] = first.notes
    assert (note.reason, note.warning) == ("KeyRingGenerated", False)
    assert "Secret agents-key-ring" in note.message


def test_the_pod_gets_a_generated_ring_as_one_that_the_spec_names() -> None:
    world, named = running(bank(ENCRYPTED)), World()
    encoded = {"value": base64.b64encode(RING.encode()).decode()}
    named.named_secrets["mine"] = {
        "kind": "Secret", "metadata": {"name": "mine", "uid": "s"}, "data": encoded
    }  # fmt: skip
    named.converge(bank(NAMED))
    ours, theirs = (each.deployment(bank())["spec"]["template"]["spec"] for each in (world, named))
    [volume] = [each for each in ours["volumes"] if each["name"] == "key-ring"]
    [other] = [each for each in theirs["volumes"] if each["name"] == "key-ring"]
    assert volume["secret"].pop("secretName") == "agents-key-ring"
    assert other["secret"].pop("secretName") == "mine"
    assert volume["secret"].pop("items") == [{"key": "ring.json", "path": "value"}]
    assert other["secret"].pop("items") == [{"key": "value", "path": "value"}]
    assert volume == other
    assert ours["containers"][0]["volumeMounts"] == theirs["containers"][0]["volumeMounts"]


def test_a_generated_ring_is_one_key_of_32_random_bytes_that_is_active() -> None:
    rings = [json.loads(new_ring()) for _ in range(2)]
    for ring in rings:
        [(name, key)] = ring["keys"].items()
        assert ring["active"] == name
        assert len(base64.b64decode(key, validate=True)) == 32
        assert is_ring(json.dumps(ring))
    assert rings[0]["keys"] != rings[1]["keys"]


@pytest.mark.parametrize(
    ("spec", "owners"), [(ENCRYPTED, []), (DISPOSABLE, ["uid-1"])], ids=["Retain", "Delete"]
)
def test_the_ring_is_owned_as_the_volume_is(spec: dict[str, Any], owners: list[str]) -> None:
    of = bank(spec)
    world = running(of)
    for each in (world.ring(of), world.volume_claim(of)):
        assert [owner["uid"] for owner in each["metadata"].get("ownerReferences", ())] == owners
        assert each["metadata"]["labels"]["memorybank.dev/bank"] == "agents"


@pytest.mark.parametrize(("before", "after"), [(ENCRYPTED, DISPOSABLE), (DISPOSABLE, ENCRYPTED)])
def test_a_changed_deletion_policy_changes_the_owner_and_nothing_else(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    world = running(bank(before))
    of = bank(after, generation=2)
    other = {"apiVersion": "v1", "kind": "ConfigMap", "name": "theirs", "uid": "else"}
    world.ring(of)["metadata"].setdefault("ownerReferences", []).append(other)
    planned = world.plan(of)
    assert "mark Secret/agents-key-ring" in steps(planned)
    assert RING not in str(planned.steps)
    world.converge(of)
    owners = [each["uid"] for each in world.ring(of)["metadata"]["ownerReferences"]]
    assert sorted(owners) == (["else", "uid-1"] if after is DISPOSABLE else ["else"])
    assert content(world.ring(of)) == RING


def test_a_bank_that_is_made_again_takes_ring_and_volume() -> None:
    world = running(bank(ENCRYPTED))
    for child in list(world.children):
        if child not in (names.key_ring(bank()), names.volume_claim(bank())):
            del world.children[child]
    again = bank(ENCRYPTED, uid="uid-2")
    planned = world.converge(again, ring=OTHER_RING)
    assert planned.problems == ()
    assert content(world.ring(again)) == RING


@pytest.mark.parametrize("pods", [0, 1])
def test_a_lost_ring_is_told_and_not_replaced_and_the_pod_left_alone(pods: int) -> None:
    world = running(bank(ENCRYPTED))
    world.pods = world.pods[:pods]
    planned = without_ring(world)
    [problem] = planned.problems
    assert (problem.reason, problem.terminal) == ("KeyRingLost", True)
    for word in ("agents-key-ring", "agents-data", "memorybank.dev/bank=agents", "ring.json"):
        assert word in problem.message
    assert planned.steps == ()
    world.children[names.key_ring(bank())] = running(bank(ENCRYPTED)).ring(bank())
    assert world.plan(bank(ENCRYPTED)).problems == ()


def test_a_volume_without_its_ring_starts_nothing_in_a_bank_that_is_made_again() -> None:
    world = running(bank(ENCRYPTED))
    claim = world.volume_claim(bank())
    world.children = {names.volume_claim(bank()): claim}
    of = bank(ENCRYPTED, uid="uid-2")
    planned = plan(of, world.observed(), SETTINGS, lambda: KEY, never)
    assert [each.reason for each in planned.problems] == ["KeyRingLost"]
    assert "apply Deployment/agents" not in steps(planned)


def test_without_a_volume_a_lost_ring_is_a_new_beginning() -> None:
    of, world = bank(ENCRYPTED), running(bank(ENCRYPTED))
    del world.children[names.key_ring(of)], world.children[names.volume_claim(of)]
    world.converge(of, ring=OTHER_RING)
    assert content(world.ring(of)) == OTHER_RING


@pytest.mark.parametrize("which", ["volume", "ring"])
def test_nothing_is_generated_while_a_former_volume_or_ring_is_leaving(which: str) -> None:
    of, world = bank(ENCRYPTED), running(bank(ENCRYPTED))
    leaving, gone = names.volume_claim(of), names.key_ring(of)
    if which == "ring":
        leaving, gone = gone, leaving
    world.children[leaving]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    del world.children[gone]
    planned = plan(of, world.observed(), SETTINGS, lambda: KEY, never)
    assert [each.reason for each in planned.problems] == ["WaitingForDeletion"]
    assert planned.steps == ()


def test_the_ring_of_a_former_bank_that_is_leaving_is_waited_for() -> None:
    world = running(bank(DISPOSABLE))
    world.children = {names.key_ring(bank()): world.ring(bank())}
    of = bank(DISPOSABLE, uid="uid-2")
    planned = plan(of, world.observed(), SETTINGS, lambda: KEY, never)
    assert [each.reason for each in planned.problems] == ["WaitingForDeletion"]
    assert "apply PersistentVolumeClaim/agents-data" not in steps(planned)


def test_a_paused_bank_gets_no_ring() -> None:
    of = bank(ENCRYPTED | {"paused": True})
    assert plan(of, Observed(storage_classes=CLASSES), SETTINGS, never, never).steps == ()


def test_a_secret_of_somebody_else_is_left_alone_and_told() -> None:
    of, world = bank(ENCRYPTED), World()
    name = names.key_ring(of)
    theirs = {
        "apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": name.name, "namespace": "team", "uid": "theirs"},
        "data": {"ring.json": base64.b64encode(RING.encode()).decode()},
    }  # fmt: skip
    world.children[name] = theirs
    planned = plan(of, world.observed(), SETTINGS, lambda: KEY, never)
    [problem] = planned.problems
    assert (problem.reason, problem.terminal) == ("NameConflict", True)
    assert "label memorybank.dev/bank=agents" in problem.message
    assert not any(each.endswith(("key-ring", "agents-data")) for each in steps(planned))
    theirs["metadata"]["labels"] = {"memorybank.dev/bank": "agents"}  # type: ignore[index]
    assert world.converge(of).problems == ()
    assert content(world.ring(of)) == RING
    assert world.ring(of)["metadata"]["labels"]["app.kubernetes.io/managed-by"]


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"other": "eA=="},
        {"ring.json": "!"},
        {"ring.json": "e30="},
        {"ring.json": base64.b64encode(RING.replace("cnJy", "!", 1).encode()).decode()},
    ],
)
def test_a_damaged_ring_is_told_and_not_replaced(data: dict[str, str]) -> None:
    of, world = bank(ENCRYPTED), running(bank(ENCRYPTED))
    world.ring(of)["data"] = data
    planned = plan(of, world.observed(), SETTINGS, lambda: KEY, never)
    [problem] = planned.problems
    assert (problem.reason, problem.terminal) == ("KeyRingDamaged", True)
    assert "Secret agents-key-ring" in problem.message
    assert "cnJy" not in problem.message
    assert planned.steps == ()


def test_a_ring_that_somebody_rotates_stays_and_is_for_the_running_pod() -> None:
    of, world = bank(ENCRYPTED), running(bank(ENCRYPTED))
    before = world.plan(of)
    ring = json.loads(RING)
    ring["keys"]["next"] = base64.b64encode(b"n" * 32).decode()
    text = json.dumps(ring | {"active": "next"})
    world.ring(of)["data"]["ring.json"] = base64.b64encode(text.encode()).decode()
    after = world.plan(of)
    assert (after.steps, after.problems) == ((), ())
    assert after.revision == before.revision, "no pod restarts"
    assert after.configuration != before.configuration, "the pod has to prove that it took it"


@pytest.mark.parametrize("spec", [ENCRYPTED, DISPOSABLE])
def test_a_generated_ring_stays_when_the_spec_names_another(spec: dict[str, Any]) -> None:
    world = running(bank(spec))
    world.named_secrets["mine"] = {
        "kind": "Secret", "metadata": {"name": "mine", "uid": "s"},
        "data": {"value": base64.b64encode(RING.encode()).decode()},
    }  # fmt: skip
    of = bank(spec | NAMED, generation=2)
    world.converge(of)
    assert content(world.ring(of)) == RING
    assert (
        world.deployment(of)["spec"]["template"]["spec"]["volumes"][3]["secret"]["secretName"]
        == "mine"
    )


def test_a_spec_that_names_no_ring_any_more_gets_none_that_opens_nothing() -> None:
    world = World()
    world.named_secrets["mine"] = {
        "kind": "Secret", "metadata": {"name": "mine", "uid": "s"},
        "data": {"value": base64.b64encode(RING.encode()).decode()},
    }  # fmt: skip
    world.converge(bank(NAMED))
    of = bank(ENCRYPTED, generation=2)
    planned = plan(of, world.observed(), SETTINGS, lambda: KEY, never)
    assert [each.reason for each in planned.problems] == ["KeyRingLost"]
    assert planned.steps == ()


def test_an_owner_reference_is_ours_by_uid() -> None:
    of, world = bank(DISPOSABLE), running(bank(DISPOSABLE))
    assert world.ring(of)["metadata"]["ownerReferences"] == [owner_reference(of)]


def test_the_longest_name_of_a_bank_leaves_room_for_that_of_its_ring() -> None:
    world, of = World(), bank(ENCRYPTED, name="a" * 40)
    world.converge(of)
    name = world.ring(of)["metadata"]["name"]
    assert name == "a" * 40 + "-key-ring"
    assert len(name) <= 63
    assert len({child.name for child in names.children(of) if child.kind == "Secret"}) == 2
