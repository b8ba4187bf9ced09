"""Hand-offs over HTTP."""

from __future__ import annotations

import httpx
import pytest

from tests.app.http.test_life import refusal
from tests.app.http.test_sessions import ids, started
from tests.app.http.test_tenants import key_of, make_tenant
from tests.app.http.test_work import kept
from tests.support.service import Service

pytestmark = pytest.mark.slow

PATH = "/v1/handoffs"


async def test_a_handoff_given_in_parts_needs_no_words_of_its_own(admin: httpx.AsyncClient) -> None:
    parts = {"remember": "Renew the wombat's passport", "learned": "It expires"}
    handoff = await kept(admin, "handoffs", **parts, significance=0.9)
    shown = (await admin.get(f"{PATH}/{handoff}")).json()
    assert shown["content"] == "Learned: It expires\nRemember: Renew the wombat's passport"
    assert shown["details"] == {**parts, "significance": 0.9}
    assert shown["importance"] == 0.9
    found = (await admin.post("/v1/search", json={"query": "passport"})).json()["results"]
    assert [each["memory"]["id"] for each in found] == [handoff]
    own = await kept(
        admin, "handoffs", content="In words", story="x", importance=0.1, significance=1
    )
    shown = (await admin.get(f"{PATH}/{own}")).json()
    assert (shown["content"], shown["importance"]) == ("In words", 0.1)
    for nothing in ({}, {"with_whom": "ann"}, {"content": None, "story": None}):
        refused = await admin.post(PATH, json=nothing)
        assert "send content, or one of experienced" in await refusal(refused, 422)
    bad = await admin.post(PATH, json={"content": "x", "sensitivity": "whispered"})
    assert (await refusal(bad, 422)).startswith("sensitivity")


async def test_handoffs_are_listed_by_whom_they_were_with_and_what_they_mean(
    admin: httpx.AsyncClient,
) -> None:
    ann = await kept(admin, "handoffs", content="a", with_whom="ann", project="shop", session="s1")
    bob = await kept(admin, "handoffs", content="b", with_whom="bob", significance=0.5)
    vital = await kept(admin, "handoffs", content="c", with_whom="ann", significance=1)
    assert await ids(admin, PATH) == [vital, bob, ann]
    assert await ids(admin, PATH, with_whom="ann") == [vital, ann]
    assert await ids(admin, PATH, project="shop") == [ann]
    assert await ids(admin, PATH, session="s1") == [ann]
    assert await ids(admin, PATH, min_significance=0.5) == [vital, bob]
    assert await ids(admin, PATH, min_significance=0.75, with_whom="ann") == [vital]
    assert await ids(admin, PATH, min_significance=0) == [vital, bob, ann]


@pytest.mark.parametrize("sensitivity", ["high", "secret"])
async def test_a_sensitive_handoff_is_shown_only_to_who_asks_for_it(
    admin: httpx.AsyncClient, sensitivity: str
) -> None:
    plain = await kept(admin, "handoffs", content="plain", sensitivity="medium")
    hidden = await kept(admin, "handoffs", content="hidden", sensitivity=sensitivity)
    asked = {"include_sensitive": True}
    assert await ids(admin, PATH) == [plain]
    assert await ids(admin, PATH, **asked) == [hidden, plain]
    assert (await admin.get(f"{PATH}/last")).json()["id"] == plain
    assert (await admin.get(f"{PATH}/last", params=asked)).json()["id"] == hidden
    assert (await admin.get(f"{PATH}/thread")).json()["total"] == 1
    assert (await admin.get(f"{PATH}/thread", params=asked)).json()["total"] == 2


async def test_the_last_handoff_is_the_newest_of_what_is_asked_for(
    admin: httpx.AsyncClient,
) -> None:
    nothing = await admin.get(f"{PATH}/last")
    assert "nothing was handed off here yet" in await refusal(nothing, 404)
    shop = await kept(admin, "handoffs", content="a", project="shop", session="s1")
    newest = await kept(admin, "handoffs", content="b", with_whom="ann")
    for query, wanted in (
        ({}, newest),
        ({"project": "shop"}, shop),
        ({"session": "s1"}, shop),
        ({"with_whom": "ann"}, newest),
    ):
        assert (await admin.get(f"{PATH}/last", params=query)).json()["id"] == wanted
    other = {"project": "shop", "with_whom": "ann"}
    await refusal(await admin.get(f"{PATH}/last", params=other), 404)
    await admin.delete(f"/v1/memories/{newest}")
    assert (await admin.get(f"{PATH}/last")).json()["id"] == shop


async def test_a_thread_tells_in_order_what_came_of_the_work(admin: httpx.AsyncClient) -> None:
    done, open_ = await started(admin), await started(admin)
    await admin.post(f"/v1/sessions/{done}/complete", json={"outcome": "The login works"})
    first = await kept(admin, "handoffs", becoming="wary", with_whom="ann", session=done)
    await kept(admin, "handoffs", content="other", with_whom="bob")
    second = await kept(admin, "handoffs", content="b", with_whom="ann", session=open_)
    third = await kept(admin, "handoffs", content="c", with_whom="ann", session="elsewhere")
    whose = {"with_whom": "ann"}
    thread = (await admin.get(f"{PATH}/thread", params=whose)).json()
    assert [each["handoff"]["id"] for each in thread["entries"]] == [first, second, third]
    assert [each["session"] for each in thread["entries"]] == [
        {"id": done, "status": "completed", "outcome": "The login works"},
        {"id": open_, "status": "active", "outcome": None},
        None,
    ]
    newest = (await admin.get(f"{PATH}/thread", params={**whose, "limit": 1})).json()
    assert [each["handoff"]["id"] for each in newest["entries"]] == [third]
    assert newest["total"] == 3


async def test_no_tenant_sees_what_was_handed_off_in_another(bank: Service) -> None:
    async with bank.client(bank.admin_key) as admin:
        await kept(admin, "handoffs", content="Ours", with_whom="ann")
        await make_tenant(admin, "acme")
        key = await key_of(admin, "acme")
    async with bank.client(key) as stranger:
        await refusal(await stranger.get(f"{PATH}/last", params={"with_whom": "ann"}), 404)
        assert (await stranger.get(f"{PATH}/thread")).json() == {"entries": [], "total": 0}
