"""Tells people and tools what became of a bank: one status write if anything differs, and an
event when readiness changed.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

from memorybank_operator.api.quantity import parse_quantity
from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason
from memorybank_operator.engine.cache import BankKey, Cache
from memorybank_operator.events import Events
from memorybank_operator.kube import errors
from memorybank_operator.kube.client import KubeClient, with_status
from memorybank_operator.metrics import Metrics
from memorybank_operator.reconcile.observed import KubeObject
from memorybank_operator.reconcile.steps import Note

EXPECTED = frozenset(
    {
        Reason.PROGRESSING,
        Reason.DEPLOYMENT_PROGRESSING,
        Reason.DATABASE_STARTING,
        Reason.MODEL_LOADING,
        Reason.VERIFYING,
        Reason.RELOADING,
        Reason.POD_NOT_READY,
        Reason.VOLUME_PENDING,
        Reason.SCALED_TO_ZERO,
        Reason.HIBERNATED,
        Reason.PAUSED,
        Reason.RESTORING,
        Reason.DELETING,
        Reason.FINAL_BACKUP,
        Reason.AWAITING_APPROVAL,
    }
)
"""Reasons not to be ready that need nobody's attention, unless the bank was ready before."""
TROUBLE_WITH_VOLUMES = frozenset(
    {
        Reason.VOLUME_GROWTH_FAILED,
        Reason.VOLUME_GROWTH_OVERDUE,
        Reason.VOLUME_NOT_EXPANDABLE,
        Reason.DISK_LOW,
        Reason.DISK_SHARED,
        Reason.GROWTH_REFUSED,
        Reason.MAXIMUM_REACHED,
    }
)
"""Reasons of VolumeResizing and DiskLow that somebody should look at."""

logger = logging.getLogger(__name__)


class Reporter:
    """Writes status and events."""

    def __init__(
        self, cache: Cache, client: KubeClient, *, events: Events, metrics: Metrics
    ) -> None:
        self._cache = cache
        self._client = client
        self._events = events
        self._metrics = metrics

    async def report(self, key: BankKey, body: KubeObject, status: Mapping[str, Any]) -> bool:
        """Make a bank's status this one, without a request when it is already. Raises KubeError.

        Return whether the bank is ready by it.

        The write names the bank's uid, so that a bank of the same name made meanwhile keeps its
        own. That is a Conflict, as is a write that others kept from getting through: the next look
        tells which of them it was.
        """
        latest = self._cache.bank(key) or body
        before = latest.get("status") or {}
        ready = str(_ready(status)["status"])
        healthy = _of(status, ConditionType.BACKUP_HEALTHY)
        copied = _of(status, ConditionType.COPIES_HEALTHY)
        follows = _of(status, ConditionType.FOLLOWING)
        self._metrics.bank_is(
            key,
            ready,
            backup=str(healthy[0]["status"]) if healthy else None,
            copies=str(copied[0]["status"]) if copied else None,
            following=str(follows[0]["status"]) if follows else None,
        )
        self._metrics.bank_measures(key, status)
        if status != before:
            await self._write(body, before, status)
        return ready == "True"

    async def _write(
        self, body: KubeObject, before: Mapping[str, Any], status: Mapping[str, Any]
    ) -> None:
        try:
            answer = await self._client.apply_status(with_status(body, status))
        except errors.NotFound:
            logger.info("the bank is gone: its status was not written")
            return
        self._cache.put(answer)
        seconds = until_ready(before, status)
        if seconds is not None:
            self._metrics.ready_seconds.observe(seconds)
        notes = [
            transition(_ready(before), _ready(status)),
            update(before, status),
            *volume(before, status),
            degradation(before, status),
            *backup(before, status),
            *following(before, status),
            verification(before, status),
        ]
        for note in filter(None, notes):
            level = logging.WARNING if note.warning else logging.INFO
            logger.log(level, "%s: %s", note.reason, note.message)
            await self._events.tell(body, note)


def until_ready(before: Mapping[str, Any], after: Mapping[str, Any]) -> float | None:
    """Return for how many seconds a bank was worked on that is ready now; None when it was ready
    before, is not yet, or nothing was to be done.
    """
    ready = _ready(after)
    if ready["status"] != "True" or _ready(before).get("status") == "True":
        return None
    begun = _of(before, ConditionType.RECONCILING, ConditionType.STALLED)
    if not begun:
        return None
    since, until = (
        datetime.fromisoformat(each["lastTransitionTime"]) for each in (begun[0], ready)
    )  # fmt: skip
    return max((until - since).total_seconds(), 0.0)


