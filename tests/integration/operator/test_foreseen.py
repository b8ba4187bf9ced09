"""What `kubectl memorybank plan` tells is what the operator does then."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_operator import constants
from memorybank_operator.api.defaults import NO_DEFAULTS
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.kube import kinds
from memorybank_operator.kube.discovery import served
from memorybank_operator.plugin.planning import surroundings
from memorybank_operator.plugin.planning.foreseen import Foreseen, foresee
from memorybank_operator.resources.context import RenderSettings
from tests.integration.operator.settling import settle
from tests.integration.operator.world import World

INGRESS = {"expose": {"ingress": {"host": "agents.example.org"}}}
SUBJECTS = {kind.plural for kind in kinds.CHILDREN}


async def foreseen(world: World, changes: dict[str, Any], *, new: bool = False) -> Foreseen:
    """What would come of a bank, as the API server has it and without changing it."""
    if new:
        body = await world.client.create(
            {
                "apiVersion": constants.API_VERSION,
                "kind": constants.KIND,
                "metadata": {"name": "agents", "namespace": world.namespace},
                "spec": changes,
            },
            dry_run=True,
        )
    else:
        body = await world.client.merge(
            kinds.MEMORY_BANK, world.namespace, name="agents", changes={"spec": changes},
            dry_run=True,
        )  # fmt: skip
    bank, settings = MemoryBank.model_validate(body), world.settings()
    render = RenderSettings(
        settings.app_image, settings.cluster_domain, NO_DEFAULTS, settings.own_namespace,
        settings.chroma_image, settings.ollama_image,
        frozenset(each.kind for each in await served(world.client, kinds.OPTIONAL)),
    )  # fmt: skip
    return foresee(bank, await surroundings.observed(world.client, bank), render)


def told(found: Foreseen) -> set[tuple[bool, str, str]]:
    return {
        (each.action == "delete", kinds.by_kind(each.child.kind).plural, each.child.name)
        for each in found.changes
    }


def done(writes: list[str]) -> set[tuple[bool, str, str]]:
    """What the operator wrote, without statuses and events."""
    words = [each.split() for each in writes]
    return {
        (verb == "delete", subject, name)
        for verb, subject, name in (each for each in words if len(each) == 3)
        if subject in SUBJECTS
    }


@pytest.mark.parametrize(
    "spec",
    [{}, INGRESS, {"encryption": {"enabled": True}}],
    ids=["plain", "exposed", "encrypted"],
)
async def test_a_new_bank_gets_what_was_foretold(world: World, spec: dict[str, Any]) -> None:
    found = await foreseen(world, spec, new=True)
    assert not found.problems
    assert {each.action for each in found.changes} == {"create"}
    assert found.restarts == ()
    async with world.operator() as operator:
        await world.create(**spec)
        await settle(world, operator)
        assert done(world.writes()) == told(found)


@pytest.mark.parametrize(
    ("before", "after", "restarts"),
    [
        ({}, {}, False),
        ({}, {"deletionPolicy": "Delete"}, False),
        ({}, {"limits": {"maxBodyBytes": 4096}}, False),
        ({}, {"resources": {"limits": {"memory": "1Gi"}}}, True),
        ({}, {"podLabels": {"team": "blue"}}, True),
        ({}, INGRESS, False),
        (INGRESS, {"expose": None}, False),
        ({}, {"networkPolicy": {"enabled": True}}, False),
        ({}, {"hibernate": True}, False),
        ({"hibernate": True}, {"hibernate": False}, False),
    ],
    ids=lambda each: "-".join(each) if isinstance(each, dict) else "",
)
async def test_a_change_does_what_was_foretold(
    world: World, before: dict[str, Any], after: dict[str, Any], restarts: bool
) -> None:
    async with world.operator() as operator:
        await world.create(**before)
        await settle(world, operator)
        earlier = len(world.writes())
        found = await foreseen(world, after)
        assert len(world.writes()) == earlier, "nothing is written"
        assert bool(found.restarts) == restarts
        await world.change(**after)
        await settle(world, operator)
        assert done(world.writes()[earlier:]) == told(found)


async def test_what_is_missing_is_told_with_its_cure(world: World) -> None:
    found = await foreseen(world, {"auth": {"adminKeySecretRef": {"name": "mine"}}}, new=True)
    [problem] = found.problems
    assert "spec.auth.adminKeySecretRef.name: Secret mine does not exist" in problem
    assert not any(each.child.kind == "Deployment" for each in found.changes)


async def test_a_change_that_waits_for_approval_is_told_with_what_it_costs(world: World) -> None:
    async with world.operator() as operator:
        await world.create(updatePolicy={"mode": "Supervised"})
        await settle(world, operator)
        found = await foreseen(world, {"resources": {"limits": {"memory": "1Gi"}}})
        assert "waits for approval" in found.waits
        assert found.restarts
        assert not any(each.child.kind == "Deployment" for each in found.changes)
