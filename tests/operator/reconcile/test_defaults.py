"""What the cluster-wide defaults make of a bank, and how a bank takes it when they change."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

from memorybank_operator.api.defaults import NO_DEFAULTS, Defaults
from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.reconcile.plan import plan
from memorybank_operator.resources.context import RenderSettings
from memorybank_operator.resources.image import image_of
from tests.operator.reconcile.test_rollout import SUPERVISED, Scene, condition
from tests.operator.strategies import defaults, specs
from tests.operator.world import KEY, RING, SETTINGS, World, bank

NOTHING = replace(SETTINGS, defaults=NO_DEFAULTS)
BIG = {"limits": {"memory": "2Gi"}}


def having(**values: Any) -> RenderSettings:
    return replace(SETTINGS, defaults=Defaults.model_validate(values))


def volume_class(name: str) -> RenderSettings:
    return having(storage={"volume": {"storageClassName": name}})


def pod(scene: Scene) -> dict[str, Any]:
    template: dict[str, Any] = scene.world.deployment(scene.of)["spec"]["template"]["spec"]
    return template


def resources(scene: Scene) -> dict[str, Any]:
    found: dict[str, Any] = pod(scene)["containers"][0]["resources"]
    return found


def made(spec: dict[str, Any], under: RenderSettings) -> Scene:
    """A bank that was made under these defaults, and runs."""
    scene = Scene(World(), bank(spec), under)
    scene.settle()
    scene.prove()
    return scene


@pytest.mark.parametrize(
    ("built_in", "given", "spec", "image"),
    [
        ("app:1", {}, {}, "app:1"),
        ("app:1", {"image": "own:2"}, {}, "own:2"),
        ("app:1", {"version": "3"}, {}, "app:3"),
        ("app:1", {"version": "3"}, {"version": "4"}, "app:4"),
        ("app:1", {"image": "own:2"}, {"version": "4"}, "own:4"),
        ("app:1", {"registry": "mirror"}, {}, "mirror/app:1"),
        ("team/app:1", {"registry": "mirror:5000/x"}, {}, "mirror:5000/x/team/app:1"),
        ("old.example/team/app:1", {"registry": "mirror"}, {}, "mirror/team/app:1"),
        ("localhost/app:1", {"registry": "mirror", "version": "3"}, {}, "mirror/app:3"),
        ("old:5000/app@sha256:abc", {"registry": "mirror"}, {}, "mirror/app@sha256:abc"),
        ("app:1", {"registry": "mirror"}, {"image": "mine:9"}, "mine:9"),
        ("app:1", {"image": "own:2"}, {"image": "mine:9"}, "mine:9"),
    ],
)
def test_the_image_is_the_specs_then_that_of_the_defaults_then_the_operators(
    built_in: str, given: dict[str, Any], spec: dict[str, Any], image: str
) -> None:
    under = RenderSettings(built_in, "cluster.local", Defaults.model_validate(given))
    assert image_of(bank(spec).spec, under) == image


def test_what_the_spec_leaves_out_is_taken_and_what_it_says_wins() -> None:
    under = having(resources=BIG, nodeSelector={"disk": "ssd"}, priorityClassName="high")
    scene = made({"priorityClassName": "low"}, under)
    assert resources(scene) == BIG
    assert (pod(scene)["nodeSelector"], pod(scene)["priorityClassName"]) == ({"disk": "ssd"}, "low")
    said = scene.judge()["rollout"]["current"]
    assert said["spec"] == {"priorityClassName": "low"}
    assert said["defaults"] == {
        "resources": {"limits": {"memory": "2Gi"}, "requests": {}},
        "nodeSelector": {"disk": "ssd"},
    }


def test_an_empty_value_of_the_spec_wins_too() -> None:
    scene = made(
        {"nodeSelector": {}, "resources": {}}, having(resources=BIG, nodeSelector={"a": "b"})
    )
    assert "nodeSelector" not in pod(scene)
    assert "resources" not in pod(scene)["containers"][0]
    assert "defaults" not in scene.judge()["rollout"]["current"]


@settings(max_examples=25, deadline=None)
@given(specs, defaults)
def test_a_bank_made_under_defaults_needs_nothing_more(
    spec: dict[str, Any], given: dict[str, Any]
) -> None:
    scene = Scene(World(), bank(spec), having(**given))
    scene.settle()
    scene.world.start_servers(scene.of)
    scene.settle()
    scene.prove()
    scene.settle()  # read replicas are made once the bank serves
    planned = scene.plan()
    assert (planned.steps, planned.held) == ((), None)
    for name in spec.keys() & given.keys() - {"image", "storage"}:
        assert name not in (scene.of.status.rollout.current.defaults or {})  # type: ignore[union-attr]


def test_a_change_of_the_defaults_waits_for_the_banks_turn_and_agents_are_served() -> None:
    scene = made({}, SETTINGS)
    scene.settings = having(resources=BIG)
    status = scene.settle()
    assert condition(status, "UpdatePending")["reason"] == Reason.UPDATE_QUEUED
    assert condition(status, "Ready")["status"] == "True"
    assert resources(scene)["limits"] == {"memory": "512Mi"}
    # What is deleted meanwhile comes back as it was.
    scene.world.children.pop(next(k for k in scene.world.children if k.kind == "ConfigMap"))
    scene.settle()
    assert resources(scene)["limits"] == {"memory": "512Mi"}
    scene.turn = True
    scene.settle()
    scene.settle()
    assert resources(scene) == BIG


def test_what_waits_while_defaults_were_in_force_is_rendered_with_those() -> None:
    scene = made({}, having(resources=BIG, nodeSelector={"disk": "ssd"}))
    scene.settings = NOTHING
    scene.settle()
    pod(scene)["nodeSelector"] = {"disk": "hdd"}  # by hand
    scene.settle()
    assert resources(scene) == BIG
    assert pod(scene)["nodeSelector"] == {"disk": "ssd"}


def test_a_changed_default_image_is_an_update_of_the_operators_own() -> None:
    scene = made({}, SETTINGS)
    scene.settings = having(version="newer")
    assert condition(scene.settle(), "UpdatePending")["reason"] == Reason.UPDATE_QUEUED
    assert scene.image == SETTINGS.app_image


def test_a_supervised_bank_shows_what_changed_defaults_would_do_and_waits() -> None:
    scene = made(SUPERVISED, SETTINGS)
    scene.settings = having(resources=BIG)
    scene.turn = True
    status = scene.settle()
    assert condition(status, "UpdatePending")["reason"] == Reason.AWAITING_APPROVAL
    assert condition(status, "Ready")["status"] == "True"
    [changed] = status["plan"]["objects"]
    assert any("resources" in field for field in changed["fields"])
    scene.change(updatePolicy={"mode": "Supervised", "approved": status["plan"]["id"]})
    scene.settle()
    scene.settle()
    assert resources(scene) == BIG


def test_what_the_user_sets_in_place_of_a_default_goes_at_once() -> None:
    scene = made({}, having(resources=BIG))
    # The very values that banks get for which nobody says anything.
    scene.change(
        resources={"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}}
    )
    scene.settle()
    assert resources(scene)["limits"] == {"memory": "512Mi"}


def test_a_bank_that_an_older_crd_wrote_the_resources_into_is_no_change_of_its_user() -> None:
    scene = made({}, SETTINGS)
    scene.change(
        resources={"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "512Mi"}}
    )
    scene.settings = having(version="newer")
    assert condition(scene.settle(), "UpdatePending")["reason"] == Reason.UPDATE_QUEUED


def claim(scene: Scene) -> dict[str, Any]:
    return scene.world.volume_claim(scene.of)


def test_a_new_volume_gets_the_default_class_and_keeps_it() -> None:
    scene = made({}, volume_class("rigid"))
    assert claim(scene)["spec"]["storageClassName"] == "rigid"
    scene.settings = volume_class("standard")
    assert scene.plan().steps == ()
    scene.settings = NOTHING
    assert scene.plan().steps == ()
    # Of a bank that there is already, nothing changes.
    old = made({}, NOTHING)
    old.settings = volume_class("rigid")
    assert old.plan().steps == ()


def test_the_specs_class_wins() -> None:
    scene = made({"storage": {"volume": {"storageClassName": "standard"}}}, volume_class("rigid"))
    assert claim(scene)["spec"]["storageClassName"] == "standard"


def test_a_default_class_that_does_not_exist_is_named_with_where_it_comes_from() -> None:
    [problem] = plan(
        bank(), World().observed(), volume_class("gone"), lambda: KEY, lambda: RING
    ).problems
    assert problem.reason == Reason.STORAGE_CLASS_NOT_FOUND
    assert (
        "StorageClass gone, which the operator's defaults name, does not exist" in problem.message
    )


def test_an_adopted_volume_keeps_the_class_that_its_former_bank_asked_for() -> None:
    former = made({"storage": {"volume": {"storageClassName": "rigid"}}}, NOTHING)
    heir = Scene(World(), bank(uid="uid-2"))
    heir.world.children = {
        key: body
        for key, body in former.world.children.items()
        if key.kind == "PersistentVolumeClaim"
    }
    heir.settle()
    assert claim(heir)["spec"]["storageClassName"] == "rigid"
    heir.prove()
    assert heir.plan().steps == ()
