"""What stands in the columns of an encrypted bank, and the keys behind it.

AES-256-GCM with a random nonce per value. Each tenant has a data key of its own, made with its
first memory and stored wrapped by a key of the ring; every value is bound to its tenant, memory and
column (the associated data), so that one which is moved elsewhere does not open. Whose a memory is,
its id, type, project, session, times, flags and numbers stay readable: they are what is filtered
by. Search needs none of the columns: its indexes live in memory.

The limit of GCM with random nonces, 2**32 values under one key, is some hundred million writes of
memories per tenant.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import secrets
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from memorybank.encryption import FIELD, KeyRing
from memorybank.errors import ConfigurationError, StoreUnavailable
from memorybank.stores.sql.connection import Connection

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_NONCE_BYTES = 12
_TAG_BYTES = 16
_DATA_KEY_BYTES = 64
"""32 to encrypt with, 32 to make fingerprints with."""

_PROOF = b"memorybank"
_REWRAPPED_AT_ONCE = 200


class Seal:
    """The columns of a bank that is not encrypted: everything stands there as it is."""

    active = False
    overhead = 0
    """Bytes by which a sealed blob is longer than what is in it."""
    active_key: str | None = None
    """The id of the ring's key that wraps what is new."""

    def text(self, _tenant: str, _memory_id: str, _column: str, value: str) -> str:
        """Return what to store of a text."""
        return value

    def opened_text(self, _tenant: str, _memory_id: str, _column: str, stored: str) -> str:
        """Return the text that was stored."""
        return stored

    def blob(self, _tenant: str, _memory_id: str, _column: str, value: bytes) -> bytes:
        """Return what to store of bytes."""
        return value

    def opened_blob(self, _tenant: str, _memory_id: str, _column: str, stored: bytes) -> bytes:
        """Return the bytes that were stored."""
        return stored

    def fingerprint(self, _tenant: str, value: bytes) -> bytes:
        """Return what to store and look for of a fingerprint: the same for the same."""
        return value

    def attach(self, connection: Connection, name: str) -> None:
        """Make sure, at start, that the bank is as this expects; raises ConfigurationError."""
        if connection.execute("SELECT 1 FROM encryption").fetchone() is not None:
            raise ConfigurationError(
                f"the bank {name} is encrypted, and encryption is not enabled",
                field="encryption.enabled",
                hint="enable it, with the key ring that the bank was made with",
            )

    def learn(self, connection: Connection, name: str) -> None:
        """Take note of what somebody else wrote; raises ConfigurationError, as `attach` does."""
        self.attach(connection, name)

    def renew(self, _connection: Connection, *, ring: KeyRing) -> None:
        """Wrap by another ring from now on; raises ConfigurationError, with nothing changed."""
        raise ConfigurationError(
            f"the ring with the key {ring.active} is of no use: the bank is not encrypted",
            field="encryption.enabled",
            hint="take the key ring away",
        )

    def save(self, _connection: Connection) -> list[str]:
        """Store new data keys, within a transaction; return whose."""
        return []

    def saved(self, _tenants: list[str]) -> None:
        """Hear that the transaction with these data keys is durable."""

    def forget(self, _tenant: str) -> None:
        """Drop the data key of a tenant that is gone."""

    def rewrap(self, _connection: Connection) -> bool:
        """Wrap some data keys by the active key of the ring; say whether there may be more."""
        return False


PLAIN = Seal()


@dataclass(frozen=True, slots=True)
class _DataKey:
    cipher: AESGCM
    secret: bytes
    """Both halves, as they are wrapped."""

    @property
    def fingerprints(self) -> bytes:
        return self.secret[32:]


