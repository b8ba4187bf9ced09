"""Which process leads: never two at a time, and not none for long."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from memorybank.services.leadership import Deposed, Leadership
from tests.support.lease import Lease


@asynccontextmanager
async def alive(*processes: Leadership) -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks = [asyncio.create_task(each.run()) for each in processes]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def test_the_only_process_of_a_store_always_leads() -> None:
    alone = Leadership()
    assert alone.leads
    alone.require()
    await alone.gained()
    await alone.run()


async def test_of_two_processes_one_leads_until_it_ends() -> None:
    lease = Lease()
    one, other = lease.process(), lease.process()
    assert not one.leads
    async with alive(one) as (first,):
        await one.gained()
        async with alive(other):
            await lease.seen()
            assert (one.leads, other.leads) == (True, False)
            with pytest.raises(Deposed):
                other.require()
            first.cancel()
            await other.gained()  # with the clock where it was: the lease was given back
            assert not one.leads


async def test_one_that_dies_is_followed_when_its_lease_has_run_out() -> None:
    lease = Lease()
    one, other = lease.process(), lease.process()
    lease.holder, lease.ends_at = "the dead", lease.now + 15
    async with alive(one, other):
        lease.now += 14
        await lease.seen()
        assert not one.leads
        assert not other.leads
        lease.now += 1
        await lease.seen()
        assert one.leads != other.leads


async def test_one_that_reaches_the_store_no_more_leads_no_longer_than_its_lease() -> None:
    lease = Lease()
    one = lease.process()
    async with alive(one):
        await one.gained()
        lease.down = True
        lease.now += 14
        await lease.seen()
        assert one.leads
        lease.now += 1
        assert not one.leads
        lease.down = False
        await one.gained()


async def test_a_lease_counts_from_before_it_was_asked_for() -> None:
    """An answer that was long under way must not prolong it beyond what the store has."""
    lease = Lease()
    one = lease.process()

    def slowly() -> None:
        lease.now += 20

    lease.answered = slowly
    async with alive(one):
        await lease.seen()
        assert not one.leads
