"""What is secret leaves no trace in a text or an object of a report."""

from __future__ import annotations

import base64
import json
import string
from urllib.parse import quote

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from memorybank_operator.plugin.report.redaction import GONE, LAST_APPLIED, Redaction

KEY = "mb_" + "k" * 43
values = st.text(string.ascii_letters + string.digits + "-_/+=.!", min_size=8, max_size=60)
words = st.text(string.ascii_lowercase + " \n", max_size=40)


@given(value=values, before=words, after=words)
def test_a_value_that_is_known_to_be_secret_is_nowhere(value: str, before: str, after: str) -> None:
    encoded = base64.b64encode(value.encode()).decode()
    ways = (value, encoded, quote(value, safe=""), json.dumps(value))
    for way in ways:
        text = Redaction([value]).text(f"{before} {way} {after}")
        assert value not in text
        assert encoded not in text


@given(secret=values, more=values)
def test_each_line_of_a_secret_file_is_a_secret(secret: str, more: str) -> None:
    redaction = Redaction([f"{secret}\n{more}\n"])
    assert secret not in redaction.text(f"read {secret} from it")
    assert more not in redaction.text(f"read {more} from it")


@pytest.mark.parametrize(
    ("text", "secret"),
    [
        (f"GET /v1/memories with {KEY}: 401", KEY),
        ("postgresql://bank:hunter2hunter2@db:5432/bank", "hunter2hunter2"),
        ("Authorization: Bearer abc.def-123", "abc.def-123"),
        ('{"password": "two words"}', "two words"),
        ("MEMORYBANK_API_KEY=abcd1234", "abcd1234"),
        ("a token eyJhbGciOi.eyJzdWIi.c2ln was refused", "eyJzdWIi"),
        ("-----BEGIN PRIVATE KEY-----\nMIIE\n-----END PRIVATE KEY-----", "MIIE"),
        ("signed by AKIAABCDEFGHIJKLMNOP", "AKIAABCDEFGHIJKLMNOP"),
    ],
)
def test_what_looks_like_a_secret_is_taken_for_one(text: str, secret: str) -> None:
    told = Redaction().text(text)
    assert secret not in told
    assert GONE in told


@pytest.mark.parametrize(
    "text",
    [
        "bank team/agents: Ready=False, reason AdminKeySecretNotFound",
        "http://agents.team.svc:8080/mcp",
        "Secret agents-key has no key token, see spec.auth.adminKeySecretRef",
        "volumes:\n- secret:\n    secretName: agents-key\n  name: key\n",
    ],
)
def test_words_without_secrets_stay_as_they_are(text: str) -> None:
    assert Redaction().text(text) == text


def test_an_object_keeps_what_it_is_and_loses_what_is_secret() -> None:
    pod = {
        "kind": "Pod",
        "metadata": {
            "name": "agents-1",
            "managedFields": [{"manager": "kubectl"}],
            "annotations": {LAST_APPLIED: '{"env": "planted-1"}', "note": "stays"},
        },
        "spec": {
            "containers": [
                {
                    "image": "app:1",
                    "env": [
                        {"name": "PROXY_PASSWORD", "value": "planted-2"},
                        {"name": "TZ", "value": "UTC"},
                        {"name": "K", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                    ],
                }
            ],
            "authToken": "planted-3",
            "imagePullSecrets": [{"name": "registry"}],
        },
    }
    told = Redaction().object(pod)
    assert "planted" not in yaml.safe_dump(told)
    container = told["spec"]["containers"][0]
    assert container["env"][1:] == pod["spec"]["containers"][0]["env"][1:]  # type: ignore[index]
    assert told["spec"]["imagePullSecrets"] == [{"name": "registry"}]
    assert told["metadata"] == {"name": "agents-1", "annotations": {"note": "stays"}}


def test_of_a_secret_the_names_of_its_keys_remain() -> None:
    secret = {"kind": "Secret", "metadata": {"name": "s"}, "data": {"b": "eA==", "a": "eQ=="}}
    told = Redaction().object(secret)
    assert told == {"kind": "Secret", "metadata": {"name": "s"}, "keys": ["a", "b"]}
