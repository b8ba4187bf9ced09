"""Drift is what applying again would change, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_operator.reconcile.drift import differences

PORT = {"containerPort": 80, "protocol": "TCP"}

SAME: dict[str, tuple[Any, Any]] = {
    "defaults added by the server": ({"a": 1}, {"a": 1, "b": 2}),
    "an empty text that the server drops": (
        {"env": [{"name": "A", "value": ""}]},
        {"env": [{"name": "A"}]},
    ),
    "an empty map that the server drops": ({"a": {"b": {}}}, {"a": {}}),
    "an empty list that the server drops": ({"a": []}, {}),
    "one more entry in a list that merges": (
        {"containers": [{"name": "a"}]},
        {"containers": [{"name": "b"}, {"name": "a", "image": "x"}]},
    ),
    "another order in a list that merges": (
        {"env": [{"name": "A"}, {"name": "B"}]},
        {"env": [{"name": "B"}, {"name": "A"}]},
    ),
    "the same cpu": ({"limits": {"cpu": "1000m"}}, {"limits": {"cpu": "1"}}),
    "the same memory": ({"requests": {"memory": "0.5Gi"}}, {"requests": {"memory": "512Mi"}}),
    "the same size": ({"emptyDir": {"sizeLimit": "1024Mi"}}, {"emptyDir": {"sizeLimit": "1Gi"}}),
    "ports with the same key": ({"ports": [PORT]}, {"ports": [{**PORT, "name": "x"}]}),
    "defaults within the items of an atomic list": (
        {"tolerations": [{"key": "a"}]},
        {"tolerations": [{"key": "a", "operator": "Equal"}]},
    ),
    "an owner besides us": (
        {"ownerReferences": [{"uid": "1"}]},
        {"ownerReferences": [{"uid": "2"}, {"uid": "1"}]},
    ),
}

DIFFERENT: dict[str, tuple[Any, Any, tuple[str, ...]]] = {
    "a value": ({"a": {"b": 1}}, {"a": {"b": 2}}, ("a.b",)),
    "a missing value": ({"a": {"b": 1}}, {"a": {}}, ("a.b",)),
    "false and missing are two things": ({"a": False}, {}, ("a",)),
    "zero and missing are two things": ({"replicas": 0}, {}, ("replicas",)),
    "a missing map": ({"a": {"b": 1}}, {}, ("a",)),
    "a container of another image": (
        {"containers": [{"name": "a", "image": "x"}]},
        {"containers": [{"name": "a", "image": "y"}]},
        ("containers[a].image",),
    ),
    "a missing variable": (
        {"env": [{"name": "A", "value": "1"}]},
        {"env": [{"name": "B", "value": "1"}]},
        ("env[A]",),
    ),
    "a port under another number": (
        {"ports": [{"port": 80, "protocol": "TCP"}]},
        {"ports": [{"port": 81, "protocol": "TCP"}]},
        ("ports[80]",),
    ),
    "a rule of a policy with a port more": (
        {"ingress": [{"ports": [{"port": 80}]}]},
        {"ingress": [{"ports": [{"port": 80}, {"port": 81}]}]},
        ("ingress",),
    ),
    "a rule of a policy for fewer": (
        {"spec": {"egress": [{"ports": [{"port": 80}]}]}},
        {"spec": {"egress": [{"ports": [{"port": 80}], "to": [{"podSelector": {}}]}]}},
        ("spec.egress",),
    ),
    "a policy about fewer pods": (
        {"podSelector": {"matchLabels": {"a": "b"}}},
        {"podSelector": {"matchLabels": {"a": "b", "c": "d"}}},
        ("podSelector.matchLabels",),
    ),
    "a policy about fewer pods by an expression": (
        {"podSelector": {"matchLabels": {"a": "b"}}},
        {"podSelector": {"matchLabels": {"a": "b"}, "matchExpressions": [{"key": "c"}]}},
        ("podSelector",),
    ),
    "one argument more": ({"args": ["a"]}, {"args": ["a", "b"]}, ("args",)),
    "one argument less": ({"args": ["a", "b"]}, {"args": ["a"]}, ("args",)),
    "arguments in another order": ({"args": ["a", "b"]}, {"args": ["b", "a"]}, ("args",)),
    "a selector with one more label": (
        {"selector": {"a": "b"}},
        {"selector": {"a": "b", "c": "d"}},
        ("selector",),
    ),
    "a node selector with one more label": (
        {"nodeSelector": {"a": "b"}},
        {"nodeSelector": {"a": "b", "c": "d"}},
        ("nodeSelector",),
    ),
    "another amount": (
        {"limits": {"memory": "1Gi"}},
        {"limits": {"memory": "1G"}},
        ("limits.memory",),
    ),
    "what is no amount": (
        {"limits": {"memory": "1Gi"}},
        {"limits": {"memory": "much"}},
        ("limits.memory",),
    ),
    "one more toleration": (
        {"tolerations": [{"key": "a"}]},
        {"tolerations": [{"key": "a"}, {"key": "b"}]},
        ("tolerations",),
    ),
}

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)
    ),
    max_leaves=10,
)


@pytest.mark.parametrize("case", SAME)
def test_it_is_no_drift(case: str) -> None:
    desired, live = SAME[case]
    assert differences(desired, live) == ()


@pytest.mark.parametrize("case", DIFFERENT)
def test_it_is_drift_at_a_path(case: str) -> None:
    desired, live, paths = DIFFERENT[case]
    assert differences(desired, live) == paths


@given(json_values)
def test_nothing_drifts_from_itself(value: Any) -> None:
    assert differences(value, value) == ()


@given(st.dictionaries(st.sampled_from("abcd"), json_values), json_values)
def test_an_added_field_is_no_drift(value: dict[str, Any], added: Any) -> None:
    assert differences(value, {**value, "added": added}) == ()


@given(json_values, json_values)
def test_any_two_values_can_be_compared_and_values_are_not_named(a: Any, b: Any) -> None:
    paths = differences({"secret": a}, {"secret": b})
    assert paths == tuple(sorted(paths))
