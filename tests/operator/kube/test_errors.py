"""An HTTP failure becomes the error that says what helps, and never repeats a secret."""

from __future__ import annotations

from typing import Any

import pytest

from memorybank_operator.kube import errors


def failure(code: int, status: dict[str, Any] | None = None, **options: Any) -> errors.KubeError:
    arguments = {"retry_after": None, "secret": False} | options
    return errors.from_answer("apply Deployment agents", code, status or {}, **arguments)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (400, errors.Invalid),
        (401, errors.Unauthorized),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (422, errors.Invalid),
        (429, errors.Overloaded),
        (500, errors.Overloaded),
        (503, errors.Overloaded),
        (504, errors.Overloaded),
    ],
)
def test_each_code_has_its_error(code: int, kind: type[errors.KubeError]) -> None:
    error = failure(code)
    assert type(error) is kind
    assert error.code == code


def test_the_servers_sentence_follows_what_was_tried() -> None:
    error = failure(422, {"message": "spec.replicas: must be 1"})
    assert str(error) == "apply Deployment agents: spec.replicas: must be 1"


def test_without_a_sentence_the_code_is_said() -> None:
    assert str(failure(502)) == "apply Deployment agents: HTTP 502"


def test_a_novel_is_cut() -> None:
    assert len(str(failure(422, {"message": "x" * 10_000}))) < errors.MAX_MESSAGE + 50


def test_a_secrets_values_are_not_repeated_only_its_fields() -> None:
    status = {
        "reason": "Invalid",
        "message": 'Secret "agents-key" is invalid: data[token]: Invalid value: "mb_hidden"',
        "details": {"causes": [{"field": "data[token]", "message": 'Invalid value: "mb_hidden"'}]},
    }
    message = str(failure(422, status, secret=True))
    assert "mb_hidden" not in message
    assert message == "apply Deployment agents: Invalid (data[token])"


@pytest.mark.parametrize(
    ("header", "details", "seconds"),
    [
        ("7", {}, 7.0),
        (None, {"retryAfterSeconds": 3}, 3.0),
        (None, {}, None),
        ("Wed, 21 Oct 2026 07:28:00 GMT", {}, None),
        ("-1", {}, 0.0),
    ],
)
def test_the_time_a_server_names_is_kept(
    header: str | None, details: dict[str, Any], seconds: float | None
) -> None:
    error = failure(429, {"details": details}, retry_after=header)
    assert isinstance(error, errors.Transient)
    assert error.retry_after == seconds


def test_a_namespace_on_its_way_out_is_told_from_a_missing_permission() -> None:
    causes = [{"reason": "NamespaceTerminating", "message": "namespace team is being terminated"}]
    status = {"reason": "Forbidden", "details": {"causes": causes}}
    leaving = errors.from_answer("apply", 403, status, retry_after=None, secret=True)
    refused = errors.from_answer("apply", 403, {}, retry_after=None, secret=True)
    assert isinstance(leaving, errors.NamespaceTerminating)
    assert not isinstance(refused, errors.NamespaceTerminating)
