"""The Secret of a MemoryBankKey: made once, mended, never taken from others."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybankkey import MemoryBankKey
from memorybank_operator.reconcile.delivery import deliver
from memorybank_operator.reconcile.steps import Apply, Create
from memorybank_operator.resources.binding_secret import build_binding_secret

TOKEN = f"mb_{'a' * 43}"
OTHER = f"mb_{'b' * 43}"


def a_key(uid: str = "uid-1") -> MemoryBankKey:
    metadata = {"name": "app", "namespace": "team", "uid": uid, "generation": 1}
    return MemoryBankKey.parse({"metadata": metadata, "spec": {"bankRef": {"name": "agents"}}})


def never() -> str:
    pytest.fail("a key was generated")


def changed(secret: dict[str, Any], **metadata: Any) -> dict[str, Any]:
    return secret | {"metadata": secret["metadata"] | metadata}


def test_a_new_key_is_created_and_not_yet_used() -> None:
    found = deliver(a_key(), None, lambda: TOKEN)
    assert found.token is None
    assert isinstance(found.step, Create)
    assert found.step.body == build_binding_secret(a_key(), TOKEN)


def test_a_key_that_is_there_is_used_and_nothing_is_written() -> None:
    found = deliver(a_key(), build_binding_secret(a_key(), TOKEN), never)
    assert (found.token, found.step, found.problem) == (TOKEN, None, None)


def test_what_somebody_changed_beside_the_key_is_put_back() -> None:
    secret = build_binding_secret(a_key(), TOKEN)
    secret = secret | {"data": secret["data"] | {"uri": "eA=="}}
    found = deliver(a_key(), secret, never)
    assert found.token == TOKEN
    assert isinstance(found.step, Apply)
    assert found.step.drift == ("data.uri",)


@pytest.mark.parametrize("damaged", ["", base64.b64encode(b"mb_short").decode(), "!"])
def test_a_damaged_key_is_replaced(damaged: str) -> None:
    secret = build_binding_secret(a_key(), TOKEN)
    secret = secret | {"data": secret["data"] | {"token": damaged}}
    found = deliver(a_key(), secret, lambda: OTHER)
    assert found.token is None
    assert found.step == Apply(build_binding_secret(a_key(), OTHER))


def test_the_secret_of_a_former_key_of_this_name_is_left_to_go() -> None:
    found = deliver(a_key("uid-2"), build_binding_secret(a_key(), TOKEN), never)
    assert found.problem is not None
    assert found.problem.reason == Reason.WAITING_FOR_DELETION
    assert (found.token, found.step) == (None, None)


def test_a_secret_that_was_kept_or_restored_without_owner_is_taken_on() -> None:
    orphan = changed(build_binding_secret(a_key(), TOKEN), ownerReferences=[])
    found = deliver(a_key("uid-2"), orphan, never)
    assert found.token == TOKEN
    assert found.step is not None


def test_somebody_elses_secret_is_never_touched() -> None:
    foreign = changed(build_binding_secret(a_key(), TOKEN), ownerReferences=[], labels={})
    found = deliver(a_key(), foreign, never)
    assert found.problem is not None
    assert (found.problem.reason, found.problem.terminal) == (Reason.NAME_CONFLICT, True)
    assert (found.token, found.step) == (None, None)
