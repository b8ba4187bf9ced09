"""What is made of a Job's end, and of what its pod said, which nobody vouches for."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_operator.reconcile.jobs import MAX_SAID, Trial, read_report, trial
from memorybank_operator.reconcile.points import point_of, size_of
from tests.operator.recovery import REPORT, end_job, pod_that_said, report

JOB: dict[str, Any] = {
    "metadata": {"name": "agents-take-1", "uid": "job-1"},
    "spec": {"template": {"metadata": {}}},
}


def job(ended: str | None = None) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(JOB))
    if ended is not None:
        end_job(made, ended)
    return made


def of(ended: str | None, *said: str) -> Trial:
    made = job(ended)
    pods = [pod_that_said(made, text, number=number) for number, text in enumerate(said, 1)]
    return trial(made, pods, operation="take", bank="team/agents/uid-1", point="before-the-move")


def test_a_report_is_read() -> None:
    found = of("Complete", report()).good
    assert found is not None
    assert (found.memories, found.restore_seconds, found.epoch) == (12, 1.25, REPORT["epoch"])
    assert point_of(found) is not None


@pytest.mark.parametrize(
    "changes",
    [
        {"operation": "verify"}, {"bank": "team/agents/uid-2"}, {"name": "another"},
        {"memories": -1}, {"memories": True}, {"memories": 1.0}, {"memories": 2**53},
        {"memories": "12"}, {"restore_seconds": -1.0}, {"restore_seconds": float("nan")},
        {"restore_seconds": "1"}, {"restore_seconds": True}, {"data_loss_seconds": float("inf")},
        {"epoch": "x" * 129}, {"epoch": "a\nb"}, {"epoch": 1}, {"sha256": "0" * 63},
        {"sha256": "g" * 64}, {"taken_at": "2026-01-01T12:00:00"}, {"moment": "now"},
        {"key_ids": ["k"] * 33}, {"checks": [{"name": "a", "ok": "maybe"}]}, {"checks": {}},
        {"result": "fine"}, {"result": None}, {"error": "it failed"},
    ],
    ids=str,
)  # fmt: skip
def test_a_report_that_is_not_what_it_should_be_is_none(changes: dict[str, Any]) -> None:
    assert of("Complete", report(**changes)).good is None


@pytest.mark.parametrize("left_out", ["taken_at", "memories", "bytes", "sha256"])
def test_a_recovery_point_of_which_something_is_not_said_is_none(left_out: str) -> None:
    found = of("Complete", report(**{left_out: None})).good
    assert found is not None
    assert point_of(found) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"ok"', "[" * 5000, '{"result": "ok"}'])
def test_what_is_no_report_is_none(text: str) -> None:
    assert read_report(text) is None


def test_more_than_a_kubelet_passes_on_is_none() -> None:
    assert read_report(report() + " " * 4096) is None


@given(st.text(max_size=5000))
def test_any_words_are_told_as_one_short_line(text: str) -> None:
    message = of("BackoffLimitExceeded", text).message
    assert message.isprintable()
    assert 0 < len(message) <= MAX_SAID + 30


@given(st.dictionaries(st.sampled_from(sorted(REPORT)), st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)))  # fmt: skip
def test_any_report_is_read_or_is_none(changes: dict[str, Any]) -> None:
    found = read_report(report(**changes))
    assert found is None or found.trouble


def test_of_several_tries_the_last_report_counts() -> None:
    away = report(
        result="failed", error={"code": "x", "message": "The bucket is away", "hint": None}
    )
    assert of("Complete", away, report()).good is not None
    running = of(None, away)
    assert (running.ended, running.message) == (None, "The bucket is away.")


def test_a_failure_says_what_the_report_says() -> None:
    checks = [
        {"name": "integrity", "ok": True, "detail": ""},
        {"name": "recall", "ok": False, "detail": "1 of 3"},
    ]
    assert (
        of("PodFailurePolicy", report(result="failed", checks=checks)).message == "recall: 1 of 3"
    )


def test_what_failed_before_it_knew_its_bank_is_believed_and_nothing_else_is() -> None:
    error = {"code": "configuration_error", "message": "The file is missing", "hint": None}
    assert of("PodFailurePolicy", report(bank="", result="failed", error=error)).message == (
        "The file is missing."
    )
    assert of("Complete", report(bank="")).good is None


def test_a_failure_without_words_says_what_became_of_the_pod() -> None:
    assert of("DeadlineExceeded").message.startswith("DeadlineExceeded: ")
    made = job("BackoffLimitExceeded")
    for state, words in (
        ({"reason": "OOMKilled", "exitCode": 137}, "spec.resources.limits.memory"),
        (None, "The node ended its pod: Usage of EmptyDir volume exceeds the limit"),
    ):
        pod = pod_that_said(made, "")
        if state is None:
            message = "Usage of EmptyDir volume exceeds the limit"
            pod["status"] = {"phase": "Failed", "reason": "Evicted", "message": message}
        else:
            pod["status"]["containerStatuses"][0]["state"]["terminated"] = state
        found = trial(made, [pod], operation="take", bank="team/agents/uid-1", point=None)
        assert words in found.message


def test_the_pods_of_another_job_say_nothing() -> None:
    stranger = pod_that_said({**job(), "metadata": {"name": "x", "uid": "job-2"}}, report())
    found = trial(
        job("Complete"), [stranger], operation="take", bank="team/agents/uid-1", point=None
    )
    assert found.pods == ()
    assert found.good is None


def test_sizes_are_for_people() -> None:
    assert [size_of(each) for each in (0, 1023, 1536, 5 * 1024**2, 3 * 1024**3)] == [
        "0", "1023", "1.5Ki", "5.0Mi", "3.0Gi",
    ]  # fmt: skip
