"""The words of a status are all explained."""

from __future__ import annotations

from collections.abc import Iterator

from memorybank_operator.api.v1alpha1.conditions import ConditionType, Phase, Reason
from memorybank_operator.kube import errors
from memorybank_operator.kube.errors import KubeError


def narrower(kind: type[KubeError]) -> Iterator[type[KubeError]]:
    yield kind
    for each in kind.__subclasses__():
        yield from narrower(each)


def test_every_word_has_a_meaning_of_its_own() -> None:
    for words in (ConditionType, Reason, Phase):
        meanings = [word.meaning for word in words]
        assert all(meaning.endswith(".") for meaning in meanings)
        assert len(set(meanings)) == len(meanings)


def test_every_error_of_the_api_server_is_a_reason() -> None:
    known = {str(reason) for reason in Reason}
    kinds = [each for each in narrower(KubeError) if each.__module__ == errors.__name__]
    assert len(kinds) > 5
    # Whoever does not lead writes no status.
    assert {each.reason for each in kinds} - {errors.NotLeading.reason} <= known


def test_a_word_is_written_as_the_api_shows_it() -> None:
    assert str(Reason.CANARY_PASSED) == "CanaryPassed"
    assert f"{ConditionType.READY}" == "Ready"
    assert Phase.RUNNING.value == "Running"
