"""Whatever way a spec went, its bank ends as one that was created with the last spec; and a bank
whose spec or surroundings were wrong for a while is as if they never were.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from hypothesis import strategies as st

from memorybank_operator import constants
from memorybank_operator.kube import kinds
from tests.integration.operator.effort import FULL
from tests.integration.operator.servers import load_model
from tests.integration.operator.settling import refused, settle
from tests.integration.operator.shape import shape
from tests.integration.operator.test_specs import difference
from tests.integration.operator.world import World, Worlds
from tests.operator.strategies import engines
from tests.operator.world import BUCKET_KEYS, DATABASE_URL

Values = dict[str, Any]
IMMUTABLE = ("storage", "encryption")
"""What a spec keeps for as long as it lives; what may change of it is among the crash points."""
OWN_OLLAMA = {"provider": "ollama", "model": "m", "ollama": {"managed": {}}}
WALKS = 8
"""Walked at the same time."""
STEPS = 6
SETTLE_SECONDS = 300.0


@st.composite
def walks(draw: st.DrawFn) -> list[Values]:
    """Return the specs that a bank has one after the other."""
    steps = draw(st.lists(draw(st.sampled_from(engines)), min_size=2, max_size=STEPS))
    fixed = {key: value for key, value in steps[0].items() if key in IMMUTABLE}
    return [
        {key: value for key, value in step.items() if key not in IMMUTABLE} | fixed
        for step in steps
    ]


async def put(world: World, name: str, spec: Values) -> bool:
    """Replace a bank's spec as `kubectl replace` does, or create it; False when it is refused."""
    while True:
        present = await world.get(kinds.MEMORY_BANK, name)
        body = {
            "apiVersion": constants.API_VERSION,
            "kind": constants.KIND,
            "metadata": {"name": name, "namespace": world.namespace},
            "spec": spec,
        }
        path = kinds.MEMORY_BANK.collection(world.namespace)
        method = "POST"
        if present is not None:
            version = present["metadata"]["resourceVersion"]
            body["metadata"] = {**present["metadata"], "resourceVersion": version}
            path, method = kinds.MEMORY_BANK.item(world.namespace, name), "PUT"
        async with (
            world.connection.session() as session,
            session.request(method, world.connection.server + path, json=body) as response,
        ):
            if response.status == 409:
                continue  # the operator wrote the status in between
            assert response.status in (200, 201, 422), await response.text()
            return response.status != 422


@pytest.mark.proof
@settings(
    max_examples=60 if FULL else 1,
    deadline=None,
    print_blob=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
@example([[{}, {"embedding": OWN_OLLAMA}]] * WALKS, True)
@given(st.lists(walks(), min_size=WALKS, max_size=WALKS), st.booleans())
async def test_a_walk_over_specs_ends_as_a_bank_created_with_the_last_one(
    worlds: Worlds, ways: list[list[Values]], patient: bool
) -> None:
    world = worlds()
    await world.put_secret("database", url=DATABASE_URL)
    await world.put_secret("bucket", **BUCKET_KEYS)
    walked, fresh = ([f"{word}-{number}-x" for number in range(WALKS)] for word in ("walk", "new"))
    last: dict[str, Values] = {}
    async with world.operator(workers=16) as operator:
        for step in range(STEPS):
            for name, way in zip(walked, ways, strict=True):
                if step < len(way) and await put(world, name, way[step]):
                    last[name] = way[step]
            if patient:
                await settle(world, operator, *last, seconds=SETTLE_SECONDS)
        for name, twin in zip(walked, fresh, strict=True):
            if name in last:
                assert await put(world, twin, last[name])
        twins = [twin for name, twin in zip(walked, fresh, strict=True) if name in last]
        await settle(world, operator, *last, *twins, seconds=SETTLE_SECONDS)
        # Until its model answers, a bank keeps what it had before, and a new one has no pod.
        for name in (*last, *twins):
            await load_model(world, name)
        await settle(world, operator, *last, *twins, seconds=SETTLE_SECONDS)
        assert refused(operator) == 0
        for name, twin in zip(walked, fresh, strict=True):
            if name in last:
                found = difference(await shape(world, name), await shape(world, twin))
                assert found == [], ways[walked.index(name)]
