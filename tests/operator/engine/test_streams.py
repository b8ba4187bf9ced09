"""Work starts when everything is known, and a stream that fell silent is seen."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from memorybank_operator.engine.cache import Affected, BankKey, Cache
from memorybank_operator.engine.streams import Streams
from memorybank_operator.kube import kinds
from memorybank_operator.kube.watching import Stream, streams

BANKS, SECRETS = streams((kinds.MEMORY_BANK, kinds.SECRET), ())


class Fixture:
    def __init__(self) -> None:
        self.now = 0.0
        self.cache = Cache()
        self.affected: list[Affected] = []
        self.streams = Streams(
            (BANKS, SECRETS),
            cache=self.cache,
            affected=self.affected.append,
            clock=lambda: self.now,
        )

    def listed(self, stream: Stream, *uids: str) -> None:
        self.streams.listed(stream, frozenset(uids), resource_version=100)


@pytest.fixture
def it() -> Fixture:
    return Fixture()


def secret(uid: str) -> dict[str, Any]:
    return {
        "kind": "Secret",
        "metadata": {
            "name": uid, "namespace": "team", "uid": uid, "resourceVersion": "7",
            "labels": {"memorybank.dev/bank": "agents"},
        },
    }  # fmt: skip


async def test_everything_is_known_once_every_kind_is_listed(it: Fixture) -> None:
    it.listed(BANKS)
    assert not it.streams.complete
    assert it.streams.missing() == ("secrets",)
    it.listed(SECRETS, "a")
    assert it.streams.complete
    await it.streams.wait_complete()


async def test_banks_are_listed_before_what_they_consist_of(it: Fixture) -> None:
    await it.streams.turn(BANKS)
    others = asyncio.create_task(it.streams.turn(SECRETS))
    begun = asyncio.create_task(it.streams.wait_begun())
    await asyncio.sleep(0)
    assert not others.done()
    it.listed(BANKS)
    async with asyncio.timeout(60):
        await others
        await begun
    assert not it.streams.complete


def test_a_renewed_listing_tells_the_banks_that_lost_something(it: Fixture) -> None:
    it.cache.put(secret("a"))
    it.cache.put(secret("b"))
    it.listed(SECRETS, "b")
    assert it.affected == [frozenset({BankKey("team", "agents")})]
    assert len(it.cache) == 1


def test_each_stream_has_an_age_since_it_was_last_answered(it: Fixture) -> None:
    assert it.streams.ages() == {}
    it.streams.begin()
    it.now = 30.0
    it.streams.alive(SECRETS)
    it.now = 100.0
    assert it.streams.ages() == {BANKS: 100.0, SECRETS: 70.0}


def test_streams_are_one_per_kind_or_one_per_namespace() -> None:
    assert [str(each) for each in streams((kinds.SECRET, kinds.STORAGE_CLASS), ("a", "b"))] == [
        "secrets in a",
        "secrets in b",
        "storageclasses",
    ]
