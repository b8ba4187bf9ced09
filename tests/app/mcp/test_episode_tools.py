"""The tool by which agents tell their work, and ask what experience says."""

from __future__ import annotations

from typing import Any

import pytest

from tests.app.mcp.test_beyond_tools import FULL, agent, structured
from tests.support.service import Service

pytestmark = pytest.mark.slow


async def test_an_agent_tells_its_work_and_another_one_learns_from_it(bank: Service) -> None:
    async with agent(bank, bank.admin_key) as client:

        async def do(action: str, **needs: Any) -> dict[str, Any]:
            called = await client.call_tool("episode", {"action": action, **needs})
            answer: dict[str, Any] = structured(called)
            return answer

        for outcome in ["success", "failure"] * 4:
            made = await do("start", text="Ship the release", task_type="release", project="shop")
            for tool in ("stage", "ship") if outcome == "success" else ("ship", "stage"):
                assert (await do("step", id=made["id"], tool=tool))["text"] == "queued"
            done = await do("complete", id=made["id"], outcome=outcome, text="Stage it first")
            assert done["text"] == "completed"
        said = await do("recommend", text="Ship it", task_type="release")
        assert "stage -> ship" in said["text"]
        assert "Stage it first" in said["text"]
        [pattern] = [name for name in said["patterns"] if name.startswith("sequence")]
        told = await do("feedback", id=made["id"], pattern=pattern, effect="helped")
        assert told["text"] == "counted"

        made = await do("start", text="Ship another one")
        await do("step", id=made["id"], tool="ship", error="NotStaged", text="too early")
        place = await do("checkpoint", id=made["id"], text="Lunch\nIt is not staged", left=["ship"])
        assert "It is not staged" in place["text"]
        new = await do("resume", id=made["id"], checkpoint=place["id"])
        assert (new["text"], new["id"] == made["id"]) == (place["text"], False)
        wrong = await client.call_tool("episode", {"action": "step", "id": new["id"]})
        assert wrong.is_error
        assert "tool" in str(wrong.content)


async def test_the_full_profile_shows_episodes_and_patterns(bank: Service) -> None:
    async with agent(bank, bank.admin_key, path=FULL) as client:
        made = structured(
            await client.call_tool("episode", {"action": "start", "text": "Ship it"})
        )["id"]
        for tool in ("stage", "ship"):
            step = {"action": "step", "id": made, "tool": tool}
            await client.call_tool("episode", step)
        steps = structured(await client.call_tool("episode_steps", {"id": made}))
        assert [each["tool"] for each in steps["steps"]] == ["stage", "ship"]
        listed = structured(await client.call_tool("episode_list", {"status": "open"}))
        assert listed["total"] == 1
        end = {"action": "complete", "id": made, "outcome": "success"}
        await client.call_tool("episode", end)
        found = structured(await client.call_tool("pattern_list", {"min_support": 1}))
        shown = found["patterns"][0]
        one = structured(await client.call_tool("pattern_get", {"id": shown["id"]}))
        assert one == shown
        assert structured(await client.call_tool("heuristic_list", {}))["total"] == 0
        other = structured(
            await client.call_tool("episode", {"action": "start", "text": "Ship that"})
        )["id"]
        structured(await client.call_tool("episode_abandon", {"id": other, "verdict": "no"}))
