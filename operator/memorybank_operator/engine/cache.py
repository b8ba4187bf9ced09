"""What the API server told last about banks and what belongs to them.

Fed by watch events and by the answers to our own writes, so that a reconcile sees what the one
before it wrote. Of two versions of an object the newer one stays, in whatever order they arrive.
Objects are kept compressed and without their managed fields: about 1 KB each, since there may be
thousands of banks.
"""

from __future__ import annotations

import json
import zlib
from collections import OrderedDict
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from typing_extensions import override

from memorybank_operator.constants import BACKUP_KIND, KEY_KIND, KIND, LABEL_BANK, RESTORE_KIND
from memorybank_operator.reconcile.observed import ChildKey, KubeObject

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"
REFERENCES = {KEY_KIND: "bankRef", BACKUP_KIND: "bank", RESTORE_KIND: "bank"}
"""By kind, the field of the spec that names the bank."""
LEVEL = 1
"""Of compression: half the time of zlib's usual 6 for 4 % more memory, and a restart compresses
everything that there is before it acts.
"""
REMEMBERED_DELETIONS = 4096
"""Late answers about deleted objects arrive within seconds; this many deletions take longer."""


class BankKey(NamedTuple):
    """Names a bank."""

    namespace: str
    name: str

    @override
    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


Affected = frozenset[BankKey]
"""The banks to look at after a change; none for an object that no bank owns."""


class _Address(NamedTuple):
    kind: str
    namespace: str
    name: str


@dataclass(frozen=True, slots=True)
class _Entry:
    uid: str
    version: int
    bank: BankKey | None
    content: bytes

    def body(self) -> dict[str, Any]:
        body: dict[str, Any] = json.loads(zlib.decompress(self.content))
        return body


class Cache:
    """Banks, their children and pods, and cluster-wide objects that no bank owns."""

    def __init__(self) -> None:
        self._entries: dict[_Address, _Entry] = {}
        self._by_bank: dict[BankKey, set[_Address]] = {}
        self._cluster_wide: set[_Address] = set()
        self._deleted: OrderedDict[str, int] = OrderedDict()

    def put(self, body: KubeObject) -> Affected | None:
        """Keep an object; return the banks it is news for, None when as new a version is known."""
        address, entry = _address(body), _entry(body)
        known = self._entries.get(address)
        if known is not None and known.version >= entry.version:
            return None
        if self._deleted.get(entry.uid, -1) >= entry.version:
            return None
        if known is not None:
            self._unlink(address, known)
        self._entries[address] = entry
        if entry.bank is not None:
            self._by_bank.setdefault(entry.bank, set()).add(address)
        if not address.namespace:
            self._cluster_wide.add(address)
        # A label can be moved from one bank to another: both have to look.
        return _affected(entry.bank, known.bank if known else None)

    def remove(self, body: KubeObject) -> Affected | None:
        """Forget a deleted object; return its bank, None when it was not known.

        An object of the same name made later stays.
        """
        address, uid = _address(body), body["metadata"]["uid"]
        self._remember_deletion(uid, _version(body))
        known = self._entries.get(address)
        if known is None or known.uid != uid:
            return None
        self._drop(address, known)
        return _affected(known.bank)

    def gone(self, kind: str, namespace: str, name: str, *, uid: str) -> None:
        """Forget an object that the API server said is gone, before its event arrives."""
        address = _Address(kind, namespace, name)
        known = self._entries.get(address)
        if known is not None and known.uid == uid:
            self._remember_deletion(uid, known.version)
            self._drop(address, known)

    def retain(
        self,
        kind: str,
        namespace: str | None,
        uids: Collection[str],
        *,
        resource_version: int,
    ) -> Affected:
        """Forget what a complete listing no longer has; return the banks it belonged to.

        What was written after the listing, by resource version, stays.
        """
        gone = [
            (address, entry)
            for address, entry in self._entries.items()
            if address.kind == kind
            and namespace in (None, address.namespace)
            and entry.uid not in uids
            and entry.version <= resource_version
        ]
        for address, entry in gone:
            self._remember_deletion(entry.uid, resource_version)
            self._drop(address, entry)
        return _affected(*(entry.bank for _, entry in gone))

    def bank(self, key: BankKey) -> KubeObject | None:
        """Return the MemoryBank itself."""
        entry = self._entries.get(_Address(KIND, *key))
        return entry.body() if entry else None

    @property
    def crowd(self) -> int:
        """How many banks there are, those included that only left something."""
        return len(self._by_bank)

    def banks(self) -> Iterator[BankKey]:
        """Yield every known bank."""
        for address in tuple(self._entries):
            if address.kind == KIND:
                yield BankKey(address.namespace, address.name)

    def belongings(self, key: BankKey, kinds: Collection[str]) -> dict[ChildKey, KubeObject]:
        """Return the objects of some kinds that carry the bank's label."""
        return {
            ChildKey(address.kind, address.name): self._entries[address].body()
            for address in sorted(self._by_bank.get(key, ()))
            if address.kind in kinds
        }

    def of_kind(self, kind: str) -> dict[str, KubeObject]:
        """Return all objects of a cluster-wide kind by name."""
        return {
            address.name: self._entries[address].body()
            for address in self._cluster_wide
            if address.kind == kind
        }

    def __len__(self) -> int:
        return len(self._entries)

    def _drop(self, address: _Address, entry: _Entry) -> None:
        del self._entries[address]
        self._cluster_wide.discard(address)
        self._unlink(address, entry)

    def _unlink(self, address: _Address, entry: _Entry) -> None:
        if entry.bank is not None:
            belongings = self._by_bank[entry.bank]
            belongings.discard(address)
            if not belongings:
                del self._by_bank[entry.bank]

    def _remember_deletion(self, uid: str, version: int) -> None:
        self._deleted[uid] = max(version, self._deleted.pop(uid, -1))
        if len(self._deleted) > REMEMBERED_DELETIONS:
            self._deleted.popitem(last=False)


