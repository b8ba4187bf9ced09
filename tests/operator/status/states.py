"""Each state of a bank, how it comes to be, and what people and tools are told of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.update import Rejected
from memorybank_operator.reconcile.observed import ChildKey
from memorybank_operator.reconcile.steps import Problem
from tests.operator.world import (
    BACKED_UP,
    NOW,
    World,
    bank,
    bank_body,
    running,
    running_pod,
    unready,
)

Change = Callable[[World, MemoryBank], None]


def nothing(world: World, of: MemoryBank) -> None:
    """The bank runs and proved it."""


def empty(world: World, of: MemoryBank) -> None:
    world.children, world.pods, world.canary = {}, [], None


def applied(world: World, of: MemoryBank) -> None:
    """The objects are there, nothing runs yet."""
    world.deployment(of)["status"] = {}
    world.pods, world.canary = [], None
    world.volume_claim(of)["status"] = {"phase": "Pending"}


def unproven(world: World, of: MemoryBank) -> None:
    world.canary = None


def proof_of(**changes: Any) -> Change:
    def change(world: World, of: MemoryBank) -> None:
        world.canary = world.passed(of, **changes)

    return change


def reloading(world: World, of: MemoryBank) -> None:
    message = "the pod does not run by the newest config.yaml yet. The kubelet brings it"
    world.canary = world.passed(of, ok=False, pending=True, message=message)


def canary_failed(world: World, of: MemoryBank) -> None:
    world.canary = world.passed(of, ok=False, message="POST /v1/search: 500 Internal Error")


def pod_replaced(world: World, of: MemoryBank) -> None:
    """A new pod serves; the canary passed with the one before."""
    world.pods = [running_pod(world.deployment(of)["spec"]["template"], uid="pod-2")]


def container_restarted(world: World, of: MemoryBank) -> None:
    world.pods[0]["status"]["containerStatuses"][0]["containerID"] = "containerd://2"


def pod_in(state: dict[str, Any], **changes: Any) -> Change:
    def change(world: World, of: MemoryBank) -> None:
        unready(world.pods[0], state, **changes)
        world.deployment(of)["status"] |= {"readyReplicas": 0, "availableReplicas": 0}

    return change


def failing(world: World, of: MemoryBank) -> None:
    pod_in({"running": {}}, started=True)(world, of)
    world.complaint = "store: the disk is full"


def waiting(reason: str, message: str = "") -> dict[str, Any]:
    return {"waiting": {"reason": reason, "message": message}}


ENDED = {"exitCode": 2, "reason": "Error", "message": "security.allowed_hosts in config: too many"}
UNRESTORED = {"exitCode": 1, "reason": "Error", "message": "the bucket\ndoes not exist"}
PULL = 'failed to resolve reference "x": not found'


def unschedulable(world: World, of: MemoryBank) -> None:
    pod_in(waiting("ContainerCreating"))(world, of)
    world.pods[0]["status"]["containerStatuses"] = []
    world.pods[0]["status"]["conditions"] = [
        {
            "type": "PodScheduled",
            "status": "False",
            "reason": "Unschedulable",
            "message": "0/1 nodes are available: 1 Insufficient cpu.",
        }
    ]


def starting_with_backups(name: str, state: dict[str, Any], **changes: Any) -> Change:
    """A container that starts before the service is in this state."""

    def change(world: World, of: MemoryBank) -> None:
        pod_in(waiting("PodInitializing"))(world, of)
        before = {
            "image": "x", "ready": False, "started": False, "restartCount": 0,
            "state": waiting("PodInitializing"), "lastState": {},
        }  # fmt: skip
        world.pods[0]["status"]["initContainerStatuses"] = [
            before | {"name": each} | ({"state": state, **changes} if each == name else {})
            for each in ("backup-prepare", "backup-copies", "litestream")
        ]

    return change


def prepared(world: World, of: MemoryBank) -> None:
    """The database is there, after an attempt that failed; the rest starts."""
    done = {"terminated": {"exitCode": 0, "reason": "Completed"}}
    starting_with_backups(
        "backup-prepare", done, ready=True, restartCount=1, lastState={"terminated": UNRESTORED}
    )(world, of)


def claim_of_backups_missing(world: World, of: MemoryBank) -> None:
    volume_waits_for_a_node(world, of)
    scheduled = world.pods[0]["status"]["conditions"][0]
    scheduled["message"] = '0/1 nodes are available: persistentvolumeclaim "backups" not found.'


def volume_waits_for_a_node(world: World, of: MemoryBank) -> None:
    unschedulable(world, of)
    world.volume_claim(of)["status"] = {"phase": "Pending"}


def volume_pending(world: World, of: MemoryBank) -> None:
    volume_waits_for_a_node(world, of)
    scheduled = world.pods[0]["status"]["conditions"][0]
    scheduled["message"] = "0/1 nodes: pod has unbound immediate PersistentVolumeClaims."


def volume_lost(world: World, of: MemoryBank) -> None:
    unschedulable(world, of)
    world.volume_claim(of)["status"] = {"phase": "Lost"}


def pod_refused(world: World, of: MemoryBank) -> None:
    world.pods = []
    world.deployment(of)["status"] = {
        "observedGeneration": 1,
        "conditions": [
            {
                "type": "ReplicaFailure",
                "status": "True",
                "message": 'pods "agents-1" is forbidden: exceeded quota: small',
            }
        ],
    }


def deployment_changed_by_hand(world: World, of: MemoryBank) -> None:
    world.deployment(of)["spec"]["template"]["spec"]["containers"][0]["image"] = "other:1"


def label_removed_by_hand(world: World, of: MemoryBank) -> None:
    del world.deployment(of)["metadata"]["labels"]["app.kubernetes.io/name"]


def deployment_not_seen(world: World, of: MemoryBank) -> None:
    world.deployment(of)["metadata"]["generation"] += 1


def old_pod_still_there(world: World, of: MemoryBank) -> None:
    world.deployment(of)["status"]["replicas"] = 2


def foreign_service(world: World, of: MemoryBank) -> None:
    metadata = {"name": "agents", "uid": "theirs"}
    world.children[ChildKey("Service", "agents")] = {"kind": "Service", "metadata": metadata}


def stopped(world: World, of: MemoryBank) -> None:
    world.run(of)


@dataclass(frozen=True)
class State:
    """One state and everything that is said about it."""

    change: Change
    ready: str
    reason: str
    words: str
    kstatus: str
    argo: str
    phase: str
    spec: dict[str, Any] = field(default_factory=dict)
    now: dict[str, Any] = field(default_factory=dict)
    """The spec after it ran, when it differs."""
    failure: Problem | None = None
    deleting: bool = False
    pending: str = ""
    """Why a change of the pod waits, by the condition UpdatePending; empty when none does."""
    past: Callable[[World, State], dict[str, Any]] | None = None
    """Makes the status that was written before; None when nobody looked yet."""


def proven(world: World, state: State) -> dict[str, Any]:
    """The bank proved itself before its spec changed."""
    return world.status(bank(state.spec))


def taken_back(world: World, state: State) -> dict[str, Any]:
    """So it did; what its spec asks for now did not."""
    status = proven(world, state)
    wanted = bank(state.now, status=status, generation=2)
    rejected = Rejected(
        revision=world.plan(wanted).revision,
        image=wanted.spec.image or "",
        message="It did not prove itself within 600 s.",
    )
    status["rollout"]["rejected"] = rejected.model_dump(mode="json")
    return status


def progressing(change: Change, reason: str, words: str, **more: Any) -> State:
    more = {"ready": "False"} | more
    return State(
        change, reason=reason, words=words, kstatus="InProgress", argo="Progressing",
        phase="Pending", **more,
    )  # fmt: skip


ASKED_FOR = frozenset({"ScaledToZero", "Hibernated", "Paused", "AwaitingApproval"})
"""Reasons not to be ready that last as long as somebody wants them to."""
PATIENCE = timedelta(seconds=600)
"""What takes longer is stalled."""
SUPERVISED = {"updatePolicy": {"mode": "Supervised"}}

STATES = {
    "running": State(
        nothing, "True", "CanaryPassed", "http://agents.team.svc:8080", "Current", "Healthy",
        "Running",
    ),
    "new": progressing(empty, "Progressing", "being made"),
    "applied": progressing(applied, "DeploymentProgressing", "being started"),
    "pod starts": progressing(
        pod_in(waiting("ContainerCreating")), "DeploymentProgressing", "being started"
    ),
    "service starts": progressing(
        pod_in({"running": {}}, started=True), "PodNotReady", "/ready does not say"
    ),
    "service fails": progressing(
        failing, "ServiceFailing", "cannot do its job: store: the disk is full. It tries again"
    ),
    "unproven": progressing(unproven, "Verifying", "still to prove", ready="Unknown"),
    "proven for another generation": progressing(
        proof_of(generation=0), "Verifying", "", ready="Unknown"
    ),
    "proven for another revision": progressing(
        proof_of(revision="old"), "Verifying", "", ready="Unknown"
    ),
    "pod replaced": progressing(pod_replaced, "Verifying", "", ready="Unknown"),
    "container restarted": progressing(container_restarted, "Verifying", "", ready="Unknown"),
    "change not read yet": progressing(
        reloading, "Reloading", "newest config.yaml yet. The kubelet brings it", ready="Unknown"
    ),
    "canary failed": progressing(canary_failed, "CanaryFailed", "POST /v1/search: 500"),
    "image cannot be pulled": progressing(
        pod_in(waiting("ErrImagePull", PULL)), "ImagePullBackOff", "spec.image"
    ),
    "image name is wrong": progressing(
        pod_in(waiting("InvalidImageName", "bad")), "ImagePullBackOff", "bad"
    ),
    "image is not on the node": progressing(
        pod_in(waiting("ErrImageNeverPull", "x")), "ImagePullBackOff", "spec.imagePullPolicy"
    ),
    "variable without a source": progressing(
        pod_in(waiting("CreateContainerConfigError", 'secret "x" not found')),
        "ContainerConfigError", 'spec.env refers to. The node says: secret "x" not found',
    ),
    "crashing": progressing(
        pod_in(waiting("CrashLoopBackOff"), lastState={"terminated": ENDED}),
        "CrashLoopBackOff", "exit code 2 and is started again. It said last: security.allowed",
    ),
    "crashed just now": progressing(
        pod_in({"terminated": ENDED}), "CrashLoopBackOff", "exit code 2"
    ),
    "runs again after a crash": progressing(
        pod_in({"running": {}}, started=True, lastState={"terminated": ENDED}),
        "CrashLoopBackOff", "exit code 2",
    ),
    "out of memory": progressing(
        pod_in(waiting("CrashLoopBackOff"), lastState={"terminated": {"reason": "OOMKilled"}}),
        "CrashLoopBackOff", "spec.resources.limits.memory: raise that limit",
    ),
    "database not restored": progressing(
        starting_with_backups(
            "backup-prepare", waiting("CrashLoopBackOff"), lastState={"terminated": UNRESTORED}
        ),
        "RestoreFailed", "and are tried again: the bucket does not exist", spec=BACKED_UP,
    ),
    "database tried again": progressing(
        starting_with_backups(
            "backup-prepare", {"running": {}},
            lastState={"terminated": UNRESTORED | {"message": ""}},
        ),
        "RestoreFailed", "and are tried again: exit code 1", spec=BACKED_UP,
    ),
    "database restored": progressing(
        prepared, "DeploymentProgressing", "being started", spec=BACKED_UP
    ),
    "no memory for the restore": progressing(
        starting_with_backups("backup-prepare", {"terminated": {"reason": "OOMKilled"}}),
        "CrashLoopBackOff", "backup-prepare was stopped because it needed more memory than "
        "spec.resources.limits.memory: raise", spec=BACKED_UP,
    ),
    "image without litestream": progressing(
        starting_with_backups(
            "litestream", waiting("RunContainerError", 'exec: "litestream": not found in $PATH')
        ),
        "ContainerConfigError", "not found in $PATH", spec=BACKED_UP,
    ),
    "replication ends": progressing(
        starting_with_backups(
            "litestream", waiting("CrashLoopBackOff"), lastState={"terminated": ENDED}
        ),
        "CrashLoopBackOff", "process that replicates the bank ended with exit code 2",
        spec=BACKED_UP,
    ),
    "no memory for replication": progressing(
        starting_with_backups("litestream", {"terminated": {"reason": "OOMKilled"}}),
        "CrashLoopBackOff", "than spec.backup.resources.limits.memory: raise that limit",
        spec=BACKED_UP,
    ),
    "copying ends": progressing(
        starting_with_backups(
            "backup-copies", waiting("CrashLoopBackOff"), lastState={"terminated": ENDED}
        ),
        "CrashLoopBackOff", "process that copies the backups ended with exit code 2",
        spec=BACKED_UP,
    ),
    "no memory for copies": progressing(
        starting_with_backups("backup-copies", {"terminated": {"reason": "OOMKilled"}}),
        "CrashLoopBackOff", "than spec.backup.copyResources.limits.memory: raise that limit",
        spec=BACKED_UP,
    ),
    "claim of backups missing": progressing(
        claim_of_backups_missing, "BackupVolumeNotFound",
        "spec.backup.destination.volume.claimName: PersistentVolumeClaim backups does not exist",
        spec={"backup": {"destination": {"volume": {"claimName": "backups"}}}},
    ),
    "claim of a copy missing": progressing(
        claim_of_backups_missing, "BackupVolumeNotFound",
        "spec.backup.copies[1].volume.claimName: PersistentVolumeClaim backups does not exist",
        spec={
            "backup": {
                "destination": {"volume": {"claimName": "first"}},
                "copies": [
                    {"name": "a", "s3": {"bucket": "copies"}},
                    {"name": "b", "volume": {"claimName": "backups"}},
                ],
            }
        },
    ),
    "no node fits": progressing(unschedulable, "Unschedulable", "Insufficient cpu"),
    "no node fits, so no volume yet": progressing(
        volume_waits_for_a_node, "Unschedulable", "Insufficient cpu"
    ),
    "no volume yet": progressing(volume_pending, "VolumePending", "StorageClass standard"),
    "volume lost": progressing(volume_lost, "VolumeLost", "restore it"),
    "quota exceeded": progressing(pod_refused, "PodCreationFailed", "exceeded quota: small"),
    "Deployment changed by hand": progressing(
        deployment_changed_by_hand, "DeploymentProgressing", "replaced"
    ),
    "a label removed by hand": State(
        label_removed_by_hand, "True", "CanaryPassed", "", "Current", "Healthy", "Running"
    ),
    "Deployment not yet seen by its controller": progressing(
        deployment_not_seen, "DeploymentProgressing", "not done"
    ),
    "old pod still there": progressing(
        old_pod_still_there, "DeploymentProgressing", "not done"
    ),
    "spec changed, pod to be replaced": progressing(
        nothing, "DeploymentProgressing", "replaced", now={"lifecycle": {"drainSeconds": 7}}
    ),
    "spec changed, same pod": progressing(
        nothing, "Verifying", "", now={"deletionPolicy": "Delete"}, ready="Unknown"
    ),
    "storage class missing": progressing(
        empty, "StorageClassNotFound", "spec.storage.volume.storageClassName",
        now={"storage": {"volume": {"storageClassName": "none"}}},
    ),
    "own key missing": progressing(
        nothing, "AdminKeySecretNotFound", "spec.auth.adminKeySecretRef.name",
        now={"auth": {"adminKeySecretRef": {"name": "mine"}}},
    ),
    "API server refuses for now": progressing(
        nothing, "ApiOverloaded", "429", failure=Problem("ApiOverloaded", "429")
    ),
    "API server refuses for good": State(
        nothing, "False", "ApiInvalid", "422", "Failed", "Degraded", "Failed",
        failure=Problem("ApiInvalid", "422", terminal=True),
    ),
    "name taken": State(
        foreign_service, "False", "NameConflict", "Service agents", "Failed", "Degraded", "Failed"
    ),
    "stopped": State(
        stopped, "False", "ScaledToZero", "Set it to 1", "InProgress", "Suspended", "Stopped",
        spec={"replicas": 0},
    ),
    "stops": State(
        nothing, "False", "ScaledToZero", "", "InProgress", "Suspended", "Stopped",
        now={"replicas": 0},
    ),
    "hibernated": State(
        stopped, "False", "Hibernated", "Set it to false", "InProgress", "Suspended", "Stopped",
        spec={"hibernate": True},
    ),
    "hibernated and scaled to zero": State(
        stopped, "False", "Hibernated", "", "InProgress", "Suspended", "Stopped",
        spec={"hibernate": True, "replicas": 0},
    ),
    "to be restarted": progressing(
        nothing, "DeploymentProgressing", "replaced", now={"restart": "2026-03-01"}
    ),
    "paused and fine": State(
        proof_of(generation=2), "True", "CanaryPassed", "", "Current", "Suspended", "Paused",
        now={"paused": True},
    ),
    "paused with a change that waits": State(
        nothing, "False", "Paused", "spec.paused is true. The pod is replaced", "InProgress",
        "Suspended", "Paused", now={"paused": True, "lifecycle": {"drainSeconds": 7}},
    ),
    "paused and broken": State(
        pod_in(waiting("CrashLoopBackOff"), lastState={"terminated": ENDED}), "False", "Paused",
        "exit code 2", "InProgress", "Suspended", "Paused", now={"paused": True},
    ),
    "paused before it stops": State(
        nothing, "False", "Paused", "spec.replicas is 0", "InProgress", "Suspended", "Paused",
        now={"paused": True, "replicas": 0},
    ),
    "awaits approval": State(
        nothing, "False", "AwaitingApproval", "set spec.updatePolicy.approved to", "InProgress",
        "Suspended", "Pending", spec=SUPERVISED,
        now={**SUPERVISED, "lifecycle": {"drainSeconds": 7}}, pending="AwaitingApproval",
        past=proven,
    ),
    "rolled back": State(
        nothing, "False", "RolledBack", "went back to what worked before", "Failed", "Degraded",
        "Failed", now={"image": "registry.example/app:broken"}, pending="RolledBack",
        past=taken_back,
    ),
    "being deleted": State(
        nothing, "False", "Deleting", "", "Terminating", "Progressing", "Deleting", deleting=True
    ),
}  # fmt: skip


def happened(state: State) -> tuple[World, MemoryBank, dict[str, Any]]:
    """The world in which a bank is in this state, the bank, and its metadata."""
    world = running(bank(state.spec))
    spec, generation = (state.now, 2) if state.now else (state.spec, 1)
    metadata: dict[str, Any] = {"generation": generation}
    if state.deleting:
        metadata["deletionTimestamp"] = "2026-01-01T00:00:00Z"
    status = state.past(world, state) if state.past is not None else None
    of = bank(spec, status=status, **metadata)
    state.change(world, of)
    return world, of, metadata


def seen(state: State) -> dict[str, Any]:
    """The resource as tools see it once the status is written."""
    world, of, metadata = happened(state)
    status = world.status(of, failure=state.failure)
    return bank_body(state.now or state.spec, status=status, **metadata)


def late(state: State) -> dict[str, Any]:
    """The same after it lasted for longer than the operator waits before it says so."""
    resource = seen(state)
    metadata = {"generation": resource["metadata"]["generation"]}
    world = running(bank(state.spec))
    of = bank(resource["spec"], status=resource["status"], **metadata)
    state.change(world, of)
    status = world.status(of, failure=state.failure, now=NOW + PATIENCE)
    return bank_body(resource["spec"], status=status, **metadata)
