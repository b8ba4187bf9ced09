"""What the Secret of a MemoryBankKey tells about the key in it, in an annotation: whatever the bank
is told, so that the Secret alone says which keys are valid, and since when.

It is written together with the key, in one request. Of former keys it holds the SHA-256, which
opens nothing: a key has 256 random bits.
"""

from __future__ import annotations

from datetime import datetime

from pydantic import ValidationError

from memorybank_operator.api.base import StatusModel
from memorybank_operator.constants import ANNOTATION_KEY_RECORD
from memorybank_operator.reconcile.observed import KubeObject


class FormerKey(StatusModel):
    """A key that was replaced and is still valid."""

    digest: str
    """SHA-256 of the key, hex."""
    key_id: str = ""
    """By which id the bank listed it."""
    replaced_at: datetime
    until: datetime
    """Refused from then on."""


class KeyRecord(StatusModel):
    """What belongs to the key of a Secret."""

    issued_at: datetime
    """When the key was made, in whole seconds."""
    request: str = ""
    """The text of spec.rotation.request that the key is an answer to."""
    role: str = ""
    tenant: str = ""
    expires_at: datetime | None = None
    former: tuple[FormerKey, ...] = ()
    """Oldest first."""


def as_annotations(record: KeyRecord) -> dict[str, str]:
    """Return the record as the Secret carries it."""
    return {ANNOTATION_KEY_RECORD: record.model_dump_json(exclude_none=True)}


def read_record(secret: KubeObject) -> KeyRecord | None:
    """Return a Secret's record, None when it has none that can be read."""
    text = (secret["metadata"].get("annotations") or {}).get(ANNOTATION_KEY_RECORD)
    try:
        record = KeyRecord.model_validate_json(text or "")
    except ValidationError:
        return None
    moments = (record.issued_at, *(each.until for each in record.former))
    return None if any(each.tzinfo is None for each in moments) else record
