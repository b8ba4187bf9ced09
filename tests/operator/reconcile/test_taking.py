"""A service that takes no changes while it runs, and pods made by operators who knew no others:
each change makes another pod, and that the operator was upgraded makes none.
"""

from __future__ import annotations

import base64
from dataclasses import replace
from typing import Any

import pytest

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.reconcile.steps import Apply, Plan
from memorybank_operator.resources import names
from memorybank_operator.resources.deployment import revision_in
from memorybank_operator.resources.pod_template import covers_all
from tests.operator.reconcile.test_rollout import NEWER, Scene, condition
from tests.operator.world import KEY, OTHER_KEY, World, bank, that_takes_none

LIMITS = {"limits": {"maxBodyBytes": 4096}}
OWN_KEY = {"auth": {"adminKeySecretRef": {"name": "mine"}}}


def applied(planned: Plan) -> list[str]:
    return [step.body["kind"] for step in planned.steps if isinstance(step, Apply)]


def secret(key: str) -> dict[str, Any]:
    return {"data": {"token": base64.b64encode(key.encode()).decode()}}


def upgraded(spec: dict[str, Any], **world: Any) -> Scene:
    """A bank that an operator before made, and this one found and proved."""
    scene = Scene(World(**world), bank(spec))
    scene.world.converge(that_takes_none(scene.of))
    scene.world.run(scene.of)
    scene.judge()
    assert covers_all(scene.world.deployment(scene.of))
    return scene


def silent(spec: dict[str, Any]) -> Scene:
    """A new bank whose service does not know of taking changes, after the canary found out."""
    scene = Scene.of_spec(spec)
    found = scene.world.passed(scene.of, ok=False, pending=True, takes_changes=False)
    scene.world.canary = replace(found, message="this version takes no changes")
    return scene


def revision(scene: Scene) -> str:
    return revision_in(scene.world.deployment(scene.of))


@pytest.mark.parametrize("mode", ["Automatic", "Supervised"])
def test_an_upgraded_operator_leaves_a_pod_as_it_is(mode: str) -> None:
    scene = upgraded(LIMITS | {"updatePolicy": {"mode": mode}})
    status = scene.judge()
    assert scene.plan().steps == ()
    assert condition(status, "Ready")["status"] == "True"
    assert "plan" not in status
    assert scene.plan().configuration is not None
    assert scene.plan().configuration.by_revision  # type: ignore[union-attr]


def test_its_first_change_makes_it_a_pod_that_takes_the_next_ones() -> None:
    scene = upgraded({})
    scene.change(**LIMITS)
    assert applied(scene.plan()) == ["ConfigMap", "Deployment"]
    scene.settle()
    scene.prove()
    assert not covers_all(scene.world.deployment(scene.of))
    scene.change(limits={"maxBodyBytes": 8192})
    assert applied(scene.plan()) == ["ConfigMap"]


def test_a_changed_secret_replaces_it_at_once() -> None:
    scene = upgraded(OWN_KEY, admin_key_secret=secret(KEY))
    scene.world.admin_key_secret = secret(OTHER_KEY)
    assert applied(scene.plan()) == ["Secret", "Deployment"], "it waits for nobody's turn"


def test_a_lost_key_is_repaired_without_approval() -> None:
    scene = upgraded({"updatePolicy": {"mode": "Supervised"}})
    del scene.world.children[names.key_secret(scene.of)]
    before = revision(scene)
    scene.world.execute(scene.plan(key=OTHER_KEY))
    scene.settle()
    assert revision(scene) != before


def test_a_change_that_waits_leaves_it_as_the_operator_before_made_it() -> None:
    scene = upgraded({"updatePolicy": {"mode": "Supervised"}})
    before = revision(scene)
    scene.change(image="registry.example/app:2")
    status = scene.judge()
    assert status["plan"]["image"] == "registry.example/app:2"
    assert scene.plan().steps == ()
    del scene.world.children[names.deployment(scene.of)]
    scene.settle()
    assert revision(scene) == before


def test_what_was_taken_back_before_the_upgrade_is_not_tried_again() -> None:
    scene = upgraded({})
    scene.prove()
    bad = World()
    bad.converge(that_takes_none(bank({"image": "registry.example/app:bad"})))
    rejected = {
        "revision": revision_in(bad.deployment(scene.of)),
        "image": "registry.example/app:bad",
        "message": "It did not start.",
    }
    scene.change(image="registry.example/app:bad")
    status = scene.of.status.model_dump(mode="json", exclude_none=True)
    status["rollout"] |= {"rejected": rejected}
    scene.of = bank({"image": "registry.example/app:bad"}, status=status, generation=2)
    planned = scene.plan()
    assert planned.steps == ()
    assert planned.held is not None
    assert planned.held.reason is Reason.ROLLED_BACK


def test_a_service_that_takes_no_changes_gets_a_pod_for_all_of_its_settings() -> None:
    scene = silent({})
    status = scene.judge()
    assert status["rollout"]["current"]["takesChanges"] is False
    assert condition(status, "Ready")["status"] != "True"
    scene.world.canary = None
    assert applied(scene.plan()) == ["Deployment"], "for the revision to prove the configuration"
    scene.settle()
    status = scene.prove()
    assert condition(status, "Ready")["status"] == "True"
    assert status["rollout"]["current"]["takesChanges"] is False
    for size in (4096, 8192):
        before = revision(scene)
        scene.change(limits={"maxBodyBytes": size})
        assert applied(scene.plan()) == ["ConfigMap", "Deployment"]
        scene.settle()
        assert revision(scene) != before
        scene.prove()
    scene.change(image="registry.example/app:2")
    scene.settle()
    assert not covers_all(scene.world.deployment(scene.of)), "another image may know more"


def test_what_it_said_counts_before_it_is_written_down_and_after_the_operator_forgot_it() -> None:
    scene = silent({})
    assert applied(scene.plan()) == ["Deployment"]
    scene.world.execute(scene.plan())
    scene.world.canary = None  # the operator died before the status was written
    assert scene.plan().steps == ()
    assert covers_all(scene.world.deployment(scene.of))


def test_an_image_that_learned_it_is_left_alone_until_something_changes() -> None:
    scene = silent({})
    scene.settle()
    scene.prove()
    assert scene.world.canary is not None
    scene.world.canary = replace(scene.world.canary, takes_changes=True)
    status = scene.judge()
    assert "takesChanges" not in status["rollout"]["current"]
    assert scene.plan().steps == ()


def test_an_upgrade_with_another_image_still_waits_for_its_turn() -> None:
    scene = upgraded({})
    scene.settings = NEWER
    status = scene.judge()
    assert condition(status, "UpdatePending")["reason"] == Reason.UPDATE_QUEUED
    assert scene.plan().steps == ()
