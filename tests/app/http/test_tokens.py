"""Tokens of an identity provider over HTTP, and how clients find out about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from memorybank.configuration import load
from memorybank.errors import ConfigurationError
from tests.app.http.test_refusals import problem
from tests.support.identity_provider import AUDIENCE, ISSUER, provider
from tests.support.service import Service, service

WELL_KNOWN = "/.well-known/oauth-protected-resource"


def configured(url: str) -> dict[str, Any]:
    return {"jwt": {"issuer": ISSUER, "audience": [AUDIENCE], "jwks_url": url}}


async def test_a_token_opens_its_tenant_beside_keys(tmp_path: Path) -> None:
    with provider() as idp:
        idp.make_key("k1")
        async with service(tmp_path, auth=configured(idp.url)) as bank:
            async with bank.client(idp.token()) as client:
                made = await client.post("/v1/memories", json={"content": "from a token"})
                assert made.status_code == 201, made.text
                problem(await client.get("/v1/admin/keys"), 403, "forbidden")
            async with bank.client(bank.admin_key) as admin:
                assert (await admin.get("/v1/memories")).json()["total"] == 1
            async with bank.client(idp.token(exp=1)) as late:
                refused = await late.get("/v1/memories")
                assert "expired" in problem(refused, 401, "unauthenticated")["message"]
            described = (await bank.client().get(WELL_KNOWN)).json()
            assert described["authorization_servers"] == [ISSUER]


async def test_without_configuration_a_token_is_no_key(bank: Service) -> None:
    with provider() as idp:
        idp.make_key("k1")
        async with bank.client(idp.token()) as client:
            problem(await client.get("/v1/memories"), 401, "unauthenticated")
        assert idp.requests == 0


async def test_an_mcp_client_is_led_to_the_protected_resource(bank: Service) -> None:
    async with bank.client() as client:
        refused = await client.post("/mcp", json={"jsonrpc": "2.0", "id": 1, "method": "ping"})
        challenge = refused.headers["www-authenticate"]
        assert 'scope="memory:read"' in challenge
        assert "error=" not in challenge  # RFC 6750 section 3.1: nothing was presented
        address = f"http://localhost:8080{WELL_KNOWN}/mcp"
        assert f'resource_metadata="{address}"' in challenge
        described = (await client.get(address)).json()
        assert described["resource"] == "http://localhost:8080/mcp"
        assert described["bearer_methods_supported"] == ["header"]
        whole = (await client.get(WELL_KNOWN)).json()
        assert whole["resource"] == "http://localhost:8080"


async def test_a_missing_scope_is_named_for_a_step_up(bank: Service) -> None:
    async with bank.client(await bank.key("readonly")) as client:
        refused = await client.post("/v1/memories", json={"content": "x"})
        problem(refused, 403, "forbidden")
        challenge = refused.headers["www-authenticate"]
        assert 'error="insufficient_scope", scope="memory:write"' in challenge
        assert "resource_metadata=" in challenge


async def test_the_public_address_is_told_behind_a_proxy(tmp_path: Path) -> None:
    security = {"public_url": "https://bank.example.org", "allowed_hosts": ["bank.example.org"]}
    async with service(tmp_path, security=security) as bank, bank.client() as client:
        described = (await client.get(f"{WELL_KNOWN}/mcp")).json()
        assert described["resource"] == "https://bank.example.org/mcp"


@pytest.mark.parametrize(
    ("jwt", "field"),
    [
        ({"issuer": ISSUER, "audience": [AUDIENCE]}, "auth.jwt"),
        (
            {"issuer": ISSUER, "audience": [AUDIENCE], "jwks_url": "file:///keys"},
            "auth.jwt.jwks_url",
        ),
        ({"issuer": ISSUER, "audience": [], "jwks_url": "https://x"}, "auth.jwt.audience"),
        ({"audience": [AUDIENCE], "jwks_url": "https://x"}, "auth.jwt.issuer"),
        ({"issuer": ISSUER, "audience": "a", "jwks": "https://x"}, "auth.jwt.jwks"),
    ],
)
def test_a_wrong_configuration_is_refused(jwt: dict[str, Any], field: str) -> None:
    with pytest.raises(ConfigurationError) as refusal:
        load(overrides={"auth": {"jwt": jwt}}, environ={})
    assert refusal.value.field == field
    assert refusal.value.hint


async def test_a_short_secret_is_refused_at_start(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("short")
    jwt = {"issuer": ISSUER, "audience": [AUDIENCE], "secret_file": str(file)}
    with pytest.raises(ConfigurationError, match="too short"):
        async with service(tmp_path, auth={"jwt": jwt}):
            pass
