"""What requests leave behind: usage per tenant and endpoint, refusals and reads for the audit log.

Both are noted in memory and stored in batches. A crash loses what was noted since the last one, at
most some seconds; writes are not among it, they are recorded in their own transaction.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from datetime import datetime

from memorybank.auth.principal import Principal
from memorybank.domain.audit import AuditEvent, EventKind, NotedEvent
from memorybank.domain.tenants import DEFAULT_TENANT
from memorybank.domain.usage import Count, Endpoint
from memorybank.ports import AccessStore
from memorybank.services.memories import now_utc
from memorybank.trail import SYSTEM

_MAX_NOTED = 20_000
"""Events kept until they are stored; what comes after is counted and recorded as lost."""

_MAX_REFUSALS = 1_000
"""Different refusals kept apart; those after share one record."""

_UNKNOWN = "unknown"


class Activity:
    """Notes requests as they end."""

    def __init__(
        self,
        store: AccessStore,
        kinds: Iterable[EventKind],
        *,
        clock: Callable[[], datetime] = now_utc,
    ) -> None:
        """`kinds` are the events that the audit log records."""
        self._store = store
        self._kinds = frozenset(kinds)
        self._clock = clock
        self._usage: dict[Endpoint, Count] = {}
        self._noted: list[NotedEvent] = []
        self._lost = 0
        self._refusals: Counter[tuple[str, str, str, str]] = Counter()

    def ended(
        self,
        caller: Principal | None,
        endpoint: str,
        status: int,
        *,
        address: str,
        request_id: str,
        recorded: bool,
    ) -> None:
        """Note a request. `recorded` says that what it did is in the audit log already."""
        now = self._clock()
        if status in (401, 403, 429):
            self._refused(caller, endpoint, status, address)
        if caller is None:
            return
        where = Endpoint(caller.tenant, now.date().isoformat(), endpoint)
        self._usage[where] = self._usage.get(where, Count()) + Count.of(status)
        if EventKind.READ in self._kinds and status < 400 and not recorded:
            event = AuditEvent(EventKind.READ, "read", caller.tenant, endpoint)
            self._note(NotedEvent(event, now, caller.name, request_id))

    async def store(self) -> None:
        """Store what was noted since the last call; loses nothing when the store fails."""
        usage, self._usage = self._usage, {}
        noted, self._noted = [*self._noted, *self._summaries()], []
        try:
            await self._store.add_activity(usage, noted)
        except BaseException:
            for where, count in usage.items():
                self._usage[where] = self._usage.get(where, Count()) + count
            self._noted = [*noted, *self._noted]
            raise

    def _refused(self, caller: Principal | None, endpoint: str, status: int, address: str) -> None:
        if EventKind.AUTH not in self._kinds:
            return
        tenant, name = (
            (DEFAULT_TENANT, _UNKNOWN) if caller is None else (caller.tenant, caller.name)
        )
        what = (tenant, name, address if caller is None else endpoint, str(status))
        if what not in self._refusals and len(self._refusals) >= _MAX_REFUSALS:
            what = (DEFAULT_TENANT, _UNKNOWN, "others", "4xx")
        self._refusals[what] += 1

    def _summaries(self) -> list[NotedEvent]:
        """Return one event for all refusals of one kind: a flood of requests is none of records."""
        refusals, self._refusals = self._refusals, Counter()
        lost, self._lost = self._lost, 0
        now = self._clock()
        events = []
        for (tenant, actor, target, status), times in refusals.items():
            details: dict[str, str | int] = {"status": status, "times": times}
            event = AuditEvent(EventKind.AUTH, "access.refused", tenant, target, details)
            events.append(NotedEvent(event, now, actor, ""))
        if lost:
            event = AuditEvent(EventKind.READ, "audit.lost", DEFAULT_TENANT, None, {"times": lost})
            events.append(NotedEvent(event, now, SYSTEM, ""))
        return events

    def _note(self, event: NotedEvent) -> None:
        if len(self._noted) < _MAX_NOTED:
            self._noted.append(event)
        else:
            self._lost += 1
