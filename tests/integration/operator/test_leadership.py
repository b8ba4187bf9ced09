"""Of several operators one writes, whatever happens to it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from e2e.cluster.apiserver import ApiServer
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.leadership import NAME, Candidate
from memorybank_operator.settings import Settings
from tests.integration.operator.effort import FULL
from tests.integration.operator.test_process import (
    CREATION_WRITES,
    START_SECONDS,
    Process,
    made,
    operator,
    until_written,
)
from tests.integration.operator.world import World, until

SECONDS = 6.0
"""So long that a busy machine renews it in time."""
DEFAULT_LEASE_SECONDS = Settings.model_fields["lease_seconds"].default
FAILOVER_SECONDS = 20.0


class Standing:
    """A candidate that runs, with a clock of its own."""

    def __init__(self, world: World, identity: str) -> None:
        self.skew = 0.0
        self.candidate = Candidate(
            world.client,
            namespace=world.namespace,
            identity=identity,
            seconds=SECONDS,
            clock=lambda: asyncio.get_running_loop().time() + self.skew,
        )
        self.running = asyncio.create_task(self.candidate.run())

    async def leads(self) -> None:
        async with asyncio.timeout(10 * SECONDS):
            await self.candidate.leading.wait()

    async def loses(self) -> None:
        async with asyncio.timeout(10 * SECONDS):
            await self.running

    async def end(self) -> None:
        self.running.cancel()
        await asyncio.wait([self.running])


@pytest.fixture
async def standing(world: World) -> AsyncIterator[tuple[Standing, Standing]]:
    """One that leads, and one that waits."""
    first = Standing(world, "first")
    await first.leads()
    second = Standing(world, "second")
    yield first, second
    for each in (first, second):
        await each.end()


async def holder(world: World) -> str:
    return str((await world.must(kinds.LEASE, NAME))["spec"]["holderIdentity"])


async def test_one_leads_and_goes_on_leading(
    world: World, standing: tuple[Standing, Standing]
) -> None:
    first, second = standing
    begun = (await world.must(kinds.LEASE, NAME))["metadata"]["resourceVersion"]

    async def is_renewed_for_long() -> bool:
        version = (await world.must(kinds.LEASE, NAME))["metadata"]["resourceVersion"]
        return int(version) > int(begun) and second.candidate._rival[0] == version

    for _ in range(3):
        await until(is_renewed_for_long)
    assert await holder(world) == "first"
    assert not second.candidate.leading.is_set()
    assert first.candidate.write_seconds() > 0
    assert second.candidate.write_seconds() == 0


async def test_who_leaves_hands_over_at_once(
    world: World, standing: tuple[Standing, Standing]
) -> None:
    first, second = standing
    await first.end()
    await first.candidate.release()
    assert await holder(world) in ("", "second"), "long before it runs out"
    assert first.candidate.write_seconds() == 0
    await second.leads()
    assert await holder(world) == "second"


async def test_who_is_gone_is_followed_after_the_leases_time(
    world: World, standing: tuple[Standing, Standing]
) -> None:
    first, second = standing
    await first.end()
    await second.leads()
    assert asyncio.get_running_loop().time() - first.candidate._renewed >= SECONDS
    assert first.candidate.write_seconds() == 0


async def test_who_was_asleep_does_not_write_any_more(
    world: World, standing: tuple[Standing, Standing]
) -> None:
    first, _ = standing
    gated = KubeClient(
        world.client._session,
        world.connection.server,
        field_manager="first",
        write_seconds=first.candidate.write_seconds,
    )
    body = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "written", "namespace": world.namespace},
    }
    await gated.apply(body)
    first.skew += SECONDS
    with pytest.raises(errors.NotLeading, match="not sent"):
        await gated.apply(body | {"data": {"late": "true"}})
    assert "data" not in await world.must("ConfigMap", "written")
    await first.loses()


async def test_whoever_finds_the_lease_in_other_hands_has_lost(
    world: World, standing: tuple[Standing, Standing]
) -> None:
    first, _ = standing
    await world.client.merge(
        kinds.LEASE, world.namespace, name=NAME, changes={"spec": {"holderIdentity": "somebody"}}
    )
    await first.loses()


async def test_a_lease_that_somebody_deleted_is_lost(
    world: World, standing: tuple[Standing, Standing]
) -> None:
    first, second = standing
    await world.delete(kinds.LEASE, NAME)
    await first.loses()
    await second.leads()


async def test_a_leader_that_somebody_annotates_goes_on(
    world: World, standing: tuple[Standing, Standing]
) -> None:
    first, _ = standing
    await world.client.merge(
        kinds.LEASE, world.namespace, name=NAME, changes={"metadata": {"annotations": {"a": "b"}}}
    )
    lease = await world.must(kinds.LEASE, NAME)

    async def is_renewed() -> bool:
        found = await world.must(kinds.LEASE, NAME)
        return bool(found["spec"]["renewTime"] > lease["spec"]["renewTime"])

    await until(is_renewed)
    assert await holder(world) == "first"
    assert not first.running.done()


@pytest.mark.proof
@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGSTOP])
async def test_who_ends_without_a_word_is_followed_in_time(
    api_server: ApiServer, world: World, tmp_path: Path, end: signal.Signals
) -> None:
    lease = DEFAULT_LEASE_SECONDS if FULL else SECONDS
    async with AsyncExitStack() as stack:

        async def start(name: str) -> Process:
            folder = tmp_path / name
            folder.mkdir()
            kubeconfig = folder / "kubeconfig"
            kubeconfig.write_text(api_server.kubeconfig_for(name, "system:masters"))
            process = await stack.enter_async_context(
                operator(
                    api_server, world.namespace, folder, kubeconfig=kubeconfig,
                    LEASE_NAMESPACE=world.namespace, LEASE_SECONDS=str(lease),
                )
            )  # fmt: skip
            await until(process.is_ready, seconds=START_SECONDS)
            return process

        leader = await start("leader")
        await world.create()
        await until(lambda: made(world), seconds=START_SECONDS)
        await until_written(world, CREATION_WRITES)
        successor = await start("successor")
        assert await is_leading(leader)
        assert not await is_leading(successor)
        written = len(world.writes("leader"))

        leader.send(end)
        took = await put_back(world)
        sys.stdout.write(
            f"{end.name}: the successor put back what was deleted {took:.1f} s before, "
            f"with a Lease of {lease:g} s\n"
        )
        if FULL:
            assert took < FAILOVER_SECONDS
        if end == signal.SIGSTOP:
            # Somebody has to write just when the first one goes on.
            leader.send(signal.SIGCONT)
            await put_back(world)
            async with asyncio.timeout(START_SECONDS):
                assert await leader.wait() == 1
            assert "the Lease was lost" in leader.lines()[-1]["message"]
        assert len(world.writes("leader")) == written


async def put_back(world: World) -> float:
    """Delete an object of the bank; return the seconds until an operator made it again, once."""
    before = world.writes()
    lost = (await world.delete("ConfigMap", "agents-config"))["metadata"]["uid"]

    async def is_back() -> bool:
        found = await world.get("ConfigMap", "agents-config")
        return found is not None and bool(found["metadata"]["uid"] != lost)

    took = await until(is_back, seconds=START_SECONDS)
    await until(lambda: made(world))
    await until_written(world, len(before) + 1)
    assert world.writes()[len(before) :].count("patch configmaps agents-config") == 1
    return took


async def is_leading(process: Process) -> bool:
    _, text = await process.get("/metrics")
    return "memorybank_operator_leader 1.0" in text