class AesSeal(Seal):
    """The columns of an encrypted bank. Safe to use from several threads."""

    active = True
    overhead = _NONCE_BYTES + _TAG_BYTES

    def __init__(self, ring: KeyRing) -> None:
        # Loaded here: only an encrypted bank needs it, and it takes some megabytes.
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        self._cipher = AESGCM
        self._invalid = InvalidTag
        self._ring = ring
        self.active_key = ring.active
        self._keys: dict[str, _DataKey] = {}
        self._wraps: dict[str, tuple[str, bytes]] = {}
        """What was read of the tables last, by tenant; the bank's own under no name."""
        self._unsaved: set[str] = set()
        self._guard = threading.Lock()

    @override
    def text(self, tenant: str, memory_id: str, column: str, value: str) -> str:
        """See Seal: base64, since the columns hold text."""
        sealed = self.blob(tenant, memory_id, column, value.encode(errors="surrogatepass"))
        return base64.b64encode(sealed).decode()

    @override
    def opened_text(self, tenant: str, memory_id: str, column: str, stored: str) -> str:
        """See Seal. Raises StoreUnavailable."""
        try:
            sealed = base64.b64decode(stored, validate=True)
        except (binascii.Error, ValueError):
            raise _damaged() from None
        opened = self.opened_blob(tenant, memory_id, column, sealed)
        return opened.decode(errors="surrogatepass")

    @override
    def blob(self, tenant: str, memory_id: str, column: str, value: bytes) -> bytes:
        """See Seal: the nonce, then what GCM makes of it."""
        nonce = secrets.token_bytes(_NONCE_BYTES)
        bound = _bound(tenant, memory_id, column)
        return nonce + self._key(tenant).cipher.encrypt(nonce, value, bound)

    @override
    def opened_blob(self, tenant: str, memory_id: str, column: str, stored: bytes) -> bytes:
        """See Seal. Raises StoreUnavailable."""
        key = self._keys.get(tenant)
        if key is None:
            raise _damaged()
        bound = _bound(tenant, memory_id, column)
        try:
            return key.cipher.decrypt(stored[:_NONCE_BYTES], stored[_NONCE_BYTES:], bound)
        except (self._invalid, ValueError):
            raise _damaged() from None

    @override
    def fingerprint(self, tenant: str, value: bytes) -> bytes:
        """See Seal: keyed, so that nobody can try texts against it."""
        secret = self._key(tenant).fingerprints
        return hmac.digest(secret, value, hashlib.sha256)[: len(value)]

    @override
    def attach(self, connection: Connection, name: str) -> None:
        """See Seal. A bank without memories becomes an encrypted one."""
        row = connection.execute("SELECT key_id, proof FROM encryption").fetchone()
        if row is None:
            self._begin(connection, name)
        self.learn(connection, name)

    @override
    def learn(self, connection: Connection, name: str) -> None:
        """See Seal. What is known is not opened again."""
        row = connection.execute("SELECT key_id, proof FROM encryption").fetchone()
        if row is None:
            raise ConfigurationError(
                f"the bank {name} is not encrypted, and encryption is enabled",
                field="encryption.enabled",
                hint="leave it off for this bank",
            )
        stored = {"": (str(row[0]), bytes(row[1]))}
        for tenant, key_id, wrapped in connection.execute("SELECT * FROM data_keys"):
            stored[str(tenant)] = (str(key_id), bytes(wrapped))
        for whose, wrap in stored.items():
            if self._wraps.get(whose) != wrap:
                secret = self._unwrapped(whose or "the bank", *wrap)
                if whose:
                    self._keys[whose] = self._data_key(secret)
        for gone in self._wraps.keys() - stored.keys():
            self._keys.pop(gone, None)
        self._wraps = stored

    @override
    def renew(self, connection: Connection, *, ring: KeyRing) -> None:
        """See Seal. Every wrapped key in the tables is opened by the new ring first."""
        tried = AesSeal(ring)
        key_id, proof = next(connection.execute("SELECT key_id, proof FROM encryption"))
        tried._unwrapped("the bank", str(key_id), bytes(proof))
        for tenant, key_id, wrapped in connection.execute("SELECT * FROM data_keys"):
            tried._unwrapped(str(tenant), str(key_id), bytes(wrapped))
        self._ring = ring
        self.active_key = ring.active

    @override
    def save(self, connection: Connection) -> list[str]:
        """See Seal."""
        with self._guard:
            fresh = sorted(self._unsaved)
        connection.executemany(
            "INSERT INTO data_keys (tenant, key_id, wrapped) VALUES (?, ?, ?) ON CONFLICT (tenant)"
            " DO UPDATE SET key_id = excluded.key_id, wrapped = excluded.wrapped",
            [
                (tenant, self._ring.active, self._wrapped(tenant, self._keys[tenant].secret))
                for tenant in fresh
            ],
        )
        return fresh

    @override
    def saved(self, tenants: list[str]) -> None:
        """See Seal."""
        with self._guard:
            self._unsaved.difference_update(tenants)

    @override
    def forget(self, tenant: str) -> None:
        """See Seal."""
        with self._guard:
            self._keys.pop(tenant, None)
            self._unsaved.discard(tenant)

    @override
    def rewrap(self, connection: Connection) -> bool:
        """See Seal."""
        active = self._ring.active
        old = connection.execute(
            "SELECT tenant FROM data_keys WHERE key_id != ? LIMIT ?", (active, _REWRAPPED_AT_ONCE)
        ).fetchall()
        connection.executemany(
            "UPDATE data_keys SET key_id = ?, wrapped = ? WHERE tenant = ?",
            [
                (active, self._wrapped(str(name), self._keys[str(name)].secret), name)
                for (name,) in old
            ],
        )
        if old:
            return True
        connection.execute(
            "UPDATE encryption SET key_id = ?, proof = ? WHERE key_id != ?",
            (active, self._wrapped("the bank", _PROOF), active),
        )
        return False

    def _begin(self, connection: Connection, name: str) -> None:
        there = connection.execute("SELECT 1 FROM memories WHERE tenant != '_selftest'")
        if there.fetchone() is not None:
            raise ConfigurationError(
                f"the bank {name} holds memories that are not encrypted",
                field="encryption.enabled",
                hint="export it, import that into a new bank that is encrypted from the start,"
                " then destroy the old one; or leave encryption off",
            )
        with connection:
            connection.execute("DELETE FROM memories")  # what a killed self-test left
            connection.execute(
                "INSERT INTO encryption (id, key_id, proof) VALUES (1, ?, ?)",
                (self._ring.active, self._wrapped("the bank", _PROOF)),
            )

    def _key(self, tenant: str) -> _DataKey:
        key = self._keys.get(tenant)
        if key is not None:
            return key
        with self._guard:
            key = self._keys.get(tenant)
            if key is None:
                key = self._data_key(secrets.token_bytes(_DATA_KEY_BYTES))
                self._keys[tenant] = key
                self._unsaved.add(tenant)
        return key

    def _data_key(self, secret: bytes) -> _DataKey:
        return _DataKey(self._cipher(secret[:32]), secret)

    def _wrapped(self, whose: str, secret: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        ring = self._ring
        cipher = self._cipher(ring.keys[ring.active])
        return nonce + cipher.encrypt(nonce, secret, _bound(whose, ring.active, "data key"))

    def _unwrapped(self, whose: str, key_id: str, wrapped: bytes) -> bytes:
        key = self._ring.keys.get(key_id)
        if key is None:
            raise ConfigurationError(
                f"the bank needs the key {key_id}, which is not in the encryption key ring",
                field=FIELD,
                hint="put it back into the ring; it may go when the service has wrapped"
                " everything by the active key",
            )
        try:
            return self._cipher(key).decrypt(
                wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], _bound(whose, key_id, "data key")
            )
        except (self._invalid, ValueError):
            raise ConfigurationError(
                f"the key {key_id} of the encryption key ring is not the one of this bank",
                field=FIELD,
                hint="use the ring that the bank was made with; without it nothing can be read",
            ) from None


def seal_for(ring: KeyRing | None) -> Seal:
    """Return what stands in the columns of a bank with this ring, or without one."""
    return PLAIN if ring is None else AesSeal(ring)


def unsealed(seal: Seal) -> Any:
    """Return the SQL function `unsealed(tenant, id, column, stored)`, for conditions."""
    return seal.opened_text


def _bound(tenant: str, memory_id: str, column: str) -> bytes:
    return "\x00".join((tenant, memory_id, column)).encode()


def _damaged() -> StoreUnavailable:
    return StoreUnavailable(
        "a memory cannot be decrypted: the database was damaged or tampered with",
        hint="restore it from a backup",
    )
