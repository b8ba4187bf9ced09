"""Tokens of an identity provider: which are let in, as whom, and which are not."""

from __future__ import annotations

import base64
import hmac
import json
from collections.abc import AsyncIterator, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from memorybank.auth.jwt import Claims, JwtAuthenticator, SharedSecret
from memorybank.domain.keys import Role, Roles, Scope
from memorybank.domain.tenants import Tenant
from memorybank.errors import Unauthenticated, Unavailable
from memorybank.jwks import PublishedKeys
from memorybank.stores.sqlite import SqliteStore
from tests.support.identity_provider import AUDIENCE, ISSUER, Provider, claims_of, provider
from tests.support.memory_samples import NOON

SECRET = b"0123456789abcdef" * 4
CLAIMS = Claims(ISSUER, (AUDIENCE,), "roles", "tenant")
# In 2001 and 2100: a moment near the collection of the tests is another one when they run.
LONG_AGO, FAR_AHEAD = 1_000_000_000, 4_102_444_800


class Clock:
    """Time that passes when told to."""

    def __init__(self) -> None:
        self.now = 1_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def idp() -> Iterator[Provider]:
    with provider() as running:
        yield running


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    store = await SqliteStore.open(tmp_path / "bank.db", model="m")
    await store.access.add_tenant(Tenant("acme", NOON))
    yield store
    await store.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def auth(idp: Provider, store: SqliteStore, clock: Clock) -> AsyncIterator[JwtAuthenticator]:
    async with httpx.AsyncClient(timeout=60) as client:
        keys = PublishedKeys(client, idp.url, clock=clock)
        yield JwtAuthenticator(keys, CLAIMS, store=store.access, roles=Roles())


def with_secret(store: SqliteStore, claims: Claims = CLAIMS) -> JwtAuthenticator:
    return JwtAuthenticator(SharedSecret(SECRET), claims, store=store.access, roles=Roles())


async def refusal(auth: JwtAuthenticator, token: str) -> str:
    assert auth.is_token(token)
    with pytest.raises(Unauthenticated) as caught:
        await auth.authenticate(token)
    assert token not in f"{caught.value.message}{caught.value.hint}"
    return caught.value.message


@pytest.mark.parametrize(
    "algorithm", ["RS256", "RS512", "PS256", "ES256", "ES384", "ES512", "EdDSA"]
)
async def test_a_token_signed_by_a_published_key_is_let_in(
    idp: Provider, auth: JwtAuthenticator, algorithm: str
) -> None:
    idp.make_key("k1", algorithm)
    caller = await auth.authenticate(idp.token(tenant="acme"))
    assert (caller.tenant, caller.key_id) == ("acme", "jwt:agent-7")
    assert caller.scopes == Role.DEVELOPER.scopes


@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
async def test_a_token_signed_with_the_shared_secret_is_let_in(
    store: SqliteStore, algorithm: str
) -> None:
    caller = await with_secret(store).authenticate(jwt.encode(claims_of(), SECRET, algorithm))
    assert caller.tenant == "default"


@pytest.mark.parametrize(
    ("claims", "said"),
    [
        ({"exp": LONG_AGO}, "expired"),
        ({"nbf": FAR_AHEAD}, "not valid yet"),
        ({"aud": "https://other.example.org"}, "audience"),
        ({"iss": "https://evil.example.org"}, "issuer"),
        ({"exp": None}, "lacks"),
        ({"aud": None}, "lacks"),
        ({"iss": None}, "lacks"),
        ({"tenant": "unknown"}, "tenant"),
        ({"tenant": None}, "tenant"),
        ({"tenant": 5}, "tenant"),
        ({"tenant": "_selftest"}, "tenant"),
    ],
)
async def test_a_token_that_claims_something_else_is_refused(
    idp: Provider, auth: JwtAuthenticator, claims: dict[str, Any], said: str
) -> None:
    idp.make_key("k1")
    assert said in await refusal(auth, idp.token(**claims))


