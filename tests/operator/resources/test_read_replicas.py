"""What read replicas of a bank are made from, when they are made, and what is told of them."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest
import yaml

from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.reconcile.observed import FollowReading
from memorybank_operator.reconcile.proof import outlook
from memorybank_operator.resources import names
from memorybank_operator.resources.labels import read_selector, selector
from tests.operator.reconcile.test_rollout import SUPERVISED, Scene
from tests.operator.world import (
    BACKED_UP,
    BUCKET_KEYS,
    DEADLINE,
    NOW,
    RING,
    World,
    bank,
    running,
    running_pod,
    secret_with,
    unready,
)

READ = BACKED_UP | {"readReplicas": {"replicas": 3, "maxLag": "30s"}}
ON_A_VOLUME: dict[str, Any] = READ | {
    "backup": {"destination": {"volume": {"claimName": "backups", "path": "banks"}}}
}


def served(spec: dict[str, Any]) -> World:
    """A bank that serves, and has had its read replicas made since."""
    world = running(bank(spec))
    world.converge(bank(spec))
    return world


def readers(world: World, of: MemoryBank) -> dict[str, Any]:
    return world.children[names.read_replicas(of)]


def told(world: World, of: MemoryBank, **deployment: Any) -> dict[str, Any] | None:
    readers(world, of)["status"] = deployment
    conditions = world.status(of)["conditions"]
    return next((each for each in conditions if each["type"] == "Degraded"), None)


def complete(reason: str = "NewReplicaSetAvailable", status: str = "True") -> list[dict[str, Any]]:
    return [{"type": "Progressing", "status": status, "reason": reason}]


def test_they_follow_the_very_bank_with_what_opens_its_backups() -> None:
    of = bank(READ)
    world = served(READ)
    file = world.children[names.read_replicas_config(of)]["data"]["config.yaml"]
    config = yaml.safe_load(file)
    assert config["follow"]["bank"] == "team/agents"
    assert config["follow"]["uid"] == of.uid
    assert config["follow"]["max_lag_seconds"] == 30
    assert "backup" not in config
    assert config["security"]["allowed_hosts"][0] == "agents-read"
    spec = readers(world, of)["spec"]["template"]["spec"]
    assert [each["name"] for each in spec["containers"]] == ["memorybank"]
    assert "initContainers" not in spec
    files = {each["name"] for each in spec["volumes"]}
    assert {"restore-access-key-id", "restore-ca", "restore-customer-key"} <= files
    assert not {each for each in files if each.startswith("backup-")}


def test_they_have_no_volume_of_the_bank() -> None:
    world = served(READ)
    pod = readers(world, bank(READ))["spec"]["template"]["spec"]
    data = next(each for each in pod["volumes"] if each["name"] == "data")
    assert data == {"name": "data", "emptyDir": {}}
    assert names.volume_claim(bank(READ)).name not in json.dumps(pod)


def test_no_selector_of_the_bank_takes_them_for_its_own_pod() -> None:
    of = bank(READ)
    world = served(READ)
    labels = readers(world, of)["spec"]["template"]["metadata"]["labels"]
    assert not selector(of).items() <= labels.items()
    assert read_selector(of).items() <= labels.items()
    for child in (names.read_replicas_service(of), names.read_replicas_budget(of)):
        selected = world.children[child]["spec"]["selector"]
        assert selected.get("matchLabels", selected) == read_selector(of)


def test_they_are_fenced_as_the_bank_is() -> None:
    of = bank(READ | {"networkPolicy": {"enabled": True}})
    world = running(of)
    policy = world.children[names.read_replicas_policy(of)]["spec"]
    assert policy["podSelector"]["matchLabels"] == read_selector(of)
    assert names.read_replicas_policy(bank(READ)) not in served(READ).children


def test_an_encrypted_banks_have_its_generated_key_ring() -> None:
    spec = READ | {"encryption": {"enabled": True}}
    world = served(spec)
    pod = readers(world, bank(spec))["spec"]["template"]["spec"]
    ring = next(each for each in pod["volumes"] if each["name"] == "key-ring")
    assert ring["secret"]["secretName"] == names.key_ring(bank(spec)).name
    assert RING not in json.dumps(pod)


def test_where_backups_are_on_a_volume_they_rather_run_beside_the_bank() -> None:
    beside = readers(served(ON_A_VOLUME), bank(ON_A_VOLUME))["spec"]["template"]["spec"]
    (near,) = beside["affinity"]["podAffinity"]["preferredDuringSchedulingIgnoredDuringExecution"]
    assert near["podAffinityTerm"]["labelSelector"]["matchLabels"] == selector(bank(READ))
    apart = readers(served(READ), bank(READ))["spec"]["template"]["spec"]
    assert "affinity" not in apart
    (spread,) = apart["topologySpreadConstraints"]
    assert spread["labelSelector"]["matchLabels"] == read_selector(bank(READ))


def test_the_banks_own_pod_is_the_same_with_them_and_without() -> None:
    with_them, without = running(bank(READ)), running(bank(BACKED_UP))
    of = bank(READ)
    assert with_them.deployment(of)["spec"] == without.deployment(of)["spec"]


def test_they_are_made_when_the_bank_serves() -> None:
    of = bank(READ)
    world = World()
    world.converge(of)
    assert names.deployment(of) in world.children
    assert names.read_replicas(of) not in world.children
    world.run(of)
    world.converge(of)
    assert readers(world, of)["spec"]["replicas"] == 3


def test_another_image_is_the_banks_before_it_is_theirs() -> None:
    before, after = bank(READ), bank(READ | {"image": "registry.example/memorybank:2"})
    world = served(READ)
    old = readers(world, before)["spec"]["template"]
    world.converge(after)
    assert world.deployment(after)["spec"]["template"]["spec"]["containers"][0]["image"] == (
        "registry.example/memorybank:2"
    )
    assert readers(world, after)["spec"]["template"] == old
    world.run(after)
    world.converge(after)
    new = readers(world, after)["spec"]["template"]["spec"]["containers"][0]
    assert new["image"] == "registry.example/memorybank:2"


def test_they_wake_when_the_bank_serves_again() -> None:
    """Made anew meanwhile, as another version, or put back to what it was before."""
    world = served(READ)
    world.converge(bank(READ | {"hibernate": True}))
    world.pods.clear()
    world.converge(bank(READ))
    assert world.deployment(bank(READ))["spec"]["replicas"] == 1
    assert readers(world, bank(READ))["spec"]["replicas"] == 0
    world.run(bank(READ))
    world.converge(bank(READ))
    assert readers(world, bank(READ))["spec"]["replicas"] == 3


def test_their_settings_are_others_when_they_are() -> None:
    world = served(READ)
    config = names.read_replicas_config(bank(READ))
    before = world.children[config]["data"]
    after = bank(READ | {"restart": "now", "limits": {"maxBodyBytes": 4096}})
    world.converge(after)
    assert world.children[config]["data"] == before
    world.run(after)
    world.converge(after)
    assert "max_body_bytes: 4096" in world.children[config]["data"]["config.yaml"]


def test_settings_that_the_service_takes_reach_them_while_they_run() -> None:
    world = served(READ)
    template = readers(world, bank(READ))["spec"]["template"]
    after = bank(READ | {"limits": {"maxBodyBytes": 4096}})
    world.converge(after)
    config = world.children[names.read_replicas_config(after)]["data"]["config.yaml"]
    assert "max_body_bytes: 4096" in config
    assert readers(world, after)["spec"]["template"] == template


def test_what_waits_for_approval_waits_for_them_and_their_number_does_not() -> None:
    scene = Scene.of_spec(READ | SUPERVISED)
    scene.settle()
    before = readers(scene.world, scene.of)["spec"]["template"]
    scene.change(image="registry.example/memorybank:2", readReplicas={"replicas": 5})
    approved = scene.settle()["plan"]["id"]
    assert readers(scene.world, scene.of)["spec"]["replicas"] == 5
    image = before["spec"]["containers"][0]["image"]
    kept = readers(scene.world, scene.of)["spec"]["template"]["spec"]["containers"][0]
    assert kept["image"] == image
    scene.change(updatePolicy={"mode": "Supervised", "approved": approved})
    scene.settle()
    scene.prove()
    scene.settle()
    made = readers(scene.world, scene.of)["spec"]["template"]["spec"]["containers"][0]
    assert made["image"] == "registry.example/memorybank:2"


def test_they_are_not_made_before_the_backups_that_they_follow_are_approved() -> None:
    scene = Scene.of_spec(SUPERVISED)
    scene.change(**READ)
    approved = scene.settle()["plan"]["id"]
    assert not set(names.of_read_replicas(scene.of)) & scene.world.children.keys()
    scene.change(updatePolicy={"mode": "Supervised", "approved": approved})
    scene.settle()
    assert names.read_replicas(scene.of) not in scene.world.children
    scene.prove()
    scene.settle()
    assert readers(scene.world, scene.of)["spec"]["replicas"] == 3


def test_a_bank_that_goes_back_to_what_it_was_leaves_them_as_they_are() -> None:
    scene = Scene.of_spec(READ)
    scene.settle()
    before = readers(scene.world, scene.of)["spec"]["template"]
    scene.change(image="registry.example/memorybank:2")
    scene.settle()
    scene.later = DEADLINE * 2
    scene.judge()
    scene.settle()
    scene.prove_nothing()
    scene.settle()
    assert scene.image != "registry.example/memorybank:2"
    assert readers(scene.world, scene.of)["spec"]["template"] == before


def test_their_number_changes_while_the_bank_serves_nobody() -> None:
    world = served(READ)
    world.pods.clear()
    fewer = bank(READ | {"readReplicas": {"replicas": 1, "maxLag": "30s"}})
    world.converge(fewer)
    assert readers(world, fewer)["spec"]["replicas"] == 1


@pytest.mark.parametrize("asleep", [{"hibernate": True}, {"replicas": 0}])
def test_they_sleep_with_the_bank(asleep: dict[str, Any]) -> None:
    world = served(READ)
    world.converge(bank(READ | asleep))
    assert readers(world, bank(READ))["spec"]["replicas"] == 0


@pytest.mark.parametrize("left", [BACKED_UP, {}])
def test_they_go_when_they_are_not_asked_for_or_have_nothing_to_follow(
    left: dict[str, Any],
) -> None:
    of = bank(READ)
    world = served(READ)
    assert set(names.of_read_replicas(of)) <= world.children.keys()
    world.converge(bank(left))
    assert not set(names.of_read_replicas(of)) & world.children.keys()


def test_the_status_says_where_and_how_many_they_are() -> None:
    of = bank(READ)
    world = served(READ)
    readers(world, of)["status"] = {"replicas": 3, "readyReplicas": 2}
    assert world.status(of)["readReplicas"] == {
        "url": "http://agents-read.team.svc:8080",
        "replicas": 3,
        "readyReplicas": 2,
    }
    assert "readReplicas" not in running(bank(BACKED_UP)).status(bank(BACKED_UP))


def test_the_status_says_how_far_behind_they_are_as_long_as_some_answer() -> None:
    of = bank(READ)
    world = served(READ)
    readers(world, of)["status"] = {"replicas": 3, "readyReplicas": 2}
    world.readers = FollowReading("2", 7.5)
    status = world.status(of)
    assert status["readReplicas"]["lagSeconds"] == 10
    world.readers = None  # the operator was restarted
    assert world.status(bank(READ, status=status))["readReplicas"]["lagSeconds"] == 10
    readers(world, of)["status"] = {"replicas": 3}
    assert "lagSeconds" not in world.status(bank(READ, status=status))["readReplicas"]


def test_those_that_answer_are_asked_how_far_they_are_behind() -> None:
    world = served(READ)
    template = readers(world, bank(READ))["spec"]["template"]
    world.read_pods = [running_pod(template, f"read-{number}") for number in range(3)]
    for number, pod in enumerate([*world.read_pods, *world.pods]):
        pod["status"]["podIP"] = f"10.0.0.{number}"
    unready(world.read_pods[1], {"running": {}})
    asked = outlook(bank(READ), world.observed())
    assert asked is not None
    assert asked.address == "http://10.0.0.3:8080"
    assert asked.readers == ("http://10.0.0.0:8080", "http://10.0.0.2:8080")


def test_a_bank_whose_read_replicas_are_all_away_is_degraded_and_ready() -> None:
    of = bank(READ)
    world = served(READ)
    found = told(world, of, replicas=3, conditions=complete())
    assert found is not None
    assert found["reason"] == "ReadReplicasUnavailable"
    assert "agents-read.team.svc" in found["message"]
    ready = next(each for each in world.status(of)["conditions"] if each["type"] == "Ready")
    assert ready["status"] == "True"
    late = told(world, of, conditions=complete("ProgressDeadlineExceeded", "False"))
    assert late is not None


def test_that_they_start_or_that_some_answer_is_not_worth_a_word() -> None:
    of = bank(READ)
    world = served(READ)
    assert told(world, of, replicas=3, conditions=complete("ReplicaSetUpdated")) is None
    assert told(world, of, replicas=3, readyReplicas=1, conditions=complete()) is None
    assert told(world, of) is None


def test_after_a_wake_up_they_have_time_to_start_and_what_keeps_them_from_it_is_told() -> None:
    of = bank(READ)
    world = served(READ)
    pod = running_pod(readers(world, of)["spec"]["template"], "read-1")
    pod["metadata"]["creationTimestamp"] = NOW.isoformat()
    unready(pod, {"waiting": {"reason": "ContainerCreating"}})
    world.read_pods = [pod]
    assert told(world, of, replicas=1, conditions=complete()) is None
    pod["metadata"]["creationTimestamp"] = (NOW - timedelta(minutes=6)).isoformat()
    late = told(world, of, replicas=1, conditions=complete())
    assert late is not None
    assert "describe deployment agents-read" in late["message"]
    pod["metadata"]["creationTimestamp"] = NOW.isoformat()
    unready(pod, {"waiting": {"reason": "ImagePullBackOff"}})
    kept = told(world, of, replicas=1, conditions=complete())
    assert kept is not None
    assert "The node cannot get the image" in kept["message"]


def test_credentials_that_changed_replace_them() -> None:
    of = bank(READ)
    world = served(READ)
    before = readers(world, of)["spec"]["template"]
    other = BUCKET_KEYS | {"accessKeyId": "another", "secretAccessKey": "another"}
    world.named_secrets["bucket"] = secret_with("bucket", **other)
    world.converge(of)
    world.run(of)
    world.converge(of)
    assert readers(world, of)["spec"]["template"] != before
