"""Keys over REST: expiry, rotation, last use, roles of one's own."""

from __future__ import annotations

import hashlib
import secrets
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.http.test_refusals import problem
from tests.support.service import Service, service

pytestmark = pytest.mark.slow

KEYS = "/v1/admin/keys"


async def make(admin: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await admin.post(KEYS, json={"name": "ci", "role": "readonly", **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def listed(admin: httpx.AsyncClient, key_id: str) -> dict[str, Any]:
    keys: list[dict[str, Any]] = (await admin.get(KEYS)).json()["keys"]
    return next(key for key in keys if key["id"] == key_id)


async def status(bank: Service, token: str) -> int:
    async with bank.client(token) as client:
        return (await client.get("/v1/memories")).status_code


async def test_a_key_ends_at_its_expiry(
    bank: Service, admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = datetime.now(UTC) + timedelta(days=1)
    made = await make(admin, expires_at=end.isoformat())
    authenticator = bank.services.authenticator
    monkeypatch.setattr(authenticator, "_clock", lambda: end - timedelta(microseconds=1))
    assert await status(bank, made["key"]) == 200
    monkeypatch.setattr(authenticator, "_clock", lambda: end)
    assert await status(bank, made["key"]) == 401


@pytest.mark.parametrize("moment", ["2020-01-01T00:00:00Z", "soon", "2030-01-01T00:00:00", 1])
async def test_a_wrong_expiry_is_refused(admin: httpx.AsyncClient, moment: object) -> None:
    answer = await admin.post(KEYS, json={"name": "x", "role": "readonly", "expires_at": moment})
    assert problem(answer, 422, "invalid_request")["field"] == "expires_at"


async def test_a_rotated_key_overlaps_with_its_successor(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    old = await make(admin, role="developer")
    before = datetime.now(UTC)
    answer = await admin.post(f"{KEYS}/{old['id']}/rotate", json={"overlap_seconds": 3600})
    after = datetime.now(UTC)
    assert answer.status_code == 201
    new = answer.json()
    assert new["rotated_from"] == old["id"]
    assert (new["name"], new["role"], new["tenant"]) == (old["name"], old["role"], old["tenant"])
    assert new["expires_at"] is None
    assert [await status(bank, each["key"]) for each in (old, new)] == [200, 200]
    end = datetime.fromisoformat((await listed(admin, old["id"]))["expires_at"])
    assert before + timedelta(hours=1) <= end <= after + timedelta(hours=1)


async def test_a_rotation_without_overlap_ends_the_old_key_at_once(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    old = await make(admin)
    assert await status(bank, old["key"]) == 200
    new = (await admin.post(f"{KEYS}/{old['id']}/rotate", json={"overlap_seconds": 0})).json()
    assert [await status(bank, each["key"]) for each in (old, new)] == [401, 200]
    again = await admin.post(f"{KEYS}/{old['id']}/rotate", json={})
    problem(again, 409, "conflict")


async def test_a_rotation_never_prolongs_a_key(admin: httpx.AsyncClient) -> None:
    end = (datetime.now(UTC) + timedelta(hours=12)).isoformat()
    old = await make(admin, expires_at=end)
    new = (await admin.post(f"{KEYS}/{old['id']}/rotate", json={"overlap_seconds": 86400})).json()
    assert datetime.fromisoformat(new["expires_at"]) == datetime.fromisoformat(end)
    stays = (await listed(admin, old["id"]))["expires_at"]
    assert datetime.fromisoformat(stays) == datetime.fromisoformat(end)


async def test_the_bootstrap_key_is_not_rotated_here(admin: httpx.AsyncClient) -> None:
    (bootstrap,) = (await admin.get(KEYS)).json()["keys"]
    problem(await admin.post(f"{KEYS}/{bootstrap['id']}/rotate", json={}), 409, "conflict")


async def test_last_use_is_shown_at_once_and_kept_over_a_restart(tmp_path: Path) -> None:
    async with service(tmp_path) as bank, bank.client(bank.admin_key) as admin:
        made = await make(admin)
        assert (await listed(admin, made["id"]))["last_used_at"] is None
        before = datetime.now(UTC)
        assert await status(bank, made["key"]) == 200
        used = (await listed(admin, made["id"]))["last_used_at"]
        assert before <= datetime.fromisoformat(used) <= datetime.now(UTC)
    async with service(tmp_path) as bank, bank.client(bank.admin_key) as admin:
        assert (await listed(admin, made["id"]))["last_used_at"] == used


async def test_a_role_of_ones_own_allows_what_its_configuration_says(tmp_path: Path) -> None:
    roles = {"writer": ["write"], "auditor": ["read", "admin"]}
    async with service(tmp_path, auth={"roles": roles}) as bank:
        async with bank.client(bank.admin_key) as admin:
            made = await make(admin, role="writer")
            assert made["scopes"] == ["memory:write"]
        async with bank.client(made["key"]) as writer:
            assert (await writer.post("/v1/memories", json={"content": "x"})).status_code == 201
            problem(await writer.get("/v1/memories"), 403, "forbidden")
    async with service(tmp_path) as bank:  # the role is gone: its keys allow nothing
        assert await status(bank, made["key"]) == 403
        async with bank.client(bank.admin_key) as admin:
            assert (await listed(admin, made["id"]))["scopes"] == []


def a_managed_key(**fields: Any) -> tuple[str, dict[str, Any]]:
    """Return a key, and how its manager tells the service of it."""
    token = f"mb_{secrets.token_urlsafe(32)}"
    digest = hashlib.sha256(token.encode()).hexdigest()
    said = {"digest": digest, "name": "team/app", "role": "readonly", "tenant": "default"}
    return token, said | fields


async def manage(admin: httpx.AsyncClient, *keys: dict[str, Any]) -> list[dict[str, Any]]:
    answer = await admin.put(f"{KEYS}/managed", json={"keys": keys})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["keys"]
    return found


async def test_managed_keys_are_valid_while_they_are_listed(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    by_hand = await make(admin)
    (one, said_one), (two, said_two) = a_managed_key(), a_managed_key()
    first = await manage(admin, said_one, said_two)
    assert [await status(bank, each) for each in (one, two)] == [200, 200]
    assert await manage(admin, said_one, said_two) == first, "again changes nothing"
    await manage(admin, said_two)
    assert [await status(bank, each) for each in (one, two)] == [401, 200]
    assert (await manage(admin, said_one))[0]["id"] == first[0]["id"], "it comes back"
    assert [await status(bank, each) for each in (one, two)] == [200, 401]
    await manage(admin)
    assert [await status(bank, each) for each in (one, two)] == [401, 401]
    assert await status(bank, by_hand["key"]) == 200, "nobody else's keys are touched"


async def test_a_managed_key_that_cannot_be_taken_keeps_no_other_out(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    token, good = a_managed_key()
    _, of_nobody = a_managed_key(tenant="nobody")
    _, of_no_role = a_managed_key(role="poet")
    by_hand = await make(admin)
    taken = good | {"digest": hashlib.sha256(by_hand["key"].encode()).hexdigest()}
    answers = await manage(admin, of_nobody, good, of_no_role, taken)
    problems = [each["problem"] for each in answers]
    assert problems == ["tenant_not_found", None, "role_not_found", "key_taken"]
    assert await status(bank, token) == 200
    twice = await admin.put(f"{KEYS}/managed", json={"keys": [good, good]})
    assert problem(twice, 422, "invalid_request")["field"] == "keys"


async def test_a_managed_key_is_rotated_by_its_manager_alone(admin: httpx.AsyncClient) -> None:
    _, said = a_managed_key()
    (made,) = await manage(admin, said)
    problem(await admin.post(f"{KEYS}/{made['id']}/rotate", json={}), 409, "conflict")
