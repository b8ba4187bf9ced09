"""Reading the audit log, and usage."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from datetime import date, datetime, timedelta

from memorybank.auth.principal import Principal
from memorybank.domain.audit import AuditPage, AuditRecord, Chain
from memorybank.domain.usage import Count
from memorybank.errors import InvalidRequest
from memorybank.ports import AccessStore
from memorybank.schemas.audit import AuditQuery, UsageQuery
from memorybank.services.memories import now_utc
from memorybank.services.tenants import administered_tenant

_USAGE_DAYS = 30


class AuditService:
    """What administrators can read: of their tenant, or of any if they run the bank."""

    def __init__(self, store: AccessStore, *, clock: Callable[[], datetime] = now_utc) -> None:
        self._store = store
        self._clock = clock

    async def page(self, caller: Principal, query: AuditQuery) -> AuditPage:
        """Return one page of a tenant's log, newest first. Raises NotFound, InvalidCursor."""
        tenant = await administered_tenant(self._store, caller, query.tenant)
        return await self._store.audit_page(
            tenant, action=query.action, actor=query.actor, limit=query.limit, cursor=query.cursor
        )

    async def export(
        self, caller: Principal, tenant: str | None
    ) -> tuple[Chain, AsyncIterator[AuditRecord]]:
        """Return a tenant's chain as it is now, and its records, oldest first.

        Raises NotFound.
        """
        named = await administered_tenant(self._store, caller, tenant)
        chain = await self._store.audit_chain(named)
        return chain, self._records(chain)

    async def usage(
        self, caller: Principal, query: UsageQuery
    ) -> tuple[date, date, dict[str, Count]]:
        """Return the first day, the last day, and what a tenant asked in between by endpoint.

        Raises NotFound, and InvalidRequest for a first day after the last.
        """
        tenant = await administered_tenant(self._store, caller, query.tenant)
        today = self._clock().date()
        last = query.last_day or today
        first = query.first_day or _days_before(last, _USAGE_DAYS - 1)
        if first > last:
            raise InvalidRequest(
                "the first day is after the last",
                field="first_day",
                hint="name an earlier day, or a later last_day",
            )
        counts = await self._store.usage(tenant, first=first.isoformat(), last=last.isoformat())
        return first, last, counts

    async def _records(self, chain: Chain) -> AsyncIterator[AuditRecord]:
        after = chain.pruned_seq
        while after < chain.seq:
            records = await self._store.audit_records(chain.tenant, after)
            if not records:  # pruned meanwhile
                return
            for record in records:
                if record.seq > chain.seq:
                    return
                yield record
            after = records[-1].seq


def _days_before(day: date, days: int) -> date:
    """Return an earlier day, or the first there is."""
    try:
        return day - timedelta(days=days)
    except OverflowError:
        return date.min
