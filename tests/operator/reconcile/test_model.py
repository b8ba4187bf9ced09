"""A bank with an Ollama of its own waits for a model that it never used, and for no other."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_operator.resources import names
from memorybank_operator.resources.backend import OLLAMA
from tests.operator.reconcile.test_rollout import NEWER, SUPERVISED, Scene, condition
from tests.operator.world import SETTINGS, World, bank


def using(model: str, **managed: Any) -> dict[str, Any]:
    return {"provider": "ollama", "model": model, "ollama": {"managed": managed}}


OWN = {"embedding": using("first")}


def new(spec: dict[str, Any]) -> Scene:
    """A bank whose model is being loaded."""
    scene = Scene(World(), bank(spec))
    scene.settle()
    return scene


def server(scene: Scene) -> dict[str, Any]:
    return scene.world.children[OLLAMA.server(scene.of)]


def kept_model(scene: Scene) -> str:
    """The model that the bank's own Ollama is to keep."""
    _, keeper = server(scene)["spec"]["template"]["spec"]["containers"]
    return str(keeper["args"][2])


def used_model(scene: Scene) -> str:
    """The model that the configuration of the bank names."""
    text = scene.world.children[names.config_map(scene.of)]["data"]["config.yaml"]
    return next((line.split()[1] for line in text.splitlines() if "model:" in line), "builtin")


def reason(scene: Scene) -> str:
    return str(condition(scene.judge(), "Ready")["reason"])


def test_the_pod_of_a_new_bank_is_made_when_the_model_answers() -> None:
    scene = new(OWN)
    told = condition(scene.judge(), "Ready")
    assert (told["status"], told["reason"]) == ("False", "ModelLoading")
    assert "`kubectl -n team logs agents-ollama-0 -c model`" in told["message"]
    assert names.deployment(scene.of) not in scene.world.children
    scene.world.load_model(scene.of)
    scene.settle()
    assert condition(scene.prove(), "Ready")["status"] == "True"


@pytest.mark.parametrize(
    "status",
    [
        {},
        {"readyReplicas": 0},
        {"observedGeneration": 0},
        {"updateRevision": "the-next-one"},
    ],
)
def test_only_a_server_of_the_wanted_kind_that_is_ready_has_the_model(
    status: dict[str, Any],
) -> None:
    scene = new(OWN)
    if status:
        scene.world.load_model(scene.of)
        server(scene)["status"] |= status
    assert not scene.plan().steps
    assert reason(scene) == "ModelLoading"


def test_a_server_that_is_still_to_be_changed_does_not_have_the_model_either() -> None:
    scene = new(OWN)
    scene.world.load_model(scene.of)
    scene.change(embedding=using("second"))
    planned = scene.plan()
    assert [step.body["kind"] for step in planned.steps] == ["ConfigMap", "StatefulSet"]  # type: ignore[union-attr]  # all apply


def test_a_bank_that_runs_goes_on_by_its_former_model_meanwhile() -> None:
    scene = Scene.of_spec({})
    scene.change(**OWN)
    status = scene.settle()
    assert (kept_model(scene), used_model(scene)) == ("first", "builtin")
    assert condition(status, "Ready")["reason"] == "ModelLoading"
    assert condition(status, "UpdatePending")["reason"] == "ModelLoading"
    assert condition(status, "Reconciling")["reason"] == "Progressing"
    assert status["plan"]["reason"] == "ModelLoading"
    scene.world.load_model(scene.of)
    scene.settle()
    assert used_model(scene) == "first"
    assert condition(scene.prove(), "Ready")["status"] == "True"


def test_another_model_of_the_same_server_is_waited_for_too() -> None:
    scene = Scene.of_spec(OWN)
    scene.change(embedding=using("second"))
    scene.settle()
    assert (kept_model(scene), used_model(scene)) == ("second", "first")
    scene.world.load_model(scene.of)
    scene.settle()
    assert used_model(scene) == "second"


def test_a_bank_that_has_used_the_model_waits_for_nothing() -> None:
    scene = Scene.of_spec(OWN)
    del server(scene)["status"]["readyReplicas"]
    scene.change(**OWN, restart="now")
    scene.settle()
    assert reason(scene) == "DeploymentProgressing"
    assert condition(scene.prove(), "Ready")["status"] == "True"
    del scene.world.children[names.deployment(scene.of)]
    scene.settle()
    assert names.deployment(scene.of) in scene.world.children


