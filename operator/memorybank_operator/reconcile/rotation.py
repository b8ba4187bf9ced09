"""When a key is replaced, and for how long the one before stays valid. Pure: the time is given.

Everything is computed from the spec and the record in the Secret, so whoever comes after a crash
computes the same.
"""

from __future__ import annotations

from datetime import datetime, timedelta

from memorybank_operator.api.v1alpha1.memorybankkey import MemoryBankKey
from memorybank_operator.resources.key_record import FormerKey, KeyRecord

MAX_FORMER = 8
"""Former keys that may be valid at a time. Who asks for more rotations within the overlap ends the
oldest: each is an entry in the list that the bank is sent.
"""
EARLY = timedelta(days=7)
EARLY_PART = 5
"""The end of a key is announced a week ahead, or for the last fifth of its time if that is less."""


def first_record(key: MemoryBankKey, now: datetime) -> KeyRecord:
    """Return the record of a key that is made now."""
    spec = key.spec
    return KeyRecord(
        issued_at=now.replace(microsecond=0),
        request=spec.rotation.request,
        role=spec.role,
        tenant=spec.tenant,
        expires_at=spec.expires_at,
    )


def present_record(key: MemoryBankKey, record: KeyRecord, now: datetime) -> KeyRecord:
    """Return what a record has to say now: what the spec says, and no key whose time is over.

    The overlap counts from the rotation: a longer or a shorter one holds for the keys that are
    still valid, too.
    """
    spec = key.spec
    former = tuple(
        each.model_copy(update={"until": _until(key, each.replaced_at)})
        for each in record.former[-MAX_FORMER:]
    )
    said = {"role": spec.role, "tenant": spec.tenant, "expires_at": spec.expires_at}
    return still_valid(record.model_copy(update={**said, "former": former}), now)


def rotated_record(
    key: MemoryBankKey, record: KeyRecord, *, digest: str, key_id: str, now: datetime
) -> KeyRecord:
    """Return the record of a key that replaces the one of `record`, whose digest and id these
    are.
    """
    replaced_at = now.replace(microsecond=0)
    old = FormerKey(
        digest=digest, key_id=key_id, replaced_at=replaced_at, until=_until(key, replaced_at)
    )
    former = (*record.former, old)
    renewed = first_record(key, now).model_copy(update={"former": former})
    return present_record(key, renewed, now)


def next_rotation(key: MemoryBankKey, record: KeyRecord) -> datetime | None:
    """Return when the schedule replaces the key, None without one, or if it ends before."""
    every = key.spec.rotation.interval
    if every is None:
        return None
    due = record.issued_at + every
    expires_at = key.spec.expires_at
    return due if expires_at is None or due < expires_at else None


def is_due(key: MemoryBankKey, record: KeyRecord, now: datetime) -> bool:
    """Whether the key is to be replaced now. An expired one is not: the next would be so too."""
    if is_expired(key, now):
        return False
    request = key.spec.rotation.request
    due = next_rotation(key, record)
    return bool(request and request != record.request) or (due is not None and due <= now)


def is_expired(key: MemoryBankKey, now: datetime) -> bool:
    """Whether the spec says that the key opens nothing any more."""
    return key.spec.expires_at is not None and key.spec.expires_at <= now


def announced_at(key: MemoryBankKey) -> datetime | None:
    """Return from when on it is said that the key ends, None when it does not."""
    expires_at, made = key.spec.expires_at, key.metadata.creation_timestamp
    if expires_at is None:
        return None
    life = expires_at - made if made is not None else EARLY * EARLY_PART
    return expires_at - min(EARLY, max(life, timedelta()) / EARLY_PART)


def next_moment(key: MemoryBankKey, record: KeyRecord, now: datetime) -> datetime | None:
    """Return when there is something to do or to say next though nothing changes."""
    moments = (
        next_rotation(key, record),
        announced_at(key),
        key.spec.expires_at,
        *(each.until for each in record.former),
    )
    return min((each for each in moments if each is not None and each > now), default=None)


def still_valid(record: KeyRecord, now: datetime) -> KeyRecord:
    """Return what a record says without the keys whose time is over, whatever the spec says."""
    return record.model_copy(
        update={"former": tuple(each for each in record.former if now < each.until)}
    )


def _until(key: MemoryBankKey, replaced_at: datetime) -> datetime:
    until = replaced_at + key.spec.rotation.overlap_span
    expires_at = key.spec.expires_at
    return until if expires_at is None else min(until, expires_at)
