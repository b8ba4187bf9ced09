"""Which changes of a pod are made, which wait, what for, and what is put back meanwhile."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.reconcile.observed import KubeObject
from memorybank_operator.reconcile.plan import plan
from memorybank_operator.reconcile.steps import Apply, Plan
from memorybank_operator.resources import names
from memorybank_operator.resources.context import RenderSettings
from memorybank_operator.status.reduce import reduce
from tests.operator.world import (
    DEADLINE,
    KEY,
    NOW,
    OTHER_KEY,
    RING,
    SETTINGS,
    World,
    bank,
    bank_body,
    running,
    unready,
)

SUPERVISED = {"updatePolicy": {"mode": "Supervised"}}
NEWER = replace(SETTINGS, app_image="localhost/memorybank-app:newer")


def ollama(host: str) -> dict[str, Any]:
    return {"provider": "ollama", "model": "m", "ollama": {"url": f"http://{host}"}}


@dataclass
class Scene:
    """A bank that runs and proved it, and is changed then."""

    world: World
    of: MemoryBank
    settings: RenderSettings = SETTINGS
    turn: bool = False
    later: timedelta = timedelta()

    @classmethod
    def of_spec(cls, spec: dict[str, Any]) -> Scene:
        scene = cls(running(bank(spec)), bank(spec))
        scene.judge()
        return scene

    def change(self, **spec: Any) -> None:
        """Edit the spec, as a user would."""
        before = self.of.spec.model_dump(mode="json", exclude_defaults=True)
        self._renew(before | spec, generation=self.of.generation + 1)

    def _renew(self, spec: dict[str, Any], *, generation: int) -> None:
        status = self.of.status.model_dump(mode="json", exclude_none=True)
        self.of = MemoryBank.parse(bank_body(spec, status=status, generation=generation))

    def plan(self, *, key: str = KEY) -> Plan:
        observed = replace(self.world.observed(), turn=self.turn)
        return plan(self.of, observed, self.settings, lambda: key, lambda: RING)

    def judge(self) -> dict[str, Any]:
        """Write the status that follows, as the operator would."""
        observed = replace(self.world.observed(), turn=self.turn)
        status = reduce(
            self.of, observed, self.plan(), failure=None, now=NOW + self.later,
            progress_deadline=DEADLINE,
        )  # fmt: skip
        self.of = self.of.model_copy(update={"status": self._parsed(status)})
        return status

    def _parsed(self, status: dict[str, Any]) -> Any:
        return MemoryBank.parse(bank_body({}, status=status)).status

    def settle(self) -> dict[str, Any]:
        """Do what the plan says, and judge."""
        for _ in range(5):
            planned = self.plan()
            if not planned.steps:
                return self.judge()
            self.world.execute(planned)
        raise AssertionError(self.plan().steps)

    def prove(self) -> dict[str, Any]:
        """Let the pod start and its canary pass."""
        self.world.run(self.of)
        deployment = self.world.deployment(self.of)
        annotations = deployment["spec"]["template"]["metadata"]["annotations"]
        assert self.world.canary is not None
        self.world.canary = replace(
            self.world.canary, revision=annotations["memorybank.dev/revision"], schema_version=9
        )
        return self.judge()

    def break_pod(self, *, schema: int = 0, way_back: int = 0) -> None:
        """Let the new pod serve without passing its canary."""
        self.prove_nothing()
        assert self.world.canary is not None
        self.world.canary = replace(
            self.world.canary,
            ok=False,
            message="it forgot",
            schema_version=schema,
            way_back=way_back,
        )

    def prove_nothing(self) -> None:
        self.world.run(self.of)

    @property
    def image(self) -> str:
        template = self.world.deployment(self.of)["spec"]["template"]
        return str(template["spec"]["containers"][0]["image"])


def condition(status: dict[str, Any], kind: str) -> dict[str, Any]:
    return next((each for each in status["conditions"] if each["type"] == kind), {})


def applied(planned: Plan) -> list[str]:
    return [step.body["kind"] for step in planned.steps if isinstance(step, Apply)]


RESTARTS: dict[str, dict[str, Any]] = {
    "another image": {"image": "registry.example/app:2"},
    "another version": {"version": "0.2.0"},
    "a setting": {"lifecycle": {"drainSeconds": 7}},
    "a variable": {"env": [{"name": "TZ", "value": "UTC"}]},
    "resources": {"resources": {"limits": {"memory": "1Gi"}}},
    "a restart": {"restart": "now"},
}


@pytest.mark.parametrize("case", RESTARTS)
def test_under_supervision_a_change_that_restarts_the_pod_waits(case: str) -> None:
    scene = Scene.of_spec(SUPERVISED)
    scene.change(**RESTARTS[case])
    assert scene.plan().steps == ()
    status = scene.judge()
    assert condition(status, "Ready")["reason"] == Reason.AWAITING_APPROVAL
    pending = condition(status, "UpdatePending")
    assert pending["status"] == "True"
    assert status["plan"]["id"] in pending["message"]
    assert status["plan"]["objects"]
    assert len(status["plan"]["restarts"]) == 1
    assert condition(status, "Stalled") == condition(status, "Reconciling") == {}


@pytest.mark.parametrize("case", RESTARTS)
def test_an_approved_change_is_made_and_its_plan_is_gone(case: str) -> None:
    scene = Scene.of_spec(SUPERVISED)
    scene.change(**RESTARTS[case])
    approved = scene.judge()["plan"]["id"]
    scene.change(updatePolicy={"mode": "Supervised", "approved": approved})
    assert "Deployment" in applied(scene.plan())
    status = scene.settle()
    assert "plan" not in status
    assert condition(status, "UpdatePending") == {}
    assert condition(scene.prove(), "Ready")["status"] == "True"


@pytest.mark.parametrize("case", RESTARTS)
def test_without_supervision_nothing_waits(case: str) -> None:
    scene = Scene.of_spec({})
    scene.change(**RESTARTS[case])
    assert "Deployment" in applied(scene.plan())
    assert "plan" not in scene.settle()


@pytest.mark.parametrize(
    ("change", "kinds"),
    [
        ({"deletionPolicy": "Delete"}, {"PersistentVolumeClaim"}),
        ({"serviceAccount": {"annotations": {"a.example/b": "c"}}}, {"ServiceAccount"}),
        ({"replicas": 0}, {"Deployment"}),
        ({"hibernate": True}, {"Deployment"}),
    ],
    ids=str,
)
def test_what_needs_no_restart_goes_through_while_something_waits(
    change: dict[str, Any], kinds: set[str]
) -> None:
    scene = Scene.of_spec(SUPERVISED)
    scene.change(lifecycle={"drainSeconds": 7})
    scene.judge()
    scene.change(**change)
    assert set(applied(scene.plan())) == kinds if "replicas" not in change else True
    scene.settle()
    if kinds == {"Deployment"}:
        assert scene.world.deployment(scene.of)["spec"]["replicas"] == 0


def test_what_no_pod_is_made_from_yet_follows_the_spec() -> None:
    scene = Scene(World(), bank({"storage": {"volume": {"storageClassName": "missing"}}}))
    scene.settle()
    scene.change(logging={"level": "debug"})
    [step] = scene.plan().steps
    assert isinstance(step, Apply)
    assert step.body["kind"] == "ConfigMap"
    assert "debug" in step.body["data"]["config.yaml"]


def test_an_approval_of_another_plan_does_nothing_and_says_so() -> None:
    scene = Scene.of_spec(SUPERVISED)
    scene.change(restart="one")
    old = scene.judge()["plan"]["id"]
    scene.change(restart="two", updatePolicy={"mode": "Supervised", "approved": old})
    assert scene.plan().steps == ()
    status = scene.judge()
    assert status["plan"]["id"] != old
    assert (
        f"The plan {old} that spec.updatePolicy.approved names is another one"
        in (condition(status, "Ready")["message"])
    )


def test_an_approval_is_worth_nothing_the_next_time() -> None:
    scene = Scene.of_spec(SUPERVISED)
    scene.change(restart="one")
    first = scene.judge()["plan"]["id"]
    scene.change(updatePolicy={"mode": "Supervised", "approved": first})
    scene.settle()
    scene.prove()
    scene.change(restart="")
    back = scene.judge()["plan"]["id"]
    scene.change(updatePolicy={"mode": "Supervised", "approved": back})
    scene.settle()
    scene.prove()
    scene.change(restart="one", updatePolicy={"mode": "Supervised", "approved": first})
    assert scene.plan().steps == ()
    assert scene.judge()["plan"]["id"] != first


@pytest.mark.parametrize("kind", ["ConfigMap", "Secret", "Deployment", "Service"])
def test_what_is_deleted_while_a_change_waits_comes_back_as_it_was(kind: str) -> None:
    scene = Scene.of_spec(SUPERVISED)
    before = {key: dict(body) for key, body in scene.world.children.items()}
    scene.change(lifecycle={"drainSeconds": 7}, image="registry.example/app:2")
    waiting = scene.judge()["plan"]["id"]
    lost = next(key for key in scene.world.children if key.kind == kind)
    del scene.world.children[lost]
    status = scene.settle()
    assert lost in scene.world.children
    if kind != "Secret":  # a generated key is a new one
        assert rendered(scene.world.children[lost]) == rendered(before[lost])
        assert status["plan"]["id"] == waiting
    assert scene.image == SETTINGS.app_image
    config = scene.world.children[names.config_map(scene.of)]
    assert "drain_seconds" not in config["data"]["config.yaml"]
    assert "plan" in status


def rendered(body: KubeObject) -> str:
    return str(body["metadata"]["annotations"]["memorybank.dev/rendered-hash"])


def test_what_is_changed_by_hand_while_a_change_waits_is_put_back() -> None:
    scene = Scene.of_spec(SUPERVISED)
    scene.change(lifecycle={"drainSeconds": 7})
    scene.judge()
    deployment = scene.world.deployment(scene.of)
    deployment["spec"]["template"]["spec"]["containers"][0]["image"] = "meddled"
    planned = scene.plan()
    assert applied(planned) == ["Deployment"]
    scene.settle()
    assert scene.image == SETTINGS.app_image


def test_a_lost_key_is_replaced_without_making_what_waits() -> None:
    scene = Scene.of_spec(SUPERVISED)
    scene.change(image="registry.example/app:2")
    scene.judge()
    del scene.world.children[names.key_secret(scene.of)]
    for _ in range(3):
        scene.world.execute(scene.plan(key=OTHER_KEY))
    assert scene.image == SETTINGS.app_image
    assert scene.judge()["plan"]["image"] == "registry.example/app:2"


def test_a_paused_bank_shows_what_waits_and_is_left_alone() -> None:
    scene = Scene.of_spec(SUPERVISED)
    scene.change(lifecycle={"drainSeconds": 7}, paused=True)
    assert scene.plan().steps == ()
    assert scene.judge()["plan"]["objects"]


def test_the_plan_names_fields_and_never_values() -> None:
    scene = Scene.of_spec(SUPERVISED)
    scene.change(
        env=[{"name": "TOKEN", "value": "hush-hush"}],
        image="registry.example/app:2",
        forgetting={"enabled": True},
    )
    planned = scene.judge()["plan"]
    assert "hush-hush" not in str(planned)
    fields = [field for each in planned["objects"] for field in each["fields"]]
    assert any("env[TOKEN]" in field for field in fields)
    assert len(planned["irreversible"]) == 2
    assert "migrate the database" in planned["irreversible"][0]


VERSIONS = {
    ("0.2.0", "0.1.0"): "is older than 0.2.0",
    ("1.0.0", "0.9.0"): "is older than 1.0.0",
    ("0.1.0", "0.4.0"): "go to 0.3 first",
    ("0.1.0", "2.0.0"): "go to 1.0 first",
    ("0.2.3", "0.2.1"): "",
    ("0.1.0", "0.2.0"): "",
    ("0.1.0", "0.3.0"): "",
    ("0.9.9", "1.0.0"): "",
    ("0.2.0", "dev"): "",
}


@pytest.mark.parametrize("step", VERSIONS, ids="->".join)
def test_a_version_follows_only_what_it_can_follow(step: tuple[str, str]) -> None:
    before, after = step
    scene = Scene.of_spec({"version": before})
    scene.world.canary = scene.world.passed(scene.of, version=before)
    scene.judge()
    scene.change(version=after)
    words = VERSIONS[step]
    status = scene.settle()
    if not words:
        assert scene.image.endswith(f":{after}")
        return
    assert scene.image.endswith(f":{before}")
    ready = condition(status, "Ready")
    assert (ready["status"], ready["reason"]) == ("False", Reason.VERSION_REFUSED)
    assert ready["message"].startswith("spec.version: ")
    assert words in ready["message"]
    assert condition(status, "Stalled")["reason"] == Reason.VERSION_REFUSED
    scene.change(version=before)
    assert condition(scene.settle(), "Stalled") == {}


def on_trial(**spec: Any) -> Scene:
    """A bank that proved itself and whose new image does not."""
    scene = Scene.of_spec(spec)
    scene.prove()
    scene.change(image="registry.example/app:broken")
    scene.settle()
    scene.break_pod()
    return scene


def test_an_image_that_does_not_prove_itself_in_time_is_taken_back() -> None:
    scene = on_trial()
    scene.later = timedelta(seconds=599)
    assert "rejected" not in scene.judge()["rollout"]
    scene.later = timedelta(seconds=601)
    status = scene.judge()
    assert status["rollout"]["rejected"]["image"] == "registry.example/app:broken"
    status = scene.settle()
    assert scene.image == SETTINGS.app_image
    ready = condition(status, "Ready")
    assert ready["reason"] == Reason.ROLLED_BACK
    assert "did not prove itself within 600 s" in ready["message"]
    assert "it forgot" in ready["message"]
    assert condition(status, "Stalled")["status"] == "True"
    scene.prove()
    assert scene.plan().steps == ()
    assert condition(scene.judge(), "Available")["status"] == "True"


def test_what_keeps_the_old_image_from_serving_is_said() -> None:
    scene = on_trial()
    scene.later = timedelta(seconds=601)
    scene.judge()
    scene.settle()
    scene.prove_nothing()
    ended = {"exitCode": 2, "reason": "Error", "message": "written by a newer version"}
    unready(scene.world.pods[0], {"terminated": ended})
    scene.world.deployment(scene.of)["status"] |= {"readyReplicas": 0, "availableReplicas": 0}
    ready = condition(scene.judge(), "Ready")
    assert ready["reason"] == Reason.ROLLED_BACK
    assert "It said last: written by a newer version" in ready["message"]


def test_another_spec_is_tried_again_and_heals() -> None:
    scene = on_trial()
    scene.later = timedelta(seconds=601)
    scene.judge()
    scene.settle()
    scene.change(image="registry.example/app:mended")
    status = scene.settle()
    assert scene.image == "registry.example/app:mended"
    assert "rejected" not in status["rollout"]
    assert condition(scene.prove(), "Ready")["status"] == "True"


def test_setting_the_old_image_again_heals_without_a_restart() -> None:
    scene = on_trial()
    scene.later = timedelta(seconds=601)
    scene.judge()
    scene.settle()
    scene.prove()
    scene.change(image=None)
    assert scene.plan().steps == ()
    assert condition(scene.prove(), "Ready")["status"] == "True"


@pytest.mark.parametrize(
    "spec",
    [{"updatePolicy": {"rollback": "Never"}}, {"updatePolicy": {"deadlineSeconds": 3600}}],
    ids=str,
)
def test_there_is_no_way_back_that_the_policy_does_not_want(spec: dict[str, Any]) -> None:
    scene = on_trial(**spec)
    scene.later = timedelta(seconds=601)
    assert "rejected" not in scene.judge()["rollout"]


@pytest.mark.parametrize("way_back", [0, 10])
def test_there_is_no_way_back_behind_a_migration_once_something_was_written(way_back: int) -> None:
    scene = on_trial()
    scene.break_pod(schema=10, way_back=way_back)
    scene.later = timedelta(seconds=601)
    status = scene.judge()
    assert "rejected" not in status["rollout"]
    stalled = condition(status, "Stalled")
    assert stalled["reason"] == Reason.ROLLBACK_REFUSED
    assert "from schema 9 to 10" in stalled["message"]
    assert scene.plan().steps == ()


@pytest.mark.parametrize("way_back", [8, 9])
def test_a_version_that_migrated_is_taken_back_with_what_the_database_was(way_back: int) -> None:
    scene = on_trial()
    scene.break_pod(schema=10, way_back=way_back)
    scene.later = timedelta(seconds=601)
    assert "rejected" in scene.judge()["rollout"]


def test_there_is_no_way_back_from_a_setting() -> None:
    scene = Scene.of_spec({})
    scene.prove()
    scene.change(lifecycle={"drainSeconds": 7})
    scene.settle()
    scene.break_pod()
    scene.later = timedelta(seconds=601)
    assert "rejected" not in scene.judge()["rollout"]


def upgraded() -> Scene:
    """A bank that proved itself, under an operator with another default image."""
    scene = Scene.of_spec({})
    scene.prove()
    scene.settings = NEWER
    return scene


def test_what_the_operator_changes_by_itself_waits_for_its_turn_and_stays_ready() -> None:
    scene = upgraded()
    assert scene.plan().steps == ()
    status = scene.judge()
    assert condition(status, "Ready")["status"] == "True"
    assert condition(status, "UpdatePending")["reason"] == Reason.UPDATE_QUEUED
    assert status["plan"]["image"] == NEWER.app_image


def test_the_status_says_that_an_update_begins_before_it_does() -> None:
    scene = upgraded()
    scene.turn = True
    assert scene.plan().steps == ()
    assert condition(scene.judge(), "Updating")["reason"] == Reason.UPDATE_BEGINS
    assert applied(scene.plan()) == ["Deployment"]
    assert condition(scene.settle(), "Updating")["status"] == "True"
    status = scene.prove()
    assert condition(status, "Updating") == {}
    assert condition(status, "Ready")["status"] == "True"


def test_an_update_that_fails_says_so_until_it_is_taken_back_or_mended() -> None:
    scene = upgraded()
    scene.turn = True
    scene.judge()
    scene.settle()
    scene.break_pod()
    scene.judge()
    scene.later = timedelta(seconds=601)
    scene.judge()
    status = scene.settle()
    assert scene.image == SETTINGS.app_image
    assert condition(status, "UpdatePending")["reason"] == Reason.ROLLED_BACK
    status = scene.prove()
    assert condition(status, "Ready")["status"] == "True"
    assert condition(status, "UpdatePending")["reason"] == Reason.ROLLED_BACK


def test_a_bank_that_serves_nobody_needs_no_turn() -> None:
    scene = upgraded()
    unready(scene.world.pods[0], {"waiting": {"reason": "CrashLoopBackOff"}})
    assert applied(scene.plan()) == ["Deployment"]


def test_a_bank_that_serves_and_is_not_ready_is_left_alone_until_it_is() -> None:
    scene = upgraded()
    held = scene.plan().held
    assert held is not None
    assert held.asks
    scene.settings = SETTINGS
    scene.break_pod()
    assert condition(scene.judge(), "Ready")["reason"] == Reason.CANARY_FAILED
    scene.settings, scene.turn = NEWER, True
    planned = scene.plan()
    assert planned.steps == ()
    assert planned.held is not None
    assert not planned.held.asks
    assert condition(scene.judge(), "UpdatePending")["reason"] == Reason.UPDATE_QUEUED
    scene.change(restart="now")
    assert applied(scene.plan()) == ["Deployment"]


def test_under_supervision_the_operators_own_update_waits_for_approval_too() -> None:
    scene = Scene.of_spec(SUPERVISED)
    scene.prove()
    scene.settings = NEWER
    status = scene.judge()
    assert condition(status, "Ready")["status"] == "True"
    assert condition(status, "UpdatePending")["reason"] == Reason.AWAITING_APPROVAL
    approved = {"mode": "Supervised", "approved": status["plan"]["id"]}
    scene.change(updatePolicy=approved)
    scene.prove()
    assert condition(scene.judge(), "UpdatePending")["reason"] == Reason.UPDATE_QUEUED


def test_an_operator_that_finds_no_record_takes_what_it_would_change_for_its_own() -> None:
    scene = upgraded()
    scene.of = scene.of.model_copy(
        update={"status": scene.of.status.model_copy(update={"rollout": None})}
    )
    assert scene.plan().steps == ()
    status = scene.judge()
    assert condition(status, "UpdatePending")["reason"] == Reason.UPDATE_QUEUED
    assert status["rollout"]["current"]["image"] == SETTINGS.app_image
    scene.change(lifecycle={"drainSeconds": 7})
    assert set(applied(scene.plan())) == {"ConfigMap", "Deployment"}


def test_what_changed_without_another_pod_is_on_record_too() -> None:
    scene = Scene.of_spec({})
    scene.prove()
    scene.change(image=SETTINGS.app_image)
    assert scene.plan().steps == ()
    assert scene.judge()["rollout"]["current"]["spec"] == {"image": SETTINGS.app_image}
    scene.change(image=None)
    scene.prove()
    scene.settings = NEWER
    assert condition(scene.judge(), "UpdatePending")["reason"] == Reason.UPDATE_QUEUED


def test_while_another_backend_waits_the_pod_reaches_the_one_that_it_uses() -> None:
    fence = {"networkPolicy": {"enabled": True}}
    scene = Scene.of_spec(SUPERVISED | fence | {"embedding": ollama("one.a.svc")})
    before = scene.world.children[names.network_policy(scene.of)]["spec"]
    scene.change(
        embedding=ollama("two.b.svc"),
        networkPolicy={"enabled": True, "allowFrom": [{"podLabels": {"role": "agent"}}]},
    )
    scene.settle()
    waiting = scene.world.children[names.network_policy(scene.of)]["spec"]
    assert waiting["egress"] == before["egress"]
    assert waiting["ingress"] != before["ingress"], "whom it lets in needs no new pod"
    assert scene.of.status.plan is not None
    scene.change(updatePolicy={"mode": "Supervised", "approved": scene.of.status.plan.id})
    scene.settle()
    assert "two" not in str(before)
    egress = scene.world.children[names.network_policy(scene.of)]["spec"]["egress"]
    assert "kubernetes.io/metadata.name': 'b'" in str(egress)
