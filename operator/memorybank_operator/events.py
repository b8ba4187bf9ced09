"""Events for people on a bank, as `kubectl describe mb` shows them.

core/v1 Events with a count: `kubectl describe` shows those as `5s (x3 over 2m)`. The same event
again raises the count of the first, at most once in REPEAT_SECONDS, and a bank has a budget, so
that a flapping bank does not flood the API server. An event is told once and not retried: what
matters is in the status.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from memorybank_operator import constants
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.reconcile.observed import KubeObject
from memorybank_operator.reconcile.steps import Note

REPEAT_SECONDS = 300.0
"""The same event within this time is written once; its count rises in memory."""
BURST = 25.0
PER_SECOND = 1.0 / 300.0
"""Per bank: 25 events at once and one each five minutes, as in Kubernetes' own recorder."""
FORGET_SECONDS = 3600.0
"""An event not repeated for as long as API servers keep events starts a new one."""
MAX_MESSAGE = 1024
"""Characters that the API server takes."""

logger = logging.getLogger(__name__)


class _Kind(NamedTuple):
    reason: str
    message: str


@dataclass(slots=True)
class _Told:
    """An event on the API server."""

    name: str
    count: int
    written: float


@dataclass(slots=True)
class _Bank:
    """What a bank has used up."""

    told: dict[_Kind, _Told]
    tokens: float
    tokens_at: float


class Events:
    """Writes events on banks, and remembers in memory what it wrote."""

    def __init__(self, client: KubeClient, *, clock: Callable[[], float], instance: str) -> None:
        """`instance` names this operator's pod."""
        self._client = client
        self._clock = clock
        self._instance = instance
        self._banks: dict[str, _Bank] = {}

    async def tell(self, bank: KubeObject, note: Note) -> None:
        """Put a note on a bank, unless it was told lately or the bank is over its budget."""
        now = self._clock()
        uid = bank["metadata"]["uid"]
        self._forget_old(now)
        state = self._banks.setdefault(uid, _Bank({}, BURST, now))
        state.told = {k: t for k, t in state.told.items() if now - t.written < FORGET_SECONDS}
        kind = _Kind(note.reason, note.message)
        told = state.told.get(kind)
        if told is not None:
            told.count += 1
            if now - told.written < REPEAT_SECONDS:
                return
        if not _spend(state, now):
            return
        try:
            await self._write(bank, note, state, told)
        except errors.NamespaceTerminating:
            pass  # nobody can look at it any more
        except errors.KubeError as error:
            logger.warning("event %s was not written: %s", note.reason, error)

    def _forget_old(self, now: float) -> None:
        old = [uid for uid, bank in self._banks.items() if now - bank.tokens_at > FORGET_SECONDS]
        for uid in old:
            del self._banks[uid]

    async def _write(self, bank: KubeObject, note: Note, state: _Bank, told: _Told | None) -> None:
        namespace = bank["metadata"]["namespace"]
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        kind = _Kind(note.reason, note.message)
        if told is not None:
            try:
                await self._client.merge(
                    kinds.EVENT, namespace,
                    name=told.name, changes={"count": told.count, "lastTimestamp": now},
                )  # fmt: skip
            except errors.NotFound:
                del state.told[kind]
            else:
                told.written = self._clock()
            return
        made = await self._client.create(self._body(bank, note, now))
        state.told[kind] = _Told(made["metadata"]["name"], 1, self._clock())

    def _body(self, bank: KubeObject, note: Note, now: str) -> KubeObject:
        metadata = bank["metadata"]
        return {
            "apiVersion": kinds.EVENT.api_version,
            "kind": kinds.EVENT.kind,
            "metadata": {
                "generateName": f"{metadata['name'][:200]}.",
                "namespace": metadata["namespace"],
            },
            "involvedObject": {
                "apiVersion": bank["apiVersion"],
                "kind": bank["kind"],
                "name": metadata["name"],
                "namespace": metadata["namespace"],
                "uid": metadata["uid"],
                "resourceVersion": metadata["resourceVersion"],
            },
            "type": "Warning" if note.warning else "Normal",
            "reason": note.reason,
            "message": note.message[:MAX_MESSAGE],
            "count": 1,
            "firstTimestamp": now,
            "lastTimestamp": now,
            "source": {"component": constants.FIELD_MANAGER},
            "reportingComponent": constants.FIELD_MANAGER,
            "reportingInstance": self._instance,
        }


def _spend(state: _Bank, now: float) -> bool:
    state.tokens = min(BURST, state.tokens + (now - state.tokens_at) * PER_SECOND)
    state.tokens_at = now
    if state.tokens < 1.0:
        return False
    state.tokens -= 1.0
    return True
