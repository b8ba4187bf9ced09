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


async def test_the_tools_of_tasks_and_edges_keep_and_move_and_order_them(bank: Service) -> None:
    async with agent(bank, bank.admin_key, path=FULL) as client:

        async def call(name: str, /, **arguments: Any) -> Any:
            return structured(await client.call_tool(name, arguments))

        async def told(name: str, /, **arguments: Any) -> str:
            refused = await client.call_tool(name, arguments)
            assert refused.is_error
            return str(refused.content)

        dig = (await call("task_add", title="Dig", project="garden", priority="high"))["id"]
        plant = (await call("task_add", title="Plant", depends_on=[dig], parent=dig))["id"]
        assert f"{dig} (Dig)" in await told("task_start", id=plant)
        needed = (await call("task_dependencies", id=plant))["depends_on"]
        assert [each["id"] for each in needed] == [dig]
        cycle = await told("task_depend", id=dig, on=plant)
        assert f"{dig} (Dig) -> {plant} (Plant) -> {dig} (Dig)" in cycle
        assert (await call("edge_cycle", source=dig, target=plant, type="depends_on"))["closes"]
        order = (await call("edge_order", root=plant))["order"]
        assert [each["title"] for each in order] == ["Dig", "Plant"]
        assert "one of root and project" in await told("edge_order")
        nodes = (await call("edge_traverse", memory=dig))["nodes"]
        assert [(each["id"], each["path"]) for each in nodes] == [(plant, [dig, plant])]
        await call("task_start", id=dig)
        await call("task_block", id=dig, reason="Rain")
        listed = (await call("task_list", blocked=True))["memories"]
        assert {each["id"] for each in listed} == {dig, plant}
        await call("task_unblock", id=dig)
        assert "1 of its parts are open" in await told("task_complete", id=dig)
        await call("task_complete", id=dig, outcome="A hole", force=True)
        assert (await call("task_get", id=dig))["details"]["outcome"] == "A hole"
        await call("task_reopen", id=dig)
        assert not (await call("task_depend", id=plant, on=dig))["changed"]
        await call("task_depend", id=plant, on=dig, remove=True)
        assert "there is no such link" in await told("edge_remove", source=plant, target=dig)
        await call("task_cancel", id=plant)
        counted = await call("task_statistics", project="garden")
        assert (counted["total"], counted["by_status"]["todo"]) == (1, 1)
        assert (await call("task_efficiency", days=1))["overall"]["cancelled"] == 1


async def test_work_is_handed_off_by_a_tool_that_every_agent_has(bank: Service) -> None:
    async with agent(bank, bank.admin_key, path="/mcp") as client:
        said = {"remember": "Tell Bob", "with_whom": "ann", "significance": 0.9}
        handoff = structured(await client.call_tool("handoff", said))["id"]
        refused = await client.call_tool("handoff", {"with_whom": "ann"})
        assert "send content, or one of experienced" in str(refused.content)
    async with agent(bank, bank.admin_key, path=FULL) as client:
        listed = structured(await client.call_tool("handoff_list", {"min_significance": 0.9}))
        assert [each["id"] for each in listed["memories"]] == [handoff]
        thread = structured(await client.call_tool("handoff_thread", {"with_whom": "ann"}))
        assert [each["handoff"]["id"] for each in thread["entries"]] == [handoff]


async def test_one_agent_proposes_a_change_and_another_one_decides(bank: Service) -> None:
    async with (
        agent(bank, await bank.key("developer"), path=FULL) as author,
        agent(bank, await bank.key("developer"), path=FULL) as editor,
    ):
        told = await author.call_tool("remember", {"content": "The heron lives here"})
        memory = structured(told)["id"]

        async def proposed(content: str) -> str:
            change = {"memory": memory, "patch": {"content": content}, "reason": "It moved"}
            edit: str = structured(await author.call_tool("edit_propose", change))["id"]
            return edit

        async def says() -> str:
            content: str = structured(await author.call_tool("get", {"id": memory}))["content"]
            return content

        edit = await proposed("The heron lives there")
        own = await author.call_tool("edit_approve", {"id": edit})
        assert own.is_error
        assert "who proposes a change does not approve it" in str(own.content)
        pending = structured(await editor.call_tool("edit_list", {"status": "pending"}))
        assert [each["id"] for each in pending["edits"]] == [edit]
        approved = structured(await editor.call_tool("edit_approve", {"id": edit}))
        assert (approved["status"], await says()) == ("approved", "The heron lives there")
        back = {"id": edit, "comment": "It came back"}
        undone = structured(await editor.call_tool("edit_rollback", back))
        assert (undone["status"], await says()) == ("rolled_back", "The heron lives here")
        other = await proposed("The heron is a stork")
        rejected = structured(await editor.call_tool("edit_reject", {"id": other}))
        assert (rejected["status"], await says()) == ("rejected", "The heron lives here")
        shown = structured(await author.call_tool("edit_get", {"id": other}))
        assert shown["patch"] == {"content": "The heron is a stork"}
