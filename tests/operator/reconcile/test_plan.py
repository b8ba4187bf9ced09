"""What a plan does about each state of the world that needs a decision."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from memorybank_operator.reconcile.observed import ChildKey, Disk, Observed
from memorybank_operator.reconcile.plan import plan
from memorybank_operator.reconcile.steps import Apply, Create, Delete, Plan
from memorybank_operator.resources import names
from tests.operator.world import KEY, OTHER_KEY, RING, SETTINGS, World, bank, running

SECRET = ChildKey("Secret", "agents-key")
CLAIM = ChildKey("PersistentVolumeClaim", "agents-data")
DEPLOYMENT = ChildKey("Deployment", "agents")
SERVICE = ChildKey("Service", "agents")
CONFIG = ChildKey("ConfigMap", "agents-config")


def written(planned: Plan) -> list[str]:
    """Kinds that a plan writes, in order; a generated Secret is marked."""
    kinds = []
    for step in planned.steps:
        assert isinstance(step, Apply | Create)
        kinds.append(step.body["kind"] + ("!" if isinstance(step, Create) else ""))
    return kinds


def token(world: World) -> str:
    return base64.b64decode(world.children[SECRET]["data"]["token"]).decode()


def secret_with(**entries: str) -> dict[str, Any]:
    data = {key: base64.b64encode(value.encode()).decode() for key, value in entries.items()}
    return {"kind": "Secret", "metadata": {"name": "mine", "uid": "mine"}, "data": data}


# A new bank


def test_a_new_bank_gets_identity_and_configuration_before_the_workload() -> None:
    of, world = bank(), World()
    first = world.plan(of)
    assert written(first) == [
        "ServiceAccount",
        "ConfigMap",
        "Secret!",
        "PersistentVolumeClaim",
        "Service",
    ]
    assert first.requeue_after is not None
    assert first.requeue_after < 1
    world.execute(first)
    assert written(world.plan(of)) == ["Deployment"]


def test_the_pod_never_gets_a_key_that_was_not_read_back() -> None:
    """Create leaves a Secret that a stale snapshot did not show: its key is the one that counts."""
    of, world = bank(), World()
    stored = World()
    stored.converge(of, key=OTHER_KEY)
    planned = world.plan(of, key=KEY)
    world.children[SECRET] = stored.children[SECRET]
    world.execute(planned)
    world.converge(of, key=KEY)
    assert token(world) == OTHER_KEY
    assert world.deployment(of)["spec"] == stored.deployment(of)["spec"]


def test_nothing_is_planned_for_a_bank_on_its_way_out() -> None:
    of = bank(deletionTimestamp="2026-01-01T00:00:00Z")
    assert World().plan(of) == Plan()


# Drift


def test_a_deleted_object_is_made_anew() -> None:
    of = bank()
    world = running(of)
    for child in (CONFIG, SERVICE, DEPLOYMENT):
        del world.children[child]
        assert written(world.plan(of)) == [child.kind]
        world.converge(of)


def test_a_changed_object_is_put_back_and_an_event_says_where() -> None:
    of = bank()
    world = running(of)
    world.deployment(of)["spec"]["replicas"] = 0
    world.children[CONFIG]["data"]["config.yaml"] = "environment: chaos"
    planned = world.plan(of)
    assert [step.drift for step in planned.steps if isinstance(step, Apply)] == [
        ("data.config.yaml",),
        ("spec.replicas",),
    ]
    assert [note.reason for note in planned.notes] == ["DriftCorrected", "DriftCorrected"]
    assert "ConfigMap agents-config" in planned.notes[0].message
    assert "spec.replicas" in planned.notes[1].message
    world.execute(planned)
    assert world.plan(of).steps == ()


def test_a_long_list_of_changes_is_shortened_in_the_event() -> None:
    of = bank()
    world = running(of)
    world.deployment(of)["spec"]["template"]["spec"]["containers"][0] = {"name": "memorybank"}
    message = world.plan(of).notes[0].message
    assert message.endswith(", ...")
    assert message.count(",") == 5


def test_what_others_add_is_left_alone() -> None:
    of = bank()
    world = running(of)
    world.children[SERVICE]["metadata"]["annotations"]["example.org/a"] = "b"
    world.deployment(of)["spec"]["template"]["spec"]["containers"].append({"name": "sidecar"})
    assert world.plan(of).steps == ()


def test_a_new_rendering_is_no_drift() -> None:
    of = bank()
    world = running(of)
    changed = bank({"lifecycle": {"drainSeconds": 7}}, generation=2)
    planned = world.plan(changed)
    assert written(planned) == ["ConfigMap", "Deployment"]
    assert planned.notes == ()
    assert all(step.drift == () for step in planned.steps if isinstance(step, Apply))


def test_what_the_running_pod_takes_changes_its_file_alone() -> None:
    of = bank()
    world = running(of)
    planned = world.plan(bank({"logging": {"level": "debug"}}, generation=2))
    assert written(planned) == ["ConfigMap"]
    assert planned.revision == world.plan(of).revision
    assert planned.configuration != world.plan(of).configuration


def test_labels_and_annotations_of_the_bank_are_not_copied() -> None:
    foreign = {"argocd.argoproj.io/instance": "app", "app.kubernetes.io/instance": "app"}
    of = bank(labels=foreign, annotations=foreign)
    for step in World().plan(of).steps:
        assert isinstance(step, Apply | Create)
        assert "argocd" not in str(step.body)
        assert "app.kubernetes.io/instance" not in str(step.body)


# Names that are taken


@pytest.mark.parametrize("child", names.children(bank()), ids=lambda child: child.kind)
def test_somebody_elses_object_is_never_touched(child: ChildKey) -> None:
    of, world = bank(), World()
    world.children[child] = {
        "kind": child.kind,
        "metadata": {"name": child.name, "uid": "theirs", "labels": {"team": "other"}},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    for _ in range(3):
        planned = world.plan(of)
        assert child.kind not in {kind.rstrip("!") for kind in written(planned)}
        world.execute(planned)
    [problem] = world.plan(of).problems
    assert problem.reason == "NameConflict"
    assert problem.terminal
    assert f"{child.kind} {child.name}" in problem.message
    assert "memorybank.dev/bank=agents" in problem.message
    assert DEPLOYMENT not in world.children or child == DEPLOYMENT


def test_an_object_of_another_controller_is_foreign_whatever_its_labels_say() -> None:
    of = bank()
    world = running(of)
    reference = {"apiVersion": "v1", "kind": "Other", "name": "x", "uid": "x", "controller": True}
    world.children[SERVICE]["metadata"]["ownerReferences"] = [reference]
    assert [problem.reason for problem in world.plan(of).problems] == ["NameConflict"]


def test_objects_of_a_former_bank_are_waited_for() -> None:
    former, of = bank(), bank(uid="uid-2")
    world = running(former)
    planned = world.plan(of)
    assert written(planned) == ["PersistentVolumeClaim"]
    assert planned.requeue_after == 1.0
    assert {problem.reason for problem in planned.problems} == {"WaitingForDeletion"}
    assert not any(problem.terminal for problem in planned.problems)


def test_an_object_that_is_being_deleted_is_waited_for() -> None:
    of = bank()
    world = running(of)
    world.children[SERVICE]["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    planned = world.plan(of)
    assert planned.steps == ()
    assert planned.requeue_after == 1.0
    assert "Service agents" in planned.problems[0].message


def test_orphans_of_a_former_bank_are_adopted() -> None:
    """`kubectl delete --cascade=orphan` leaves the objects without an owner."""
    former, of = bank(), bank(uid="uid-2")
    world = running(former)
    for body in world.children.values():
        body["metadata"].pop("ownerReferences", None)
    key = token(world)
    world.converge(of)
    owners = {
        child: body["metadata"].get("ownerReferences", [{}])[0].get("uid")
        for child, body in world.children.items()
    }
    assert owners.pop(CLAIM) is None
    assert set(owners.values()) == {"uid-2"}
    assert token(world) == key


def test_what_is_no_longer_wanted_is_deleted_by_its_uid_but_never_a_volume() -> None:
    of = bank()
    world = running(of)
    for child in (ChildKey("ConfigMap", "agents-old"), ChildKey("PersistentVolumeClaim", "old")):
        labels = world.children[CONFIG]["metadata"]["labels"]
        owners = world.children[CONFIG]["metadata"]["ownerReferences"]
        metadata = {"name": child.name, "uid": "old", "labels": labels, "ownerReferences": owners}
        world.children[child] = {"kind": child.kind, "metadata": metadata}
    assert world.plan(of).steps == (Delete(ChildKey("ConfigMap", "agents-old"), uid="old"),)


def test_a_users_copy_with_the_label_alone_is_not_deleted() -> None:
    of = bank()
    world = running(of)
    copied = {"name": "copy", "uid": "copy", "labels": {"memorybank.dev/bank": "agents"}}
    world.children[ChildKey("Secret", "copy")] = {"kind": "Secret", "metadata": copied}
    assert world.plan(of).steps == ()


# The admin key


def test_a_lost_key_is_replaced_and_people_are_told() -> None:
    of = bank()
    world = running(of)
    del world.children[SECRET]
    planned = world.plan(of, key=OTHER_KEY)
    assert written(planned) == ["Secret!"]
    [note] = planned.notes
    assert (note.reason, note.warning) == ("KeyReplaced", True)
    assert "Secret agents-key" in note.message
    assert OTHER_KEY not in note.message
    world.execute(planned)
    assert written(world.plan(of)) == [], "the running pod takes the new key"


def test_a_key_lost_together_with_the_deployment_is_known_from_the_status() -> None:
    of = bank(status={"binding": {"name": "agents-key"}})
    assert [note.reason for note in World().plan(of).notes] == ["KeyReplaced"]


def test_the_first_key_is_no_event() -> None:
    assert World().plan(bank()).notes == ()


@pytest.mark.parametrize("damage", ["bm9uc2Vuc2U=", "*not base64*", "", None, "/w=="])
def test_a_damaged_key_is_replaced_and_people_are_told(damage: str | None) -> None:
    of = bank()
    world = running(of)
    data = world.children[SECRET]["data"]
    data.pop("token") if damage is None else data.update(token=damage)
    planned = world.plan(of, key=OTHER_KEY)
    assert written(planned) == ["Secret"], "applied, since it exists"
    assert [note.reason for note in planned.notes] == ["KeyReplaced"]
    world.converge(of, key=OTHER_KEY)
    assert token(world) == OTHER_KEY


def test_a_valid_key_put_there_by_hand_is_respected() -> None:
    of = bank()
    world = running(of)
    data = world.children[SECRET]["data"]
    data["token"] = base64.b64encode(OTHER_KEY.encode()).decode()
    planned = world.plan(of, key=KEY)
    assert written(planned) == ["Secret"]
    assert planned.notes == ()
    world.converge(of, key=KEY)
    assert token(world) == OTHER_KEY


def test_an_own_key_is_copied_into_the_banks_secret() -> None:
    of = bank({"auth": {"adminKeySecretRef": {"name": "mine", "key": "key"}}})
    world = World(admin_key_secret=secret_with(key=OTHER_KEY + "\n"))
    world.converge(of)
    assert token(world) == OTHER_KEY


def test_a_changed_own_key_is_for_the_running_pod() -> None:
    of = bank({"auth": {"adminKeySecretRef": {"name": "mine"}}})
    world = World(admin_key_secret=secret_with(token=KEY))
    before = world.converge(of)
    world.admin_key_secret = secret_with(token=OTHER_KEY)
    after = world.converge(of)
    assert after.revision == before.revision
    assert after.configuration != before.configuration


@pytest.mark.parametrize(
    ("secret", "reason", "words"),
    [
        (None, "AdminKeySecretNotFound", "adminKeySecretRef.name: Secret mine does not exist"),
        (secret_with(other="x"), "AdminKeySecretNotFound", "adminKeySecretRef.key"),
        (secret_with(token="mb_short"), "AdminKeyInvalid", "43 characters"),
        (secret_with(token=""), "AdminKeyInvalid", "43 characters"),
    ],
)
def test_an_own_key_that_cannot_be_used_is_named_and_nothing_else_waits(
    secret: dict[str, Any] | None, reason: str, words: str
) -> None:
    of = bank({"auth": {"adminKeySecretRef": {"name": "mine"}}})
    world = World(admin_key_secret=secret)
    planned = world.plan(of)
    [problem] = planned.problems
    assert problem.reason == reason
    assert words in problem.message
    assert not problem.terminal
    assert planned.requeue_after is not None
    assert 5 <= planned.requeue_after <= 15
    assert written(planned) == ["ServiceAccount", "ConfigMap", "PersistentVolumeClaim", "Service"]
    assert planned.revision == ""
    world.admin_key_secret = secret_with(token=KEY)
    assert world.converge(of).problems == ()


def test_a_vanished_own_key_leaves_the_running_bank_as_it_is() -> None:
    of = bank({"auth": {"adminKeySecretRef": {"name": "mine"}}})
    world = World(admin_key_secret=secret_with(token=KEY))
    world.converge(of)
    world.admin_key_secret = None
    assert world.plan(of).steps == ()


# The volume


def test_the_volume_is_owned_only_under_delete() -> None:
    for policy, owned in (("Retain", False), ("Delete", True)):
        world = World()
        world.converge(bank({"deletionPolicy": policy}))
        assert ("ownerReferences" in world.children[CLAIM]["metadata"]) is owned


def test_a_retained_volume_is_adopted_once() -> None:
    former, of = bank(), bank(uid="uid-2")
    world = running(former)
    world.children = {CLAIM: world.children[CLAIM]}
    planned = world.plan(of)
    [note] = planned.notes
    assert (note.reason, note.warning) == ("VolumeAdopted", False)
    assert "PersistentVolumeClaim agents-data" in note.message
    world.execute(planned)
    assert world.plan(of).notes == ()


def test_a_size_that_the_api_server_writes_otherwise_is_not_asked_for_again() -> None:
    of = bank({"storage": {"volume": {"size": "1024Mi"}}})
    world = running(of)
    world.volume_claim(of)["spec"]["resources"]["requests"]["storage"] = "1Gi"
    assert world.plan(of).steps == ()


def test_a_retained_volume_keeps_its_larger_size() -> None:
    former = bank({"storage": {"volume": {"size": "5Gi"}}})
    world = running(former)
    world.children = {CLAIM: world.children[CLAIM]}
    world.converge(bank(uid="uid-2"))
    assert world.children[CLAIM]["spec"]["resources"]["requests"]["storage"] == "5Gi"


def test_a_volume_grows_where_its_class_allows_it() -> None:
    world = running(bank())
    larger = bank({"storage": {"volume": {"size": "2Gi"}}}, generation=2)
    assert written(world.plan(larger)) == ["PersistentVolumeClaim"]
    world.converge(larger)
    assert world.children[CLAIM]["spec"]["resources"]["requests"]["storage"] == "2Gi"


def test_a_volume_that_cannot_grow_is_named_and_not_touched() -> None:
    small = {"storageClassName": "rigid", "size": "1Gi"}
    world = running(bank({"storage": {"volume": small}}))
    planned = world.plan(bank({"storage": {"volume": small | {"size": "2Gi"}}}, generation=2))
    [problem] = planned.problems
    assert (problem.reason, problem.terminal) == ("VolumeNotExpandable", True)
    assert "spec.storage.volume.size" in problem.message
    assert "set the size back to 1Gi" in problem.message
    assert planned.steps == ()


def test_a_volume_whose_disk_is_low_grows_by_itself_one_growth_at_a_time() -> None:
    of = bank({"storage": {"volume": {"autoGrow": {"enabled": True, "maxSize": "3Gi"}}}})
    world = running(of)
    claim, gi = world.volume_claim(of), 2**30
    sizes = []
    for total in (gi, 2 * gi, 3 * gi):
        world.disk = Disk(total=total, free=total // 100)
        planned = world.plan(of)
        world.execute(planned)
        claim = world.volume_claim(of)
        asked = claim["spec"]["resources"]["requests"]["storage"]
        sizes.append(asked)
        assert all(isinstance(each, Apply) and each.spare for each in planned.steps)
        assert [each.reason for each in planned.notes] == ["VolumeGrows"] * len(planned.steps)
        assert world.plan(of).steps == ()  # the driver has not even begun
        claim["status"]["capacity"] = {"storage": asked}
        assert world.plan(of).steps == ()  # nobody has seen the new file system
    assert sizes == ["2Gi", "3Gi", "3Gi"]
    assert of.spec.storage.volume.size == "1Gi"


def test_a_growth_by_edit_is_no_spare_one_and_goes_beyond_what_grew_by_itself() -> None:
    auto = {"enabled": True, "maxSize": "8Gi"}
    of = bank({"storage": {"volume": {"autoGrow": auto}}})
    world = running(of)
    world.disk = Disk(total=2**30, free=0)
    world.execute(world.plan(of))
    larger = bank({"storage": {"volume": {"size": "5Gi", "autoGrow": auto}}}, generation=2)
    (step,) = world.plan(larger).steps
    assert isinstance(step, Apply)
    assert step.spare is False
    assert step.body["spec"]["resources"]["requests"]["storage"] == "5Gi"
    smaller = bank({"storage": {"volume": {"size": "1Gi", "autoGrow": auto}}}, generation=2)
    assert world.plan(smaller).steps == ()


def test_a_volume_that_is_not_bound_yet_grows_later() -> None:
    world = running(bank())
    world.children[CLAIM]["status"] = {"phase": "Pending"}
    larger = bank({"storage": {"volume": {"size": "2Gi"}}}, generation=2)
    assert world.plan(larger).steps == ()
    world.children[CLAIM]["status"] = {"phase": "Bound"}
    assert written(world.plan(larger)) == ["PersistentVolumeClaim"]


@pytest.mark.parametrize(
    ("spec", "field", "cure"),
    [
        ({"storageClassName": "rigid"}, "storageClassName", "anew with standard"),
        ({"accessMode": "ReadWriteOncePod"}, "accessMode", "anew with ReadWriteOnce,"),
    ],
)
def test_a_retained_volume_that_does_not_fit_the_spec_is_named(
    spec: dict[str, Any], field: str, cure: str
) -> None:
    world = running(bank())
    world.children = {CLAIM: world.children[CLAIM]}
    planned = world.plan(bank({"storage": {"volume": spec}}, uid="uid-2"))
    [problem] = planned.problems
    assert (problem.reason, problem.terminal) == ("VolumeMismatch", True)
    assert f"spec.storage.volume.{field}" in problem.message
    assert cure in problem.message
    assert "PersistentVolumeClaim" not in written(planned)
    assert planned.notes == ()


@pytest.mark.parametrize(
    ("spec", "classes", "words"),
    [
        ({"storageClassName": "fast"}, ("standard", "rigid"), "existing classes: rigid, standard"),
        ({"storageClassName": "fast"}, (), "there is none at all"),
        ({}, ("rigid",), "no default StorageClass"),
    ],
)
def test_a_missing_storage_class_is_named_and_no_claim_is_made(
    spec: dict[str, Any], classes: tuple[str, ...], words: str
) -> None:
    of, world = bank({"storage": {"volume": spec}}), World()
    world.storage_classes = {name: world.storage_classes[name] for name in classes}
    planned = world.plan(of)
    [problem] = planned.problems
    assert problem.reason == "StorageClassNotFound"
    assert "spec.storage.volume.storageClassName" in problem.message
    assert words in problem.message
    assert not problem.terminal
    assert planned.requeue_after is not None
    assert "PersistentVolumeClaim" not in written(planned)
    world.execute(planned)
    assert DEPLOYMENT not in world.children
    world.storage_classes = World().storage_classes | {"fast": World().storage_classes["rigid"]}
    assert world.converge(of).problems == ()
    assert DEPLOYMENT in world.children


def test_a_storage_class_that_is_gone_does_not_matter_to_a_volume_that_exists() -> None:
    of = bank()
    world = running(of)
    world.storage_classes = {}
    assert world.plan(of).problems == ()


# Paused


def test_a_paused_bank_is_left_alone_but_still_explained() -> None:
    world = running(bank())
    paused = bank({"paused": True, "logging": {"level": "debug"}}, generation=2)
    world.deployment(paused)["spec"]["replicas"] = 0
    planned = world.plan(paused)
    assert planned.steps == ()
    assert planned.notes == ()
    assert planned.revision
    del world.children[SECRET]
    foreign = {"kind": "Service", "metadata": {"name": "agents", "uid": "theirs"}}
    world.children[SERVICE] = foreign
    again = plan(paused, Observed(children=world.children), SETTINGS, lambda: KEY, lambda: RING)
    assert again.steps == ()
    assert [problem.reason for problem in again.problems] == ["NameConflict"]
