"""The cache keeps the newest version of each object, in whatever order they arrive."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank_operator.engine.cache import BankKey, Cache
from memorybank_operator.reconcile.observed import ChildKey, KubeObject

AGENTS = BankKey("team", "agents")
OTHERS = BankKey("team", "others")


def obj(
    name: str = "agents-config",
    *,
    kind: str = "ConfigMap",
    version: int = 1,
    uid: str = "u1",
    bank: str | None = "agents",
    **more: Any,
) -> dict[str, Any]:
    labels = {} if bank is None else {"memorybank.dev/bank": bank}
    metadata = {
        "name": name, "namespace": "team", "uid": uid,
        "resourceVersion": str(version), "labels": labels,
    }  # fmt: skip
    return {"kind": kind, "metadata": metadata, **more}


@pytest.fixture
def cache() -> Cache:
    return Cache()


def test_a_child_is_found_by_the_bank_its_label_names(cache: Cache) -> None:
    assert cache.put(obj(data={"a": "1"})) == frozenset({AGENTS})
    found = cache.belongings(AGENTS, {"ConfigMap"})
    assert found == {ChildKey("ConfigMap", "agents-config"): obj(data={"a": "1"})}
    assert cache.belongings(OTHERS, {"ConfigMap"}) == {}


def test_only_the_kinds_asked_for_are_returned(cache: Cache) -> None:
    cache.put(obj())
    cache.put(obj("agents-0", kind="Pod", uid="u2"))
    assert list(cache.belongings(AGENTS, {"Pod"})) == [ChildKey("Pod", "agents-0")]


def test_a_crowd_is_counted_by_banks_and_not_by_objects(cache: Cache) -> None:
    cache.put(obj("agents", kind="MemoryBank", bank=None, uid="b"))
    cache.put(obj())
    cache.put(obj("others-data", uid="u2", bank="others"))
    assert cache.crowd == 2
    cache.remove(obj("others-data", uid="u2", bank="others", version=2))
    assert cache.crowd == 1


def test_the_bank_itself_is_kept_under_its_name(cache: Cache) -> None:
    bank = obj("agents", kind="MemoryBank", bank=None, spec={})
    assert cache.put(bank) == frozenset({AGENTS})
    assert cache.bank(AGENTS) == bank
    assert list(cache.banks()) == [AGENTS]
    assert cache.bank(OTHERS) is None


def test_the_same_version_again_is_no_news(cache: Cache) -> None:
    assert cache.put(obj(version=5)) is not None
    assert cache.put(obj(version=5)) is None


def test_an_older_version_never_replaces_a_newer_one(cache: Cache) -> None:
    cache.put(obj(version=10, data={"a": "new"}))
    assert cache.put(obj(version=9, data={"a": "old"})) is None
    (found,) = cache.belongings(AGENTS, {"ConfigMap"}).values()
    assert found["data"] == {"a": "new"}


def test_a_deleted_object_is_gone(cache: Cache) -> None:
    cache.put(obj())
    assert cache.remove(obj(version=2)) == frozenset({AGENTS})
    assert cache.belongings(AGENTS, {"ConfigMap"}) == {}
    assert len(cache) == 0


def test_the_late_deletion_of_a_predecessor_leaves_the_successor(cache: Cache) -> None:
    cache.put(obj(version=1, uid="old"))
    cache.put(obj(version=5, uid="new"))
    assert cache.remove(obj(version=4, uid="old")) is None
    assert len(cache) == 1


def test_a_late_answer_does_not_bring_a_deleted_object_back(cache: Cache) -> None:
    cache.put(obj(version=1))
    cache.remove(obj(version=7))
    assert cache.put(obj(version=6)) is None
    assert len(cache) == 0


def test_an_object_whose_label_came_back_after_it_left_our_watch_is_taken(cache: Cache) -> None:
    cache.put(obj(version=1))
    cache.remove(obj(version=7))
    assert cache.put(obj(version=8)) == frozenset({AGENTS})


def test_a_moved_label_concerns_both_banks(cache: Cache) -> None:
    cache.put(obj(version=1, bank="agents"))
    assert cache.put(obj(version=2, bank="others")) == frozenset({AGENTS, OTHERS})
    assert cache.belongings(AGENTS, {"ConfigMap"}) == {}
    assert len(cache.belongings(OTHERS, {"ConfigMap"})) == 1


def test_an_object_of_nobody_is_news_for_no_bank(cache: Cache) -> None:
    fast = {
        "kind": "StorageClass",
        "metadata": {"name": "fast", "uid": "s", "resourceVersion": "3"},
    }
    assert cache.put(fast) == frozenset()
    assert cache.of_kind("StorageClass") == {"fast": fast}


def test_a_new_listing_removes_what_it_does_not_have(cache: Cache) -> None:
    cache.put(obj("a", uid="a", version=1))
    cache.put(obj("b", uid="b", version=2))
    cache.put(obj("c", uid="c", version=3, kind="Secret"))
    assert cache.retain("ConfigMap", None, {"b"}, resource_version=10) == frozenset({AGENTS})
    assert set(cache.belongings(AGENTS, {"ConfigMap", "Secret"})) == {
        ChildKey("ConfigMap", "b"),
        ChildKey("Secret", "c"),
    }


def test_a_listing_of_one_namespace_says_nothing_about_another(cache: Cache) -> None:
    cache.put(obj(version=1))
    assert cache.retain("ConfigMap", "elsewhere", set(), resource_version=10) == frozenset()
    assert len(cache) == 1


def test_what_was_written_after_a_listing_stays(cache: Cache) -> None:
    cache.put(obj(version=11))
    assert cache.retain("ConfigMap", None, set(), resource_version=10) == frozenset()
    assert len(cache) == 1


def test_managed_fields_and_the_last_applied_copy_are_not_kept(cache: Cache) -> None:
    body = obj("agents", kind="MemoryBank", bank=None)
    body["metadata"]["managedFields"] = [{"manager": "kubectl"}]
    body["metadata"]["annotations"] = {
        "kubectl.kubernetes.io/last-applied-configuration": "{}",
        "kept": "yes",
    }
    cache.put(body)
    found = cache.bank(AGENTS)
    assert found is not None
    assert "managedFields" not in found["metadata"]
    assert found["metadata"]["annotations"] == {"kept": "yes"}
    assert "managedFields" in body["metadata"], "the object given is not changed"


@st.composite
def lives(draw: st.DrawFn) -> list[tuple[str, str]]:
    """What happens to one name: objects u, v, w one after the other, each changed a few times."""
    events = []
    for uid in draw(st.sampled_from(["u", "uv", "uvw"])):
        events += [("put", uid)] * draw(st.integers(1, 3)) + [("remove", uid)]
    return events[: len(events) - draw(st.integers(0, 1))]


@given(lives(), st.randoms())
def test_any_order_of_arrival_ends_in_the_same_state(
    events: list[tuple[str, str]], random: Random
) -> None:
    def state(order: list[tuple[int, tuple[str, str]]]) -> list[KubeObject]:
        cache = Cache()
        for version, (action, uid) in order:
            getattr(cache, action)(obj(version=version, uid=uid))
        return list(cache.belongings(AGENTS, {"ConfigMap"}).values())

    history = list(enumerate(events))
    shuffled = list(history)
    random.shuffle(shuffled)
    assert state(shuffled) == state(history)
