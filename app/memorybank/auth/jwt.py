"""JSON Web Tokens of an identity provider (RFC 7519, RFC 8725).

Which algorithms count is decided by the configuration, never by the token: a shared secret means
HMAC and nothing else, published keys mean signatures and never HMAC. Every published key is used
for the algorithms of its own kind alone. So no token can make a public key serve as a secret.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Protocol

import jwt
from jwt.types import Options

from memorybank.auth.principal import Principal
from memorybank.domain.keys import Roles, Scope
from memorybank.domain.tenants import DEFAULT_TENANT
from memorybank.errors import Unauthenticated
from memorybank.ports import AccessStore

HMAC = frozenset({"HS256", "HS384", "HS512"})
SIGNATURES: Mapping[str, tuple[str, str | None]] = {
    "RS256": ("RSA", None),
    "RS384": ("RSA", None),
    "RS512": ("RSA", None),
    "PS256": ("RSA", None),
    "PS384": ("RSA", None),
    "PS512": ("RSA", None),
    "ES256": ("EC", "P-256"),
    "ES384": ("EC", "P-384"),
    "ES512": ("EC", "P-521"),
    "EdDSA": ("OKP", None),
}
"""The key type and curve that each algorithm needs (RFC 7518 section 3.1, RFC 8037)."""

LEEWAY_SECONDS = 30
"""By how much the clocks of the provider and of this machine may differ."""

_MAX_TOKEN = 16_384
_SUBJECT = re.compile(r"[A-Za-z0-9@.:|_+-]{1,100}", re.ASCII)
_SHAPE = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)

_TELLING: dict[type[jwt.PyJWTError], str] = {
    jwt.ExpiredSignatureError: "the token has expired",
    jwt.ImmatureSignatureError: "the token is not valid yet",
    jwt.InvalidIssuedAtError: "the token is not valid yet",
    jwt.InvalidAudienceError: "the token is for another audience than this service",
    jwt.InvalidIssuerError: "the token is of another issuer than the configured one",
    jwt.MissingRequiredClaimError: "the token lacks one of exp, iss and aud",
}


class KeySource(Protocol):
    """Where the keys that verify tokens come from."""

    @property
    def algorithms(self) -> frozenset[str]:
        """The algorithms that these keys can be meant for."""

    async def keys(self, key_id: str | None, algorithm: str) -> Sequence[Any]:
        """Return the keys for PyJWT any of which may have signed. Raises Unavailable."""


class SharedSecret:
    """One secret that the provider and this service share: HMAC."""

    algorithms = HMAC

    def __init__(self, secret: bytes, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._secret = secret
        self._clock = clock
        self._former: tuple[bytes, float] | None = None
        """The secret before this one, and until when it is good by the clock."""

    def replace(self, secret: bytes, *, overlap: timedelta) -> None:
        """Verify by this secret, and for a while by the former one, too.

        What is signed by the former one, and when the provider changes, is not known here.
        """
        if secret != self._secret:
            self._former = (self._secret, self._clock() + overlap.total_seconds())
            self._secret = secret

    async def keys(self, _key_id: str | None, _algorithm: str) -> Sequence[bytes]:
        """See KeySource."""
        if self._former is not None and self._former[1] <= self._clock():
            self._former = None
        return [self._secret] if self._former is None else [self._secret, self._former[0]]


@dataclass(frozen=True, slots=True)
class Claims:
    """What tokens are asked for."""

    issuer: str
    audience: tuple[str, ...]
    roles: str
    """Path of the claim that names roles, dots between its parts."""
    tenant: str | None
    """Path of the claim that names the tenant; None: everybody belongs to the default one."""


class JwtAuthenticator:
    """Turns a token of the identity provider into a Principal."""

    def __init__(
        self, keys: KeySource, claims: Claims, *, store: AccessStore, roles: Roles
    ) -> None:
        self._keys = keys
        self._claims = claims
        self._store = store
        self._roles = roles

    def is_token(self, token: str) -> bool:
        """Say whether this could be a token."""
        return len(token) <= _MAX_TOKEN and _SHAPE.fullmatch(token) is not None

    async def authenticate(self, token: str) -> Principal:
        """Return the caller; raises Unauthenticated, and Unavailable without the keys."""
        claims = await self._verified(token)
        wanted = self._claims.tenant
        tenant = DEFAULT_TENANT if wanted is None else _at(claims, wanted)
        known = await self._store.find_tenant(tenant) if isinstance(tenant, str) else None
        if known is None:
            raise _refused(f"the token's claim {wanted} names no tenant of this bank")
        return Principal(known.name, _identity(claims), self._scopes(claims), known.quotas)

    async def _verified(self, token: str) -> dict[str, Any]:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.PyJWTError:
            raise _refused("the token cannot be read") from None
        algorithm, key_id = header.get("alg"), header.get("kid")
        if algorithm not in self._keys.algorithms or "crit" in header:
            raise _refused("the token is signed in a way that this bank does not accept")
        if key_id is not None and not isinstance(key_id, str):
            raise _refused("the token cannot be read")
        keys = await self._keys.keys(key_id, algorithm)
        if not keys:
            raise _refused("the token is signed by a key that the identity provider does not show")
        for key in keys[:-1]:
            with contextlib.suppress(jwt.InvalidSignatureError):
                return self._decoded(token, key, algorithm)
        try:
            return self._decoded(token, keys[-1], algorithm)
        except jwt.InvalidSignatureError:
            raise _refused("the token's signature is wrong") from None

    def _decoded(self, token: str, key: Any, algorithm: str) -> dict[str, Any]:
        """Raises jwt.InvalidSignatureError, and Unauthenticated for all else."""
        options: Options = {"require": ["exp", "iss", "aud"]}
        try:
            return jwt.decode(
                token,
                key,
                algorithms=[algorithm],
                audience=self._claims.audience,
                issuer=self._claims.issuer,
                leeway=LEEWAY_SECONDS,
                options=options,
            )
        except jwt.InvalidSignatureError:
            raise
        except jwt.PyJWTError as error:
            known = (text for kind, text in _TELLING.items() if isinstance(error, kind))
            raise _refused(next(known, "the token cannot be verified")) from None

    def _scopes(self, claims: Mapping[str, Any]) -> frozenset[Scope]:
        """Return what the roles of the token allow, and the scopes that it names itself."""
        scopes: set[Scope] = set()
        for role in _names(_at(claims, self._claims.roles)):
            scopes |= self._roles.scopes(role)
        named = {*_names(claims.get("scope")), *_names(claims.get("scp"))}
        return frozenset(scopes | {scope for scope in Scope if scope.value in named})


def _at(claims: Mapping[str, Any], path: str) -> object:
    """Return a claim by its whole name or, step by step, by a path such as realm_access.roles."""
    if path in claims:
        return claims[path]
    value: object = claims
    for part in path.split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _names(value: object) -> list[str]:
    """Return names that come as a list, or as one text with spaces between them."""
    if isinstance(value, str):
        return value.split()
    return [each for each in value if isinstance(each, str)] if isinstance(value, list) else []


def _identity(claims: Mapping[str, Any]) -> str:
    """Return by which name the log knows the caller; what looks odd is shown as its digest."""
    subject = str(claims.get("sub") or claims.get("client_id") or claims.get("azp") or "")
    if not _SUBJECT.fullmatch(subject):
        subject = hashlib.sha256(subject.encode()).hexdigest()[:32]
    return f"jwt:{subject}"


def _refused(message: str) -> Unauthenticated:
    return Unauthenticated(message, hint="get a new token from the identity provider")