def owner_of(body: KubeObject) -> BankKey | None:
    """Return the bank an object is about: itself, or the one its label names, or its spec."""
    metadata = body["metadata"]
    if body["kind"] == KIND:
        return BankKey(metadata["namespace"], metadata["name"])
    if body["kind"] in REFERENCES:
        named = (body["spec"].get(REFERENCES[body["kind"]]) or {}).get("name")
        return BankKey(metadata["namespace"], named) if named else None
    name = (metadata.get("labels") or {}).get(LABEL_BANK)
    return BankKey(metadata["namespace"], name) if name and "namespace" in metadata else None


def _affected(*banks: BankKey | None) -> Affected:
    return frozenset(bank for bank in banks if bank is not None)


def _address(body: KubeObject) -> _Address:
    metadata = body["metadata"]
    return _Address(body["kind"], metadata.get("namespace", ""), metadata["name"])


def _version(body: KubeObject) -> int:
    # Opaque by the letter of the API, but comparable since 1.35 and a revision of etcd ever since.
    return int(body["metadata"]["resourceVersion"])


def _entry(body: KubeObject) -> _Entry:
    compact = json.dumps(_without_noise(body), separators=(",", ":")).encode()
    return _Entry(
        uid=body["metadata"]["uid"],
        version=_version(body),
        bank=owner_of(body),
        content=zlib.compress(compact, LEVEL),
    )


def _without_noise(body: KubeObject) -> Mapping[str, Any]:
    metadata = {key: value for key, value in body["metadata"].items() if key != "managedFields"}
    if LAST_APPLIED in (metadata.get("annotations") or {}):
        metadata["annotations"] = {
            key: value for key, value in metadata["annotations"].items() if key != LAST_APPLIED
        }
    return {**body, "metadata": metadata}
