"""What goes over the wire reads back the same, as JSON and as YAML."""

from __future__ import annotations

import json
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from memorybank_operator.kube.client import encode

TEXTS = st.text(st.characters(codec="utf-8"))
# YAML wants keys of at most 1,024 characters, escapes counted; Kubernetes' are far shorter.
KEYS = st.text(st.characters(codec="utf-8"), max_size=60)
BODIES = st.dictionaries(KEYS, TEXTS | st.lists(TEXTS, max_size=3), max_size=5)


@given(BODIES)
def test_a_body_reads_back_the_same_as_json_and_as_yaml(body: dict[str, Any]) -> None:
    assert json.loads(encode(body)) == body
    assert yaml.safe_load(encode(body)) == body


def test_an_emoji_is_sent_as_itself_and_a_written_out_escape_stays_one() -> None:
    assert encode({"a": "\U0001f600"}) == '{"a": "\U0001f600"}'.encode()
    assert json.loads(encode({"a": r"\ud83d\ude00"})) == {"a": r"\ud83d\ude00"}
