"""The first key: given, made, kept, replaced."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from memorybank.auth import tokens
from memorybank.auth.authenticator import Authenticator
from memorybank.auth.bootstrap import establish_admin_key
from memorybank.domain.keys import Scope
from memorybank.domain.tenants import DEFAULT_TENANT
from memorybank.errors import Unauthenticated
from memorybank.stores.sqlite import SqliteStore
from tests.support.memory_samples import NOON


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "bank.db", model="m")
    yield store
    await store.close()


async def works(store: SqliteStore, token: str) -> bool:
    try:
        principal = await Authenticator(store.access).authenticate(token)
    except Unauthenticated:
        return False
    return principal.tenant == DEFAULT_TENANT and principal.scopes == frozenset(Scope)


async def test_a_configured_key_is_the_admin_key_and_is_not_shown(store: SqliteStore) -> None:
    token = tokens.generate()
    assert await establish_admin_key(store.access, token) is None
    assert await works(store, token)


async def test_another_configured_key_replaces_the_one_before(store: SqliteStore) -> None:
    first, second = tokens.generate(), tokens.generate()
    await establish_admin_key(store.access, first)
    await establish_admin_key(store.access, second)
    assert not await works(store, first)
    assert await works(store, second)


async def test_the_same_configured_key_changes_nothing(store: SqliteStore) -> None:
    token = tokens.generate()
    await establish_admin_key(store.access, token)
    before = await store.access.list_keys(DEFAULT_TENANT)
    await establish_admin_key(store.access, token)
    assert await store.access.list_keys(DEFAULT_TENANT) == before


async def test_without_any_key_one_is_made_and_shown_once(store: SqliteStore) -> None:
    made = await establish_admin_key(store.access, None)
    assert made is not None
    assert await works(store, made)
    assert await establish_admin_key(store.access, None) is None
    assert await works(store, made)


async def test_a_recorded_key_stays_when_none_is_configured(store: SqliteStore) -> None:
    token = tokens.generate()
    await establish_admin_key(store.access, token)
    assert await establish_admin_key(store.access, None) is None
    assert await works(store, token)


async def test_a_revoked_bootstrap_key_makes_room_for_a_new_one(store: SqliteStore) -> None:
    await establish_admin_key(store.access, tokens.generate())
    (key,) = await store.access.list_keys(DEFAULT_TENANT)
    await store.access.revoke_key(DEFAULT_TENANT, key.id, NOON)
    made = await establish_admin_key(store.access, None)
    assert made is not None
    assert await works(store, made)