async def test_a_public_key_is_never_a_secret(idp: Provider, auth: JwtAuthenticator) -> None:
    """The classic attack: HMAC over the bytes of the public key, which everybody knows."""
    idp.make_key("k1")
    public = idp.private["k1"][1].public_key()
    for encoding, form in (
        (Encoding.PEM, PublicFormat.SubjectPublicKeyInfo),
        (Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
    ):
        forged = hmac_token(public.public_bytes(encoding, form), {"alg": "HS256", "kid": "k1"})
        assert "does not accept" in await refusal(auth, forged)


def hmac_token(secret: bytes, header: dict[str, Any]) -> str:
    """Make a token by hand: the library refuses to."""
    parts = [json.dumps(header).encode(), json.dumps(claims_of()).encode()]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    signature = base64.urlsafe_b64encode(hmac.digest(secret, signed, "sha256")).rstrip(b"=")
    return (signed + b"." + signature).decode()


@pytest.mark.parametrize("header", [{"alg": "none"}, {"alg": "None"}, {"alg": 5}, {}])
async def test_a_token_without_a_signature_we_know_is_refused(
    store: SqliteStore, header: dict[str, Any]
) -> None:
    await refusal(with_secret(store), hmac_token(SECRET, header))


async def test_a_critical_extension_that_nobody_knows_is_refused(store: SqliteStore) -> None:
    header = {"alg": "HS256", "crit": ["x"], "x": 1}
    await refusal(with_secret(store), hmac_token(SECRET, header))


async def test_a_bank_with_a_secret_takes_no_signatures(idp: Provider, store: SqliteStore) -> None:
    idp.make_key("k1")
    assert "does not accept" in await refusal(with_secret(store), idp.token())


async def test_a_key_serves_its_own_algorithm_alone(idp: Provider, auth: JwtAuthenticator) -> None:
    idp.make_key("k1", "RS256")
    _, key = idp.private["k1"]
    other = jwt.encode(claims_of(), key, "RS512", headers={"kid": "k1"})
    assert "does not show" in await refusal(auth, other)


async def test_secret_weak_and_encrypting_keys_are_not_used(
    idp: Provider, auth: JwtAuthenticator
) -> None:
    idp.make_key("encrypts", use="enc")
    idp.make_key("weak", bits=1_024)
    shared = base64.urlsafe_b64encode(SECRET).decode().rstrip("=")
    idp.published.append({"kty": "oct", "k": shared, "kid": "shared", "alg": "HS256"})
    idp.published.append({"kty": "EC", "crv": "P-256", "x": "?", "y": "?", "kid": "broken"})
    await refusal(auth, idp.token("encrypts"))
    await refusal(auth, hmac_token(SECRET, {"alg": "HS256", "kid": "shared"}))
    _, weak = idp.private["weak"]
    with pytest.warns(jwt.InsecureKeyLengthWarning):
        token = jwt.encode(claims_of(), weak, "RS256", headers={"kid": "weak"})
    await refusal(auth, token)


async def test_a_rotated_key_is_found_and_a_withdrawn_one_is_forgotten(
    idp: Provider, auth: JwtAuthenticator, clock: Clock
) -> None:
    idp.make_key("k1")
    old = idp.token("k1")
    await auth.authenticate(old)
    idp.make_key("k2")
    idp.withdraw("k1")
    clock.now += 11
    await auth.authenticate(idp.token("k2"))
    await refusal(auth, old)
    clock.now += 11
    await refusal(auth, old)


async def test_made_up_key_ids_do_not_flood_the_provider(
    idp: Provider, auth: JwtAuthenticator, clock: Clock
) -> None:
    idp.make_key("k1")
    await auth.authenticate(idp.token())
    _, key = idp.private["k1"]
    for number in range(50):
        await refusal(auth, jwt.encode(claims_of(), key, "RS256", {"kid": f"x{number}"}))
    assert idp.requests == 1
    clock.now += 11
    for number in range(50):
        await refusal(auth, jwt.encode(claims_of(), key, "RS256", {"kid": f"y{number}"}))
    assert idp.requests == 2


async def test_an_outage_of_the_provider_is_not_ours_at_once(
    idp: Provider, auth: JwtAuthenticator, clock: Clock
) -> None:
    idp.make_key("k1")
    await auth.authenticate(idp.token())
    idp.status = 500
    clock.now += 1_000
    await auth.authenticate(idp.token())
    clock.now += 3_000
    with pytest.raises(Unavailable):
        await auth.authenticate(idp.token())
    idp.status = 200
    clock.now += 11
    await auth.authenticate(idp.token())


async def test_a_token_without_key_id_is_verified_when_one_key_fits(
    idp: Provider, auth: JwtAuthenticator, clock: Clock
) -> None:
    idp.make_key("k1")
    _, key = idp.private["k1"]
    token = jwt.encode(claims_of(), key, "RS256")
    await auth.authenticate(token)
    idp.make_key("k2")
    clock.now += 400
    await refusal(auth, token)


@pytest.mark.parametrize(
    ("claims", "scopes"),
    [
        ({"roles": []}, set()),
        ({"roles": "readonly unknown"}, {Scope.READ}),
        ({"roles": ["readonly", 5, None]}, {Scope.READ}),
        ({"roles": None, "scope": "openid memory:write"}, {Scope.WRITE}),
        ({"roles": None, "scp": ["memory:read"]}, {Scope.READ}),
        ({"roles": {"admin": True}}, set()),
    ],
)
async def test_roles_and_scopes_of_a_token_add_up(
    store: SqliteStore, claims: dict[str, Any], scopes: set[Scope]
) -> None:
    token = jwt.encode(claims_of(**claims), SECRET, "HS256")
    assert (await with_secret(store).authenticate(token)).scopes == scopes


async def test_claims_may_be_deep_inside(store: SqliteStore) -> None:
    deep = Claims(ISSUER, ("other", AUDIENCE), "realm_access.roles", None)
    access = {"realm_access": {"roles": ["admin"]}, "roles": None, "tenant": None}
    token = jwt.encode(claims_of(**access, sub="Zoë <z@example.org>"), SECRET, "HS256")
    caller = await with_secret(store, deep).authenticate(token)
    assert caller.administers_bank
    assert caller.key_id.startswith("jwt:")
    assert "example" not in caller.key_id


async def test_a_replaced_secret_is_good_for_a_while(store: SqliteStore, clock: Clock) -> None:
    former, newest = SECRET, b"fedcba9876543210" * 4
    source = SharedSecret(former, clock=clock)
    auth = JwtAuthenticator(source, CLAIMS, store=store.access, roles=Roles())
    old, new = (jwt.encode(claims_of(), secret, algorithm="HS256") for secret in (former, newest))
    assert await refusal(auth, new) == "the token's signature is wrong"
    source.replace(newest, overlap=timedelta(seconds=60))
    source.replace(newest, overlap=timedelta(seconds=60))
    for token in (old, new):
        assert (await auth.authenticate(token)).tenant == "default"
    expired = jwt.encode(claims_of(exp=1), former, algorithm="HS256")
    assert await refusal(auth, expired) == "the token has expired"
    clock.now += 61
    assert await refusal(auth, old) == "the token's signature is wrong"
    assert (await auth.authenticate(new)).tenant == "default"
