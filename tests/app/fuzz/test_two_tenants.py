"""Two tenants that use one service side by side, in any order, with each other's ids and cursors.

A model says what each of them holds. After every step the service must say the same of both, and no
answer may hold a word or an id of the other one: not by a cache, a cursor, a link, a repeated
request or a memory of the same words.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import count
from typing import Any, ClassVar

import httpx
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    rule,
    run_state_machine_as_test,
)

from tests.app.fuzz.runner import Runner, effort, mcp, running

SIDES = st.sampled_from([0, 1])
NUMBERS = st.integers(0, 5)
PICKS = st.integers(0, 1_000)
SHARED = "both know that the launch is on day"


class TwoTenants(RuleBasedStateMachine):
    """Both act; `side` is who does."""

    runner: ClassVar[Runner]
    numbers: ClassVar[Iterator[int]] = count()

    @initialize()
    def make(self) -> None:
        """Make two new tenants; what earlier examples left in the service stays there."""
        number = next(self.numbers)
        self.words = [f"zq{number}left", f"zq{number}right"]
        self.keys = [self.key_of(f"t{number}{side}") for side in ("a", "b")]
        self.held: list[dict[str, str]] = [{}, {}]
        self.ever: list[set[str]] = [set(), set()]
        self.cursors: list[str] = []

    def key_of(self, tenant: str) -> str:
        admin = self.runner.bank.admin_key
        self.runner.send(admin, "POST", "/v1/admin/tenants", json={"name": tenant})
        body = {"name": tenant, "role": "admin", "tenant": tenant}
        made = self.runner.send(admin, "POST", "/v1/admin/keys", json=body)
        key: str = made.json()["key"]
        return key

    def ask(self, side: int, method: str, path: str, **options: Any) -> httpx.Response:
        """Send one request and hold the answer to what this side may see."""
        answer = self.runner.send(self.keys[side], method, path, **options)
        assert answer.status_code < 500, answer.text
        self.check(side, f"{path} {options}", answer.text)
        return answer

    def check(self, side: int, sent: str, answer: str) -> None:
        """Fail when an answer holds a word or an id of the other side that was not sent."""
        assert self.words[1 - side] in sent or self.words[1 - side] not in answer
        for each in self.ever[1 - side]:
            assert each in sent or each not in answer

    def any_id(self, pick: int) -> str:
        """Return an id of either side."""
        ids = sorted(self.ever[0] | self.ever[1])
        return ids[pick % len(ids)] if ids else "none"

    def is_held(self, side: int, memory_id: str) -> bool:
        return memory_id in self.held[side]

    def took(self, side: int, memory_id: str, content: str) -> None:
        assert memory_id not in self.ever[1 - side]
        self.held[side][memory_id] = content
        self.ever[side].add(memory_id)

    @rule(side=SIDES, number=NUMBERS, shared=st.booleans(), once=st.booleans())
    def remember(self, side: int, number: int, *, shared: bool, once: bool) -> None:
        """Store what only this side says, or the very same as the other one."""
        content = f"{SHARED} {number}" if shared else f"{self.words[side]} launches {number}"
        headers = {"Idempotency-Key": f"once {content[-20:]}"} if once else {}
        body = {"content": content, "project": "shared", "session": "shared", "tags": ["launch"]}
        answer = self.ask(side, "POST", "/v1/memories", json=body, headers=headers)
        if answer.status_code in (200, 201):
            stored = answer.json()
            if self.is_held(side, stored["id"]) or "idempotency-replayed" in answer.headers:
                assert stored["id"] in self.ever[side]
            else:
                self.took(side, stored["id"], stored["content"])
        else:
            assert answer.status_code in (404, 409, 422), answer.text

    @rule(side=SIDES, pick=PICKS)
    def change(self, side: int, pick: int) -> None:
        """Change a memory of either side."""
        memory_id = self.any_id(pick)
        content = f"{self.words[side]} changed {pick}"
        answer = self.ask(side, "PATCH", f"/v1/memories/{memory_id}", json={"content": content})
        assert (answer.status_code == 200) == self.is_held(side, memory_id), answer.text
        if answer.status_code == 200:
            self.held[side][memory_id] = content

    @rule(side=SIDES, pick=PICKS, purge=st.booleans(), by_tool=st.booleans())
    def forget(self, side: int, pick: int, *, purge: bool, by_tool: bool) -> None:
        """Delete a memory of either side, over REST or MCP."""
        memory_id = self.any_id(pick)
        if by_tool:
            shown = self.call(side, "forget", {"id": memory_id})
            assert shown["isError"] == (not self.is_held(side, memory_id))
        else:
            query = {"purge": str(purge).lower()}
            self.ask(side, "DELETE", f"/v1/memories/{memory_id}", params=query)
        self.held[side].pop(memory_id, None)

    @rule(
        side=SIDES,
        pick=PICKS,
        what=st.sampled_from(["pin", "unpin", "hold", "release", "history", "links", "similar"]),
    )
    def look_after(self, side: int, pick: int, what: str) -> None:
        """Do to a memory of either side what leaves it where it is."""
        memory_id = self.any_id(pick)
        method = "GET" if what in ("history", "links", "similar") else "POST"
        answer = self.ask(side, method, f"/v1/memories/{memory_id}/{what}")
        if memory_id not in self.ever[side]:
            assert answer.status_code == 404
        self.ask(side, "POST", f"/v1/memories/{memory_id}/release")

    @rule(side=SIDES, first=PICKS, second=PICKS)
    def join(self, side: int, first: int, second: int) -> None:
        """Link and unlink memories of either side."""
        ends = self.any_id(first), self.any_id(second)
        answer = self.ask(side, "POST", f"/v1/memories/{ends[0]}/links", json={"target": ends[1]})
        if not all(self.is_held(side, end) for end in ends):
            assert answer.status_code in (404, 422), answer.text

    @rule(
        side=SIDES,
        about=st.sampled_from([0, 1, 2]),
        mode=st.sampled_from(["hybrid", "lexical", "vector"]),
    )
    def search(self, side: int, about: int, mode: str) -> None:
        """Ask for the words of either side, the very question that the other one may have asked."""
        query = [*self.words, "launch"][about]
        body = {"query": f"{query} launch", "mode": mode, "limit": 50, "include_archived": True}
        found = self.ask(side, "POST", "/v1/search", json=body).json()["results"]
        assert {each["memory"]["id"] for each in found} <= self.held[side].keys()
        packed = self.ask(side, "POST", "/v1/context", json={"query": f"{query} launch"}).json()
        assert {each["id"] for each in packed["memories"]} <= self.held[side].keys()
        self.ask(side, "POST", "/v1/suggestions", json={"query": query[:3]})
        self.ask(side, "POST", "/v1/facets", json={})

    @rule(side=SIDES, pick=PICKS, limit=st.integers(1, 3))
    def turn_pages(self, side: int, pick: int, limit: int) -> None:
        """List, now and then with a cursor that the other side was given."""
        query: dict[str, Any] = {"limit": limit}
        if self.cursors and pick % 2:
            query["cursor"] = self.cursors[pick % len(self.cursors)]
        page = self.ask(side, "GET", "/v1/memories", params=query)
        if page.status_code == 200:
            shown = page.json()
            assert {each["id"] for each in shown["memories"]} <= self.ever[side]
            self.cursors += [shown["next_cursor"]] if shown["next_cursor"] else []

    @rule(side=SIDES)
    def read_the_books(self, side: int) -> None:
        """Export, and read everything that administrators of a tenant can."""
        export = self.ask(side, "GET", "/v1/export").text
        assert all(each in export for each in self.held[side])
        for path in ("admin/keys", "admin/audit", "admin/usage", "stats", "forgetting/runs"):
            assert self.ask(side, "GET", f"/v1/{path}").status_code == 200

    def call(self, side: int, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        params = {"name": tool, "arguments": arguments}
        answer = mcp(self.runner, self.keys[side], "tools/call", params)
        self.check(side, json.dumps(arguments), json.dumps(answer))
        result: dict[str, Any] = answer["result"]
        return result

    @rule(side=SIDES, about=st.sampled_from([0, 1]))
    def recall(self, side: int, about: int) -> None:
        """Ask as an agent."""
        for tool in ("recall", "context"):
            assert not self.call(side, tool, {"query": f"{self.words[about]} launch"})["isError"]

    @invariant()
    def both_hold_what_the_model_says(self) -> None:
        for side in (0, 1):
            page = self.ask(side, "GET", "/v1/memories", params={"limit": 200}).json()
            shown = {each["id"]: each["content"] for each in page["memories"]}
            assert shown == self.held[side]
            assert page["total"] == len(shown)


@pytest.mark.slow
@pytest.mark.parametrize("encrypted", [False, True], ids=["plain", "encrypted"])
def test_two_tenants_never_meet(
    tmp_path_factory: pytest.TempPathFactory, *, encrypted: bool
) -> None:
    folder = tmp_path_factory.mktemp("two")
    options: dict[str, Any] = {}
    if encrypted:
        ring = folder / "ring.json"
        key = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="
        ring.write_text(json.dumps({"active": "k1", "keys": {"k1": key}}))
        options = {"encryption": {"enabled": True, "key_ring_file": str(ring)}}
    with running(folder / "bank", **options) as runner:
        machine = type("Machine", (TwoTenants,), {"runner": runner, "numbers": count()})
        run_state_machine_as_test(machine, settings=settings(effort(8), stateful_step_count=20))
