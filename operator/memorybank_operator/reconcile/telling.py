"""Says how something stands that is about a bank: one status write if anything differs, and the
events of that. What the API server does not do for the moment is told to the queue.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Any

from memorybank_operator import logs
from memorybank_operator.engine.cache import BankKey, Cache
from memorybank_operator.engine.workers import Outcome
from memorybank_operator.events import Events
from memorybank_operator.kube import errors
from memorybank_operator.kube.client import KubeClient, with_status
from memorybank_operator.reconcile.execute import ObservationOutdated
from memorybank_operator.reconcile.observed import KubeObject
from memorybank_operator.reconcile.steps import Note

Notes = Callable[[Mapping[str, Any], Mapping[str, Any]], Iterator[Note]]
"""Yields what is worth an event when one status follows another."""

logger = logging.getLogger(__name__)


class Teller:
    """Writes statuses and events of one kind."""

    def __init__(self, cache: Cache, client: KubeClient, events: Events, notes: Notes) -> None:
        self._cache = cache
        self._client = client
        self._events = events
        self._notes = notes

    async def say(self, body: KubeObject, status: Mapping[str, Any]) -> bool:
        """Make this the status of an object, unless it is; return whether it was written."""
        before = body.get("status") or {}
        if status == before:
            return False
        try:
            written = await self._client.apply_status(with_status(body, status))
        except errors.NotFound:
            return False
        self._cache.put(written)
        for note in self._notes(before, status):
            logger.log(
                logging.WARNING if note.warning else logging.INFO,
                "%s %s: %s: %s", body["kind"], body["metadata"]["name"], note.reason, note.message,
            )  # fmt: skip
            await self._events.tell(body, note)
        return True


async def guarded(bank: BankKey, work: Callable[[BankKey], Awaitable[Outcome]]) -> Outcome:
    """Work on a bank, and have it tried again when the API server did not do its part."""
    with logs.about(bank):
        try:
            return await work(bank)
        except ObservationOutdated as error:
            logger.info("looking again: %s", error)
            return Outcome(failed=True)
        except errors.KubeError as error:
            logger.warning("%s", error)
            wait = error.retry_after if isinstance(error, errors.Transient) else None
            return Outcome(failed=True, at_least=wait or 0.0)
