"""What agents work with, by the tools of the full profile."""

from __future__ import annotations

from typing import Any

from tests.app.mcp.test_beyond_tools import FULL, agent, structured
from tests.support.service import Service


async def test_the_tools_of_work_keep_and_list_and_end_things(bank: Service) -> None:
    async with agent(bank, bank.admin_key, path=FULL) as client:

        async def call(name: str, /, **arguments: Any) -> Any:
            return structured(await client.call_tool(name, arguments))

        async def listed(name: str, /, **arguments: Any) -> list[str]:
            return [each["id"] for each in (await call(name, **arguments))["memories"]]

        shop = (await call("project_add", name="shop", path="/src"))["id"]
        assert (await call("project_add", name="shop"))["deduplicated"]
        assert await listed("project_list", path="/src") == [shop]
        session = (await call("session_start", title="Mend it", project="shop"))["id"]
        entry = (await call("session_log", id=session, content="Seen", kind="issue"))["id"]
        assert await listed("session_entries", id=session) == [entry]
        assert await listed("session_entries", id=session, kind="solution") == []
        refused = await client.call_tool("session_pause", {"id": session, "outcome": "Mended"})
        assert "outcome is not a known field" in str(refused.content)
        await call("session_pause", id=session)
        assert await listed("session_list", status="paused") == [session]
        await call("session_resume", id=session)
        refused = await client.call_tool("session_complete", {"id": session})
        assert "outcome is required" in str(refused.content)
        await call("session_complete", id=session, outcome="Mended")
        ended = (await call("session_get", id=session))["details"]
        assert (ended["status"], ended["outcome"]) == ("completed", "Mended")
        refused = await client.call_tool("session_abort", {"id": session})
        assert refused.is_error
        assert "the session is completed" in str(refused.content)
        for kind, given, asked in (
            ("note", {"content": "a"}, {}),
            ("decision", {"content": "b", "rationale": "why"}, {}),
            ("capsule", {"content": "c", "audience": ["bob"]}, {"audience": "bob"}),
            ("event", {"content": "d", "kind": "deploy"}, {"kind": "deploy"}),
        ):
            made = (await call(f"{kind}_add", project="shop", **given))["id"]
            assert await listed(f"{kind}_list", project="shop", **asked) == [made]
