"""What happens to an event: the cache keeps the object, the queue gets the banks it concerns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from memorybank_operator.constants import KIND
from memorybank_operator.engine.cache import REFERENCES, Affected, BankKey, Cache
from memorybank_operator.engine.queue import Priority
from memorybank_operator.engine.streams import Streams
from memorybank_operator.reconcile.observed import KubeObject

Enqueue = Callable[[BankKey, Priority], None]
Begin = Callable[[BankKey], None]


class Intake:
    """Takes watch events."""

    def __init__(self, cache: Cache, streams: Streams, enqueue: Enqueue, *, begin: Begin) -> None:
        """`begin` is told the banks that no operator has looked at yet, as long as not everything
        is known: they can be made all the same.
        """
        self._cache = cache
        self._streams = streams
        self._enqueue = enqueue
        self._begin = begin

    def take(self, event: dict[str, Any]) -> None:
        """Take one event of a watch; type None stands for an object found by listing."""
        body: KubeObject = event["object"]
        deleted = event["type"] == "DELETED"
        affected = self._cache.remove(body) if deleted else self._cache.put(body)
        if affected is not None:
            self._tell(body, affected)

    def _tell(self, body: KubeObject, affected: Affected) -> None:
        if body["kind"] in (KIND, *REFERENCES):
            urgent = self._streams.complete or _is_changed(body)
            priority = Priority.USER if urgent else Priority.RESYNC
        else:
            priority = Priority.CHILD if self._streams.complete else Priority.RESYNC
        for bank in affected:
            self._enqueue(bank, priority)
            if body["kind"] == KIND and is_new(body) and not self._streams.complete:
                self._begin(bank)
        if "namespace" not in body["metadata"]:
            # A storage class may be what any bank is waiting for.
            for bank in self._cache.banks():
                self._enqueue(bank, Priority.RESYNC)


def _is_changed(body: KubeObject) -> bool:
    """Whether somebody changed the bank, or what names it, while no operator looked."""
    observed = (body.get("status") or {}).get("observedGeneration")
    return bool(observed != body["metadata"]["generation"])


def is_new(bank: KubeObject) -> bool:
    """Whether no operator has said anything about the bank yet."""
    observed = (bank.get("status") or {}).get("observedGeneration", -1)
    return bool(observed < 0)
