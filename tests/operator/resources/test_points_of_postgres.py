"""What there is for the recovery points of a bank in PostgreSQL: Jobs, and nothing in its pods."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.reconcile.observed import ChildKey
from memorybank_operator.reconcile.points import Scene
from memorybank_operator.resources.backup_job import (
    build_rewind_job,
    build_take_job,
    build_undo_job,
    build_verify_job,
)
from memorybank_operator.resources.database import read_address
from memorybank_operator.resources.effective import without_pods
from tests.operator.recovery import backup, restore
from tests.operator.resources.test_objects import build, pod_of
from tests.operator.world import (
    BACKED_UP,
    DATABASE_URL,
    IN_POSTGRES,
    POINTS_OF_POSTGRES,
    World,
    bank,
    running,
)

IN_A_BUCKET = POINTS_OF_POSTGRES | {"backup": POINTS_OF_POSTGRES["backup"] | BACKED_UP["backup"]}
CLUSTER: dict[str, Any] = POINTS_OF_POSTGRES | {
    "storage": {"engine": "postgres", "postgres": {"cluster": {"instances": 1, "size": "5Gi"}}}
}


def made(spec: dict[str, Any]) -> dict[str, Any]:
    return build(bank(spec), volume_size=None, database=read_address(DATABASE_URL))


def jobs(of: MemoryBank, *, size: str = "") -> list[dict[str, Any]]:
    """The pods of all Jobs that there can be."""
    deployment = build(of, volume_size=None, database=read_address(DATABASE_URL))["Deployment"]
    wanted = restore({"backup": {"name": "before"}})
    found = [
        build_take_job(of, backup(), deployment, size=size),
        build_verify_job(of, deployment, name="x", size=size),
        build_rewind_job(of, wanted, deployment, size=size),
        build_undo_job(of, wanted, deployment, size=size),
    ]
    return [each["spec"]["template"]["spec"] for each in found]


def volumes(pod: dict[str, Any]) -> dict[str, Any]:
    found = {each["name"]: each for each in pod["volumes"]}
    assert len(found) == len(pod["volumes"]), "each has a name of its own"
    for container in (*pod.get("initContainers", ()), *pod["containers"]):
        mounts = [each["name"] for each in container["volumeMounts"]]
        assert set(mounts) <= set(found)
        assert len(set(mounts)) == len(mounts)
    return found


def test_a_pod_of_the_bank_has_nothing_that_replicates_it_and_no_volume_of_another_node() -> None:
    plain, backed_up = made(IN_POSTGRES), made(POINTS_OF_POSTGRES)
    before, after = pod_of(plain), pod_of(backed_up)
    assert "initContainers" not in after
    assert after["volumes"] == before["volumes"]
    assert after["containers"][0]["volumeMounts"] == before["containers"][0]["volumeMounts"]
    grace = "terminationGracePeriodSeconds"
    assert after[grace] == before[grace]
    assert backed_up["Service"]["spec"] == plain["Service"]["spec"]


def test_other_keys_of_the_bucket_restart_no_pod() -> None:
    of = bank(IN_A_BUCKET)
    world = running(of)
    before = world.plan(of)
    world.named_secrets["bucket"]["data"]["accessKeyId"] = "b3RoZXI="
    after = world.plan(of)
    assert after.revision == before.revision
    assert not after.steps


@pytest.mark.parametrize("spec", [POINTS_OF_POSTGRES, IN_A_BUCKET], ids=["volume", "bucket"])
def test_jobs_have_the_database_the_destination_and_room(spec: dict[str, Any]) -> None:
    for pod in jobs(bank(spec)):
        found = volumes(pod)
        assert "database-url" in found
        assert found["scratch"]["emptyDir"] == {}
        assert ("backup" in found) == (spec is POINTS_OF_POSTGRES)
        [container] = pod["containers"]
        mounted = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
        assert mounted["scratch"] == "/scratch"
        assert ("backup-access-key-id" in found) == (spec is IN_A_BUCKET)
        arguments = container["args"]
        assert arguments[arguments.index("--scratch") + 1] == "/scratch"
        assert not {"--url", "--token-file", "--data"} & set(arguments)


def test_the_room_of_a_job_is_as_large_as_the_servers_volumes_allow() -> None:
    of = bank(CLUSTER)
    assert Scene(of).scratch == "10240Mi"
    assert Scene(bank(POINTS_OF_POSTGRES)).scratch == ""
    for pod in jobs(of, size=Scene(of).scratch):
        assert volumes(pod)["scratch"]["emptyDir"] == {"sizeLimit": "10240Mi"}


@pytest.mark.parametrize(
    ("destination", "claims"),
    [(None, {"backup": "backups"}), ({"volume": {"claimName": "old"}}, {"restore": "old"})],
    ids=["its own", "another"],
)
def test_a_bank_that_begins_with_a_backup_has_it_made_ready(
    destination: dict[str, Any] | None, claims: dict[str, str]
) -> None:
    wanted = {"backup": "before", "fromBank": {"name": "former"}}
    wanted |= {} if destination is None else {"destination": destination}
    spec = POINTS_OF_POSTGRES | {"bootstrap": {"restore": wanted}}
    pod = pod_of(made(spec))
    [prepare] = pod["initContainers"]
    assert prepare["args"][:2] == ["backup", "prepare"]
    assert prepare["args"][-2:] == ["--config", "/etc/memorybank/config.yaml"]
    assert {"name": "TMPDIR", "value": "/scratch"} in prepare["env"]
    assert {"name": "scratch", "mountPath": "/scratch"} in prepare["volumeMounts"]
    found = volumes(pod)
    held = {
        name: each["persistentVolumeClaim"]["claimName"]
        for name, each in found.items()
        if "persistentVolumeClaim" in each
    }
    assert held == claims
    of = bank(spec)
    for job in jobs(of):
        assert {"backup", "scratch"} <= set(volumes(job))
        assert "TMPDIR" not in {each["name"] for each in job["containers"][0]["env"]}


def test_a_fence_lets_jobs_reach_the_database_and_nobody_reach_the_bank_for_them() -> None:
    fenced = POINTS_OF_POSTGRES | {"networkPolicy": {"enabled": True}}
    of = bank(fenced)
    world = running(of)
    policies = {
        key.name: body["spec"]
        for key, body in world.children.items()
        if key.kind == "NetworkPolicy"
    }
    assert policies["agents-backup"]["ingress"] == []
    assert "'kubernetes.io/metadata.name': 'data'" in str(policies["agents-backup"]["egress"])
    assert policies["agents-backup"]["egress"] == policies["agents"]["egress"]
    plain = running(bank(IN_POSTGRES | {"networkPolicy": {"enabled": True}}))
    assert (
        policies["agents"]["ingress"]
        == (plain.children[ChildKey("NetworkPolicy", "agents")]["spec"]["ingress"])
    )


def test_servers_of_the_banks_own_stay_awake_while_it_is_put_back() -> None:
    for spec in (CLUSTER, CLUSTER | {"hibernate": True}):
        stopped = without_pods(bank(spec))
        assert stopped.spec.pods == 0
        assert not stopped.spec.hibernate
    world = World()
    of = bank(CLUSTER)
    world.converge_with_servers(of)
    cluster = ChildKey("Cluster", "agents-postgres")
    before = world.children[cluster]["metadata"]["annotations"]
    world.converge(without_pods(of))
    assert world.children[cluster]["metadata"]["annotations"] == before
    assert world.deployment(of)["spec"]["replicas"] == 0