def transition(before: Mapping[str, Any], after: Mapping[str, Any]) -> Note | None:
    """Return what is worth an event when the Ready condition passes from one state to another."""
    reason, message = str(after.get("reason", "")), str(after.get("message", ""))
    was_ready, is_ready = before.get("status") == "True", after.get("status") == "True"
    if is_ready:
        return None if was_ready else Note(reason, message)
    if reason == before.get("reason") and not was_ready:
        return None
    if reason in EXPECTED:
        return Note(reason, message) if was_ready else None
    return Note(reason, message, warning=True)


def update(before: Mapping[str, Any], after: Mapping[str, Any]) -> Note | None:
    """Return what is worth an event about updates, unless the Ready condition tells it already."""
    reasons = {each.get("reason") for each in _updates(before)}
    for each in _updates(after):
        reason = each["reason"]
        told = reason in reasons or reason == _ready(after).get("reason")
        if not told and reason != Reason.UPDATE_QUEUED:
            warning = reason not in (Reason.AWAITING_APPROVAL, Reason.UPDATE_BEGINS)
            return Note(reason, each["message"], warning=warning)
    return None


def volume(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Note]:
    """Yield what is worth an event about the volume's size; that it is to grow is told by who asks
    for it.
    """
    had, has = before.get("storage") or {}, after.get("storage") or {}
    old, new = had.get("capacity"), has.get("capacity")
    if old and new and parse_quantity(old) < parse_quantity(new):
        yield Note(Reason.VOLUME_GROWN, f"The volume has {new} now, {old} before.")
    if has.get("message") and has["message"] != had.get("message"):
        yield Note(Reason.VOLUME_LARGER_THAN_SPEC, has["message"])
    kinds = (ConditionType.VOLUME_RESIZING, ConditionType.DISK_LOW)
    reasons = {each["reason"] for each in _of(before, *kinds)}
    for each in _of(after, *kinds):
        if each["reason"] in TROUBLE_WITH_VOLUMES and each["reason"] not in reasons:
            yield Note(each["reason"], each["message"], warning=True)


def degradation(before: Mapping[str, Any], after: Mapping[str, Any]) -> Note | None:
    """Return what is worth an event about what the bank lacks; that it has it again, the condition
    tells by its absence.
    """
    reasons = [each["reason"] for each in _of(before, ConditionType.DEGRADED)]
    for each in _of(after, ConditionType.DEGRADED):
        if each["reason"] not in reasons:
            return Note(each["reason"], each["message"], warning=True)
    return None


_RESTORED = {
    "backup": "The volume was empty, and the database was restored from {destination}.",
    "restored": "The bank began with the backup of spec.bootstrap.restore.",
}
"""By what the pod says of where it had its database from."""


def backup(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Note]:
    """Yield what is worth an event about backups: a restore, and whether they are well."""
    had, has = before.get("backup") or {}, after.get("backup") or {}
    promoted = (after.get("standby") or {}).get("promoted")
    if has.get("epoch") == had.get("epoch") or has.get("origin") not in _RESTORED:
        pass
    elif has["origin"] == "restored" and promoted:
        source = after["standby"]["source"]
        yield Note(
            Reason.PROMOTED,
            f"The bank began with the newest state at {source}, and takes writes from now on.",
        )
    else:
        yield Note(Reason.RESTORED, _RESTORED[has["origin"]].format(**has))
    for kind in (ConditionType.BACKUP_HEALTHY, ConditionType.COPIES_HEALTHY):
        stood = {each["status"] for each in _of(before, kind)}
        for each in _of(after, kind):
            if each["status"] not in {*stood, "Unknown"}:
                yield Note(each["reason"], each["message"], warning=each["status"] == "False")


def following(before: Mapping[str, Any], after: Mapping[str, Any]) -> Iterator[Note]:
    """Yield what is worth an event about the bank that is followed: whether it still is."""
    was = {each["reason"] for each in _of(before, ConditionType.FOLLOWING)}
    for each in _of(after, ConditionType.FOLLOWING):
        if each["reason"] not in was and each["status"] != "Unknown":
            yield Note(each["reason"], each["message"], warning=each["status"] == "False")


def verification(before: Mapping[str, Any], after: Mapping[str, Any]) -> Note | None:
    """Return what is worth an event about backups that are tried: failures, and their end."""
    was = {each["reason"] for each in _of(before, ConditionType.BACKUP_VERIFIED)}
    for each in _of(after, ConditionType.BACKUP_VERIFIED):
        if each["reason"] not in was and each["status"] != "Unknown":
            return Note(each["reason"], each["message"], warning=each["status"] == "False")
    return None


def _updates(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return _of(status, ConditionType.UPDATE_PENDING, ConditionType.UPDATING)


def _of(status: Mapping[str, Any], *kinds: ConditionType) -> list[Mapping[str, Any]]:
    return [each for each in status.get("conditions") or () if each["type"] in kinds]


def _ready(status: Mapping[str, Any]) -> Mapping[str, Any]:
    conditions = status.get("conditions") or ()
    return next((each for each in conditions if each["type"] == ConditionType.READY), {})
