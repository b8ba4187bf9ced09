"""Rate limits, wrong keys and web pages of elsewhere, over HTTP."""

from __future__ import annotations

import asyncio
from functools import partial
from pathlib import Path

import httpx
import pytest

from memorybank import settings
from memorybank.auth import tokens
from memorybank.auth.limits import RateLimiter
from tests.app.http.test_refusals import problem
from tests.support.service import Service, service


@pytest.fixture
def time_stands_still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks earns nothing by asking slowly."""
    monkeypatch.setattr(settings, "RateLimiter", partial(RateLimiter, clock=lambda: 1_000.0))


@pytest.mark.usefixtures("time_stands_still")
async def test_a_key_that_asks_too_often_is_told_to_wait(tmp_path: Path) -> None:
    limits = {"requests_per_minute": 60, "burst": 3}
    async with service(tmp_path, limits=limits) as bank, bank.client(bank.admin_key) as client:
        answers = [await client.get("/v1/memories") for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert answers[0].headers["ratelimit-policy"] == '"key";q=60;w=60'
        assert answers[0].headers["ratelimit"] == '"key";r=2;t=1'
        assert answers[3].headers["ratelimit"].startswith('"key";r=0;')
        assert answers[3].headers["retry-after"] == "1"
        problem(answers[3], 429, "rate_limited")
        calls = await client.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "tools/list"})
        problem(calls, 429, "rate_limited")
        assert (await client.get("/health")).status_code == 200


@pytest.mark.usefixtures("time_stands_still")
async def test_a_tenants_own_rate_holds_for_all_its_keys_at_once(tmp_path: Path) -> None:
    async with service(tmp_path) as bank, bank.client(bank.admin_key) as admin:
        limits = {"name": "acme", "requests_per_minute": 60, "burst": 2}
        assert (await admin.post("/v1/admin/tenants", json=limits)).status_code == 201
        seen = []
        for name in ("a", "b", "c"):
            new = {"name": name, "role": "readonly", "tenant": "acme"}
            key = (await admin.post("/v1/admin/keys", json=new)).json()["key"]
            async with bank.client(key) as client:
                seen.append((await client.get("/v1/memories")).status_code)
        assert seen == [200, 200, 429]
        raised = await admin.patch("/v1/admin/tenants/acme", json={"requests_per_minute": None})
        assert raised.status_code == 200
        async with bank.client(key) as client:
            assert (await client.get("/v1/memories")).status_code == 200


async def test_a_flood_of_wrong_keys_locks_nobody_out(bank: Service) -> None:
    known, fresh = await bank.key("readonly"), await bank.key("readonly")
    async with bank.client() as guesser, bank.client(known) as user:
        assert (await user.get("/v1/memories")).status_code == 200
        answers: list[httpx.Response] = []
        async with asyncio.timeout(120):  # some are forgiven every minute
            while not answers or answers[-1].status_code == 401:
                wrong = {"Authorization": f"Bearer {tokens.generate()}"}
                answers.append(await guesser.get("/v1/memories", headers=wrong))
        assert len(answers) > 30
        assert int(answers[-1].headers["retry-after"]) >= 1
        problem(answers[-1], 429, "rate_limited")
        assert (await user.get("/v1/memories")).status_code == 200
    async with bank.client(fresh) as other:  # never seen before, from the same address
        assert (await other.get("/v1/memories")).status_code == 200


async def test_pages_of_an_allowed_origin_may_read_answers(tmp_path: Path) -> None:
    cors = {"allowed_origins": ["https://notes.example.org"]}
    async with service(tmp_path, cors=cors) as bank, bank.client(bank.admin_key) as client:
        origin = {"Origin": "https://notes.example.org"}
        asked = origin | {
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "authorization, content-type",
        }
        async with bank.client() as browser:  # a preflight carries no key
            preflight = await browser.options("/v1/search", headers=asked)
            refused = await browser.get("/v1/memories", headers=origin)
        assert preflight.status_code == 204
        assert "Authorization" in preflight.headers["access-control-allow-headers"]
        assert "access-control-allow-credentials" not in preflight.headers
        problem(refused, 401, "unauthenticated")
        for answer in (preflight, refused, await client.get("/v1/memories", headers=origin)):
            assert answer.headers["access-control-allow-origin"] == origin["Origin"]
            assert answer.headers["vary"] == "Origin"
        other = {"Origin": "https://notes.example.org.evil.example"}
        refusal = await client.get("/v1/memories", headers=other)
        problem(refusal, 403, "forbidden_origin")
        assert "access-control-allow-origin" not in refusal.headers


async def test_every_answer_carries_the_security_headers(bank: Service) -> None:
    async with bank.client() as client:
        for path in ("/health", "/v1/memories", "/nothing", "/openapi.json"):
            headers = (await client.get(path)).headers
            assert headers["x-content-type-options"] == "nosniff"
            assert headers["x-frame-options"] == "DENY"
            assert headers["cross-origin-resource-policy"] == "same-origin"
            assert "default-src 'none'" in headers["content-security-policy"]
            assert headers["cache-control"] == "no-store"
