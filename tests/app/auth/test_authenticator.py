"""From a token to a Principal, and back out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank.auth import tokens
from memorybank.auth.authenticator import Authenticator
from memorybank.auth.principal import Principal
from memorybank.domain.keys import ApiKey, Role, Scope
from memorybank.domain.tenants import Tenant
from memorybank.errors import Forbidden, Unauthenticated
from memorybank.stores.sqlite import SqliteStore
from tests.support.memory_samples import NOON, a_key


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "bank.db", model="m")
    await store.access.add_tenant(Tenant("acme", NOON))
    yield store
    await store.close()


class CountingStore:
    """Counts the look-ups of a real store, and can hold one up."""

    def __init__(self, store: SqliteStore) -> None:
        self._store = store
        self.lookups = 0
        self.after_reading: asyncio.Event | None = None
        self.has_read = asyncio.Event()

    async def find_key(self, digest: str) -> ApiKey | None:
        self.lookups += 1
        key = await self._store.access.find_key(digest)
        self.has_read.set()
        if self.after_reading is not None:
            await self.after_reading.wait()
        return key

    async def find_tenant(self, name: str) -> Tenant | None:
        return await self._store.access.find_tenant(name)


async def test_a_key_is_looked_up_once(store: SqliteStore) -> None:
    token = tokens.generate()
    await store.access.add_key(a_key(digest=tokens.digest(token), role=Role.READONLY))
    counting = CountingStore(store)
    authenticator = Authenticator(counting)  # type: ignore[arg-type]  # asks for keys only
    expected = Principal("acme", "key-ci", frozenset({Scope.READ}))
    for _ in range(3):
        assert await authenticator.authenticate(token) == expected
    assert counting.lookups == 1


async def test_an_unknown_key_is_refused_each_time(store: SqliteStore) -> None:
    authenticator = Authenticator(store.access)
    for token in (None, "", "mb_", tokens.generate(), "x" * 10_000):
        with pytest.raises(Unauthenticated):
            await authenticator.authenticate(token)


async def test_a_refusal_never_repeats_the_key(store: SqliteStore) -> None:
    token = tokens.generate()
    with pytest.raises(Unauthenticated) as refusal:
        await Authenticator(store.access).authenticate(token)
    assert token not in f"{refusal.value.message} {refusal.value.hint} {refusal.value!r}"


async def test_a_key_revoked_while_it_is_looked_up_is_not_remembered(store: SqliteStore) -> None:
    token = tokens.generate()
    await store.access.add_key(a_key(digest=tokens.digest(token)))
    slow = CountingStore(store)
    slow.after_reading = asyncio.Event()
    authenticator = Authenticator(slow)  # type: ignore[arg-type]  # asks for keys only
    early = asyncio.create_task(authenticator.authenticate(token))
    await slow.has_read.wait()
    await store.access.revoke_key("acme", "key-ci", NOON)
    authenticator.forget_all()
    slow.after_reading.set()
    await early  # it began before the revocation
    with pytest.raises(Unauthenticated):
        await authenticator.authenticate(token)


def test_every_generated_key_is_well_formed_and_another() -> None:
    made = [tokens.generate() for _ in range(200)]
    assert all(tokens.is_well_formed(token) for token in made)
    assert len({tokens.digest(token) for token in made}) == 200


@given(st.text(max_size=60))
def test_other_texts_are_no_keys(text: str) -> None:
    assert not tokens.is_well_formed(text)
    assert not tokens.is_well_formed(f"mb_{'x' * 43}\n")


def test_a_missing_scope_is_named() -> None:
    reader = Principal("acme", "k", frozenset({Scope.READ}))
    reader.require(Scope.READ)
    with pytest.raises(Forbidden) as refusal:
        reader.require(Scope.WRITE)
    assert refusal.value.scope == "memory:write"
    assert "memory:write" in refusal.value.message
