"""The Secret of a MemoryBankKey: made once, mended, never taken from others."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybankkey import MemoryBankKey
from memorybank_operator.constants import ANNOTATION_KEY_RECORD
from memorybank_operator.reconcile.delivery import deliver, digest_of, rotation
from memorybank_operator.reconcile.rotation import first_record
from memorybank_operator.reconcile.steps import Apply, Create
from memorybank_operator.resources.binding_secret import build_binding_secret
from memorybank_operator.resources.key_record import KeyRecord, read_record

TOKEN = f"mb_{'a' * 43}"
OTHER = f"mb_{'b' * 43}"
NOW = datetime(2026, 1, 1, 12, 0, tzinfo=UTC)
HOUR = timedelta(hours=1)
SECRET_UID = "secret-1"


def a_key(uid: str = "uid-1") -> MemoryBankKey:
    metadata = {"name": "app", "namespace": "team", "uid": uid, "generation": 1}
    return MemoryBankKey.parse({"metadata": metadata, "spec": {"bankRef": {"name": "agents"}}})


def rendered(token: str, record: KeyRecord | None = None) -> dict[str, Any]:
    return build_binding_secret(a_key(), token, record or first_record(a_key(), NOW))


def secret_of(token: str, record: KeyRecord | None = None) -> dict[str, Any]:
    return stored(rendered(token, record))


def stored(body: Mapping[str, Any]) -> dict[str, Any]:
    return changed(body, uid=SECRET_UID)


def never() -> str:
    pytest.fail("a key was generated")


def changed(secret: Mapping[str, Any], **metadata: Any) -> dict[str, Any]:
    return {**secret, "metadata": {**secret["metadata"], **metadata}}


def test_a_new_key_is_created_and_not_yet_used() -> None:
    found = deliver(a_key(), None, lambda: TOKEN, NOW)
    assert found.token is None
    assert isinstance(found.step, Create)
    assert found.step.body == rendered(TOKEN)


def test_a_key_that_is_there_is_used_and_nothing_is_written() -> None:
    found = deliver(a_key(), secret_of(TOKEN), never, NOW)
    assert (found.token, found.step, found.problem) == (TOKEN, None, None)


def test_what_somebody_changed_beside_the_key_is_put_back() -> None:
    secret = secret_of(TOKEN)
    secret = secret | {"data": secret["data"] | {"uri": "eA=="}}
    found = deliver(a_key(), secret, never, NOW)
    assert found.token == TOKEN
    assert isinstance(found.step, Apply)
    assert found.step.drift == ("data.uri",)


@pytest.mark.parametrize("damaged", ["", base64.b64encode(b"mb_short").decode(), "!"])
def test_a_damaged_key_is_replaced(damaged: str) -> None:
    secret = secret_of(TOKEN)
    secret = secret | {"data": secret["data"] | {"token": damaged}}
    found = deliver(a_key(), secret, lambda: OTHER, NOW)
    assert found.token is None
    assert found.step == Apply(rendered(OTHER), uid=SECRET_UID)


def test_the_secret_of_a_former_key_of_this_name_is_left_to_go() -> None:
    found = deliver(a_key("uid-2"), secret_of(TOKEN), never, NOW)
    assert found.problem is not None
    assert found.problem.reason == Reason.WAITING_FOR_DELETION
    assert (found.token, found.step) == (None, None)


def test_a_secret_that_was_kept_or_restored_without_owner_is_taken_on() -> None:
    orphan = changed(secret_of(TOKEN), ownerReferences=[])
    found = deliver(a_key("uid-2"), orphan, never, NOW)
    assert found.token == TOKEN
    assert found.step is not None


def test_somebody_elses_secret_is_never_touched() -> None:
    foreign = changed(secret_of(TOKEN), ownerReferences=[], labels={})
    found = deliver(a_key(), foreign, never, NOW)
    assert found.problem is not None
    assert (found.problem.reason, found.problem.terminal) == (Reason.NAME_CONFLICT, True)
    assert (found.token, found.step) == (None, None)


def asking(**rotation: str) -> MemoryBankKey:
    metadata = {"name": "app", "namespace": "team", "uid": "uid-1", "generation": 2}
    spec = {"bankRef": {"name": "agents"}, "rotation": rotation}
    return MemoryBankKey.parse({"metadata": metadata, "spec": spec})


def test_a_rotation_writes_the_new_key_with_what_is_left_of_the_former_one() -> None:
    key = asking(request="leaked")
    secret = changed(secret_of(TOKEN), resourceVersion="7")
    found = deliver(key, secret, never, NOW + HOUR)
    assert (found.token, found.rotates, found.step) == (TOKEN, True, None)
    step = rotation(key, found, OTHER, key_id="id-1", now=NOW + HOUR)
    body = step.body
    assert (step.uid, body["metadata"]["resourceVersion"]) == (SECRET_UID, "7"), (
        "over no Secret that nobody looked at"
    )
    after = deliver(key, changed(stored(body), resourceVersion="8"), never, NOW + HOUR)
    assert (after.token, after.rotates, after.step) == (OTHER, False, None)
    assert after.record is not None
    (former,) = after.record.former
    assert (former.digest, former.until) == (digest_of(TOKEN), NOW + 2 * HOUR)
    assert TOKEN not in str(body)
    assert base64.b64encode(TOKEN.encode()).decode() not in str(body)


def test_a_key_whose_overlap_is_over_is_struck_out_once() -> None:
    key = asking(request="leaked")
    found = deliver(key, secret_of(TOKEN), never, NOW)
    body = rotation(key, found, OTHER, key_id="id-1", now=NOW).body
    struck = deliver(key, stored(body), never, NOW + HOUR)
    assert struck.record is not None
    assert struck.record.former == ()
    assert isinstance(struck.step, Apply)
    assert deliver(key, stored(struck.step.body), never, NOW + HOUR).step is None


def test_a_damaged_key_is_replaced_beside_the_former_one() -> None:
    key = asking(request="leaked")
    body = rotation(key, deliver(key, secret_of(TOKEN), never, NOW), OTHER, key_id="", now=NOW).body
    damaged = {**stored(body), "data": {**body["data"], "token": ""}}
    step = deliver(key, damaged, lambda: OTHER, NOW).step
    assert isinstance(step, Apply)
    record = read_record(step.body)
    assert record is not None
    assert [each.digest for each in record.former] == [digest_of(TOKEN)]


@pytest.mark.parametrize("record", [None, "", "{}", "[1]", '{"issuedAt": "2026-01-01T12:00:00"}'])
def test_a_secret_without_a_record_is_as_old_as_it_is(record: str | None) -> None:
    made = NOW - 10 * HOUR
    secret = secret_of(TOKEN)
    annotations = {} if record is None else {ANNOTATION_KEY_RECORD: record}
    secret = changed(secret, annotations=annotations, creationTimestamp=made.isoformat())
    found = deliver(a_key(), secret, never, NOW)
    assert found.token == TOKEN
    assert found.record is not None
    assert found.record.issued_at == made
    assert isinstance(found.step, Apply)
    assert deliver(a_key(), stored(found.step.body), never, NOW).step is None
    assert deliver(asking(request="x"), secret, never, NOW).rotates