def test_the_size_of_its_server_is_no_other_model() -> None:
    scene = Scene.of_spec(OWN)
    scene.change(embedding=using("first", resources={"limits": {"memory": "8Gi"}}))
    assert [step.body["kind"] for step in scene.plan().steps] == ["StatefulSet"]  # type: ignore[union-attr]  # all apply
    scene.settle()
    assert condition(scene.judge(), "UpdatePending") == {}


def test_a_bank_that_sleeps_waits_for_nothing() -> None:
    scene = new(OWN | {"hibernate": True})
    assert reason(scene) == "Hibernated"
    assert scene.world.deployment(scene.of)["spec"]["replicas"] == 0


@pytest.mark.parametrize("at_once", [False, True], ids=["then woken", "by the same edit"])
def test_a_bank_that_got_another_model_in_its_sleep_wakes_when_that_answers(at_once: bool) -> None:
    scene = Scene.of_spec(OWN)
    scene.change(hibernate=True)
    scene.settle()
    if not at_once:
        scene.change(embedding=using("second"))
        assert condition(scene.settle(), "Ready")["reason"] == "Hibernated"
    scene.change(embedding=using("second"), hibernate=False)
    told = condition(scene.settle(), "Ready")
    assert (told["status"], told["reason"]) == ("False", "ModelLoading")
    assert (kept_model(scene), server(scene)["spec"]["replicas"]) == ("second", 1)
    assert scene.world.deployment(scene.of)["spec"]["replicas"] == 0
    scene.world.load_model(scene.of)
    scene.settle()
    assert scene.world.deployment(scene.of)["spec"]["replicas"] == 1
    assert used_model(scene) == "second"
    assert condition(scene.prove(), "Ready")["status"] == "True"


def test_a_bank_that_slept_before_its_first_model_answered_waits_for_it_when_it_wakes() -> None:
    scene = new(OWN | {"hibernate": True})
    scene.change(hibernate=False)
    assert condition(scene.settle(), "Ready")["reason"] == "ModelLoading"
    assert scene.world.deployment(scene.of)["spec"]["replicas"] == 0


def test_a_bank_wakes_at_once_that_has_used_its_model() -> None:
    scene = Scene.of_spec(OWN)
    scene.change(hibernate=True, restart="asleep")  # another pod, which has not run
    scene.settle()
    del server(scene)["status"]["readyReplicas"]
    scene.change(hibernate=False)
    scene.settle()
    assert scene.world.deployment(scene.of)["spec"]["replicas"] == 1


def test_a_pod_that_runs_is_not_put_to_sleep_for_its_model() -> None:
    scene = new(OWN)
    scene.world.load_model(scene.of)
    scene.settle()  # made, and not proven
    del server(scene)["status"]["readyReplicas"]
    scene.settle()
    assert scene.world.deployment(scene.of)["spec"]["replicas"] == 1


def test_under_supervision_the_server_keeps_the_model_in_use_until_another_is_approved() -> None:
    scene = Scene.of_spec(SUPERVISED | OWN)
    scene.change(embedding=using("second"))
    status = scene.settle()
    assert (kept_model(scene), used_model(scene)) == ("first", "first")
    approved = {"mode": "Supervised", "approved": status["plan"]["id"]}
    scene.change(updatePolicy=approved)
    assert condition(scene.settle(), "Ready")["reason"] == "ModelLoading"
    assert (kept_model(scene), used_model(scene)) == ("second", "first")
    scene.world.load_model(scene.of)
    scene.settle()
    assert used_model(scene) == "second"


def test_a_server_that_is_no_longer_wanted_stays_while_the_running_pod_uses_it() -> None:
    scene = Scene.of_spec(SUPERVISED | OWN)
    scene.change(embedding={"provider": "builtin"})
    scene.settle()
    assert OLLAMA.server(scene.of) in scene.world.children


def test_the_server_gets_another_image_of_the_service_together_with_the_bank() -> None:
    scene = Scene.of_spec(OWN)
    scene.settings = NEWER
    scene.settle()
    _, keeper = server(scene)["spec"]["template"]["spec"]["containers"]
    assert (keeper["image"], scene.image) == (SETTINGS.app_image, SETTINGS.app_image)
    scene.turn = True
    scene.settle()
    scene.settle()
    _, keeper = server(scene)["spec"]["template"]["spec"]["containers"]
    assert (keeper["image"], scene.image) == (NEWER.app_image, NEWER.app_image)
