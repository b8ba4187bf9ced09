"""Why a pod does not serve, for people. Nothing said here changes while the cause stays the same:
no counters, no times, and one word for the states between which a failing pod goes back and forth.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.reconcile.jobs import Trial
from memorybank_operator.reconcile.observed import KubeObject
from memorybank_operator.resources.backup import COPIER, PREPARE, SIDECAR
from memorybank_operator.status.verdict import Verdict, find

MAX_DETAIL = 400
"""Characters of somebody else's words that are passed on."""

OUT_OF_MEMORY = "OOMKilled"
LIMIT = "spec.resources.limits.memory"
_IMAGE = {"ErrImagePull", "ImagePullBackOff", "ErrImageNeverPull", "InvalidImageName"}
_CONFIG = {"CreateContainerConfigError", "CreateContainerError", "RunContainerError"}
# Since 1.32 the kubelet repeats the error of the last attempt after these words.
_BACK_OFF = re.compile(r'^Back-off pulling image "[^"]*"(: ErrImagePull)?:?\s*')


def diagnose(pods: Iterable[KubeObject]) -> Verdict | None:
    """Find what keeps pods from serving; None when they only need time."""
    for pod in sorted(pods, key=lambda each: str(each["metadata"]["name"])):
        found = _unschedulable(pod) or _container_trouble(pod)
        if found:
            return found
    return None


def progress_of(found: Trial) -> str:
    """Say how far a Job is that has not ended, or what keeps it."""
    waiting = [pod for pod in found.pods if (pod.get("status") or {}).get("phase") == "Pending"]
    trouble = diagnose(waiting)
    if trouble is not None:
        return f"Job {found.name} cannot begin: {trouble.message}"
    if found.message:
        return f"Job {found.name} tries it again, which failed: {found.message}"
    return f"Job {found.name} works on it"


def _unschedulable(pod: KubeObject) -> Verdict | None:
    scheduled = find(pod.get("status", {}).get("conditions"), "PodScheduled")
    if scheduled is None or scheduled.get("reason") != "Unschedulable":
        return None
    return Verdict(
        "False",
        Reason.UNSCHEDULABLE,
        "No node can take the pod: check spec.resources, spec.nodeSelector, spec.affinity and "
        "spec.tolerations, or the operator's defaults for what the spec leaves out. The scheduler "
        f"says: {_detail(scheduled.get('message'))}",
    )


def _container_trouble(pod: KubeObject) -> Verdict | None:
    statuses = pod.get("status", {})
    for status in statuses.get("initContainerStatuses", ()):
        found = _waits(status) or _start_failed(status)
        if found is not None:
            return found
    for status in statuses.get("containerStatuses", ()):
        found = _waits(status)
        if found is not None:
            return found
        ended = _last_end(status)
        if ended is not None and not status.get("ready"):
            return _crash(ended, "The memory service", LIMIT)
    return None


def _waits(status: KubeObject) -> Verdict | None:
    """Say why a container cannot even be made."""
    waiting = status.get("state", {}).get("waiting") or {}
    reason = waiting.get("reason", "")
    if reason in _IMAGE:
        return _image_trouble(status, waiting)
    if reason in _CONFIG:
        return Verdict(
            "False",
            Reason.CONTAINER_CONFIG_ERROR,
            "The container cannot be made: check what spec.env refers to. The node says: "
            f"{_detail(waiting.get('message'))}",
        )
    return None


def _start_failed(status: KubeObject) -> Verdict | None:
    """Say why one of the containers failed that start before the service, of which the first ends
    when its work is done.
    """
    ended = _last_end(status)
    if ended is None or status.get("ready") or ended.get("exitCode") == 0:
        return None
    if status["name"] == SIDECAR:
        limit = "spec.backup.resources.limits.memory"
        return _crash(ended, "The process that replicates the bank", limit)
    if status["name"] == COPIER:
        limit = "spec.backup.copyResources.limits.memory"
        return _crash(ended, "The process that copies the backups", limit)
    if status["name"] != PREPARE or ended.get("reason") == OUT_OF_MEMORY:
        return _crash(ended, f"The container {status['name']}", LIMIT)
    said = _detail(ended.get("message")) or f"exit code {ended.get('exitCode')}"
    return Verdict(
        "False",
        Reason.RESTORE_FAILED,
        "The bank's database and its place at the destination of spec.backup cannot be made "
        f"ready, and are tried again: {said}",
    )


def _image_trouble(status: KubeObject, waiting: KubeObject) -> Verdict:
    message = _BACK_OFF.sub("", str(waiting.get("message") or ""))
    said = f" The node says: {_detail(message)}" if message else ""
    return Verdict(
        "False",
        Reason.IMAGE_PULL_BACK_OFF,
        f"The node cannot get the image {status['image']}: check spec.image (or spec.version, or "
        "the operator's default image), spec.imagePullPolicy and spec.imagePullSecrets."
        f"{said}",
    )


def _last_end(status: KubeObject) -> KubeObject | None:
    """Return how the container ended last, whether it waits, runs again or is just gone."""
    now: KubeObject | None = status.get("state", {}).get("terminated")
    return now or status.get("lastState", {}).get("terminated")


def _crash(ended: KubeObject, who: str, limit: str) -> Verdict:
    if ended.get("reason") == OUT_OF_MEMORY:
        shared = ", or the one of the operator's defaults" if limit == LIMIT else ""
        return Verdict(
            "False",
            Reason.CRASH_LOOP_BACK_OFF,
            f"{who} was stopped because it needed more memory than {limit}: raise that limit"
            f"{shared}",
        )
    said = _detail(ended.get("message"))
    return Verdict(
        "False",
        Reason.CRASH_LOOP_BACK_OFF,
        f"{who} ended with exit code {ended.get('exitCode')} and is started again."
        + (f" It said last: {said}" if said else ""),
    )


def _detail(message: object) -> str:
    """Return somebody else's words as one line of bounded length; the end of it is what counts."""
    line = " ".join(str(message or "").split())
    return line if len(line) <= MAX_DETAIL else "..." + line[-MAX_DETAIL:]
