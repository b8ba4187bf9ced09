"""Why a pod does not serve, for people. Nothing said here changes while the cause stays the same:
no counters, no times, and one word for the states between which a failing pod goes back and forth.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.reconcile.observed import KubeObject
from memorybank_operator.status.verdict import Verdict, find

MAX_DETAIL = 400
"""Characters of somebody else's words that are passed on."""

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
    for status in pod.get("status", {}).get("containerStatuses", ()):
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
        ended = _last_end(status)
        if ended is not None and not status.get("ready"):
            return _crash(ended)
    return None


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


def _crash(ended: KubeObject) -> Verdict:
    if ended.get("reason") == "OOMKilled":
        return Verdict(
            "False",
            Reason.CRASH_LOOP_BACK_OFF,
            "The memory service was stopped because it needed more memory than "
            "spec.resources.limits.memory: raise that limit, or the one of the operator's defaults",
        )
    said = _detail(ended.get("message"))
    return Verdict(
        "False",
        Reason.CRASH_LOOP_BACK_OFF,
        f"The memory service ended with exit code {ended.get('exitCode')} and is started again."
        + (f" It said last: {said}" if said else ""),
    )


def _detail(message: object) -> str:
    """Return somebody else's words as one line of bounded length; the end of it is what counts."""
    line = " ".join(str(message or "").split())
    return line if len(line) <= MAX_DETAIL else "..." + line[-MAX_DETAIL:]
