"""Waiting until an operator has nothing more to do."""

from __future__ import annotations

from collections.abc import Iterable

from memorybank_operator.engine.cache import BankKey, owner_of
from memorybank_operator.kube import errors, kinds
from memorybank_operator.reconcile.observed import KubeObject
from memorybank_operator.runtime import Operator
from tests.integration.operator.garbage import is_collected
from tests.integration.operator.world import World, until

SETTLE_SECONDS = 180.0
"""A second is enough on an idle machine."""
LOOKS = 2
API_ERRORS = "memorybank_operator_api_errors_total"
POLL_SECONDS = 0.1
"""Everything is listed each time, which costs more than what is waited for."""


async def settle(
    world: World, operator: Operator, *names: str, seconds: float = SETTLE_SECONDS
) -> None:
    """Wait until these banks (`agents` when none is named) are judged for their newest generation,
    and two more looks at everything, by an operator that knows everything, write nothing. While
    what a deleted bank owned is still being collected, there is something to come.
    """
    names = names or ("agents",)
    for name in names:

        async def is_judged(name: str = name) -> bool:
            gone = await world.get(kinds.MEMORY_BANK, name) is None
            return gone or bool(await world.ready(name))

        what = f"a judgement about {name}"
        await until(is_judged, seconds=seconds, what=what, poll=POLL_SECONDS)

    async def is_quiet() -> bool:
        if not await is_collected(world):
            return False
        if await versions(world, names) != known_versions(operator, world.namespace, names):
            return False
        writes = len(world.writes())
        for _ in range(LOOKS):
            await look(operator, seconds=seconds)
        return len(world.writes()) == writes and has_heard_of_pods(world, operator)

    await until(is_quiet, seconds=seconds, what="no more writes", poll=POLL_SECONDS)


def has_heard_of_pods(world: World, operator: Operator) -> bool:
    """Tell whether the operator knows of every pod what it says of itself."""
    readings = operator._readings
    return world.pod.said is None or all(
        readings.reading(bank) == world.pod.said for bank in readings._outlooks
    )


async def look(operator: Operator, *, seconds: float = SETTLE_SECONDS) -> None:
    """Have the operator look at every bank that it knows, and wait until it did."""
    banks = tuple(operator.cache.banks())
    wanted = looks(operator) + len(banks)
    operator._look_at(banks)

    async def has_looked() -> bool:
        return looks(operator) >= wanted

    await until(has_looked, seconds=seconds, what="a look at every bank")


def looks(operator: Operator) -> float:
    """Return how many reconciles came to an end, good or bad."""
    registry = operator.metrics.registry
    return sum(
        registry.get_sample_value("memorybank_operator_reconciles_total", {"result": result}) or 0.0
        for result in ("done", "failed")
    )


def refused(operator: Operator) -> float:
    """Return how many writes the API server will never take, such as of a field that cannot
    change.
    """
    labels = {"reason": errors.Invalid.reason}
    found = operator.metrics.registry.get_sample_value(API_ERRORS, labels)
    return found or 0.0


async def versions(world: World, names: Iterable[str]) -> dict[str, str]:
    """Return the resource versions of some banks and of all objects of theirs, by uid."""
    wanted = {BankKey(world.namespace, name) for name in names}
    found = {}
    for kind in (kinds.MEMORY_BANK, *kinds.CHILDREN):
        selector = kinds.selector(kind)
        async for page in world.client.pages(kind, world.namespace, selector=selector):
            for item in page["items"]:
                if owner_of({"kind": kind.kind, **item}) in wanted:
                    found[item["metadata"]["uid"]] = item["metadata"]["resourceVersion"]
    return found


def known_versions(operator: Operator, namespace: str, names: Iterable[str]) -> dict[str, str]:
    """Return the same as an operator knows them of some banks, or of what they left."""
    known = {kind.kind for kind in kinds.CHILDREN}
    bodies: list[KubeObject | None] = []
    for key in (BankKey(namespace, name) for name in names):
        bodies += [operator.cache.bank(key), *operator.cache.belongings(key, known).values()]
    return {body["metadata"]["uid"]: body["metadata"]["resourceVersion"] for body in bodies if body}
