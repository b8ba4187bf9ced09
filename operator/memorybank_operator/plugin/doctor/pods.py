"""Checks of pods: whether they are made, find a node, start, and stay."""

from __future__ import annotations

from collections.abc import Iterator

from memorybank_operator.kube import kinds
from memorybank_operator.plugin.doctor.findings import Finding, place
from memorybank_operator.plugin.doctor.snapshot import Snapshot
from memorybank_operator.plugin.summary import Object

PULLS = {"ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull"}
UNCONFIGURED = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
LONGEST = 300
"""Characters of what a container said."""


def pods_are_made(snapshot: Snapshot) -> Iterator[Finding]:
    """Nothing refuses a pod: no quota, no Pod Security Standard, no webhook."""
    for bank in snapshot.banks:
        for kind in (kinds.DEPLOYMENT, kinds.STATEFUL_SET):
            for each in snapshot.of(kind, bank):
                for condition in (each.get("status") or {}).get("conditions") or ():
                    if condition["type"] == "ReplicaFailure" and condition["status"] == "True":
                        namespace = each["metadata"]["namespace"]
                        yield Finding(
                            "A pod is refused", place(each, kind.kind),
                            _short(condition.get("message", "")),
                            f"kubectl describe quota,limitrange -n {namespace}; kubectl get "
                            f"namespace {namespace} --show-labels (Pod Security)",
                        )  # fmt: skip


def pods_find_a_node(snapshot: Snapshot) -> Iterator[Finding]:
    """Each pod has a node that it fits on."""
    for bank in snapshot.banks:
        for pod in snapshot.of(kinds.POD, bank):
            for condition in (pod.get("status") or {}).get("conditions") or ():
                if condition["type"] == "PodScheduled" and condition["status"] == "False":
                    yield Finding(
                        "No node takes a pod", place(pod, "Pod"),
                        _short(condition.get("message", "")),
                        "kubectl get nodes; give the cluster room, or lower spec.resources, or "
                        "correct spec.nodeSelector, spec.affinity, spec.tolerations",
                    )  # fmt: skip


def containers_run(snapshot: Snapshot) -> Iterator[Finding]:
    """Each container has its image and its settings, starts, and does not end."""
    for bank in snapshot.banks:
        for pod in snapshot.of(kinds.POD, bank):
            status = pod.get("status") or {}
            for each in (*(status.get("initContainerStatuses") or ()),
                         *(status.get("containerStatuses") or ())):  # fmt: skip
                yield from _of_container(pod, each)


def _of_container(pod: Object, container: Object) -> Iterator[Finding]:
    where = f"{place(pod, 'Pod')}, container {container['name']}"
    namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
    waiting = (container.get("state") or {}).get("waiting") or {}
    ended = (
        (container.get("lastState") or {}).get("terminated")
        or (container.get("state") or {}).get("terminated")
        or {}
    )
    reason = waiting.get("reason", "")
    said = _short(waiting.get("message", ""))
    if reason in PULLS:
        yield Finding(
            "An image cannot be pulled", where, f"{container.get('image', '')}: {said or reason}",
            "Correct spec.image, or let the cluster read its registry by spec.imagePullSecrets: "
            f"kubectl describe pod {name} -n {namespace}",
        )  # fmt: skip
    elif reason in UNCONFIGURED:
        yield Finding(
            "A container lacks what its settings name", where, said or reason,
            f"kubectl describe pod {name} -n {namespace}; see spec.env and the Secrets it names",
        )  # fmt: skip
    elif ended.get("reason") == "OOMKilled":
        yield Finding(
            "A container needs more memory than it may have", where, "it was ended: OOMKilled",
            "Raise spec.resources.limits.memory (of a sidecar: spec.backup.resources)",
        )  # fmt: skip
    elif reason == "CrashLoopBackOff":
        yield Finding(
            "A container ends again and again", where,
            _short(f"exit code {ended.get('exitCode', '?')}: {ended.get('message') or said}"),
            f"kubectl logs {name} -n {namespace} -c {container['name']} --previous",
        )  # fmt: skip


def _short(text: str) -> str:
    line = " ".join(str(text).split())
    return line if len(line) <= LONGEST else f"{line[:LONGEST]} ..."
