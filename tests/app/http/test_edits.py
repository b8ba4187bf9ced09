"""Changes that one key proposes and another one approves, through HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.app.http.test_encryption import a_ring, encrypted, files_of
from tests.app.http.test_every_kind import told
from tests.app.http.test_life import refusal
from tests.app.http.test_tenants import key_of, make_tenant
from tests.app.http.test_transfer import exported, imported
from tests.app.http.test_work import kept
from tests.support.service import Service, service

pytestmark = pytest.mark.slow


@pytest.fixture
async def author(bank: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with bank.client(await bank.key("developer")) as client:
        yield client


@pytest.fixture
async def editor(bank: Service) -> AsyncIterator[httpx.AsyncClient]:
    async with bank.client(await bank.key("developer")) as client:
        yield client


async def proposed(client: httpx.AsyncClient, memory: str, /, **patch: Any) -> str:
    body = {"memory": memory, "patch": patch, "reason": "The heron moved"}
    answer = await client.post("/v1/edits", json=body)
    assert answer.status_code == 201, answer.text
    assert answer.headers["location"] == f"/v1/edits/{answer.json()['id']}"
    edit: str = answer.json()["id"]
    return edit


async def decide(client: httpx.AsyncClient, edit: str, verb: str, **body: Any) -> httpx.Response:
    return await client.post(f"/v1/edits/{edit}/{verb}", json=body or None)


async def note(client: httpx.AsyncClient, **more: Any) -> str:
    return await kept(client, "notes", content="The heron lives here", **more)


async def said(client: httpx.AsyncClient, memory: str) -> str:
    content: str = (await client.get(f"/v1/memories/{memory}")).json()["content"]
    return content


async def test_a_proposal_changes_the_memory_when_another_key_approves_it(
    author: httpx.AsyncClient, editor: httpx.AsyncClient
) -> None:
    memory = await note(author, tags=["bird"])
    edit = await proposed(author, memory, content="The heron lives there", tags=["bird", "far"])
    assert await said(author, memory) == "The heron lives here"
    shown = (await author.get(f"/v1/edits/{edit}")).json()
    assert shown["patch"] == {"content": "The heron lives there", "tags": ["bird", "far"]}
    assert (shown["status"], shown["revision"], shown["memory"]) == ("pending", 1, memory)
    own = await refusal(await decide(author, edit, "approve"), 403)
    assert "who proposes a change does not approve it" in own
    answer = await decide(editor, edit, "approve", comment="So it is")
    assert answer.status_code == 200, answer.text
    told_of = answer.json()
    assert told_of["memory"]["content"] == "The heron lives there"
    assert told_of["memory"]["tags"] == ["bird", "far"]
    assert (told_of["edit"]["status"], told_of["edit"]["comment"]) == ("approved", "So it is")
    assert told_of["edit"]["applied_revision"] == told_of["memory"]["revision"] == 2
    assert told_of["edit"]["decided_by"] != told_of["edit"]["proposed_by"]
    history = (await author.get(f"/v1/memories/{memory}/history")).json()
    assert [each["action"] for each in history["revisions"]] == ["approve"]
    again = await decide(editor, edit, "approve")
    assert again.json()["memory"]["revision"] == 2
    assert "is approved" in await refusal(await decide(editor, edit, "reject"), 409)


async def test_a_memory_that_was_changed_since_is_not_changed_by_a_proposal(
    author: httpx.AsyncClient, editor: httpx.AsyncClient
) -> None:
    memory = await note(author)
    edit = await proposed(author, memory, content="The heron lives there")
    await author.patch(f"/v1/memories/{memory}", json={"content": "The heron is gone"})
    refused = await refusal(await decide(editor, edit, "approve"), 409)
    assert f"the memory {memory} is at revision 2, and not at 1 any more" in refused
    assert "propose the change again" in refused
    assert await said(author, memory) == "The heron is gone"
    assert (await author.get(f"/v1/edits/{edit}")).json()["status"] == "pending"
    seen = {"memory": memory, "patch": {"content": "x"}, "reason": "y", "revision": 1}
    late = await refusal(await author.post("/v1/edits", json=seen), 409)
    assert "is at revision 2" in late


async def test_of_proposals_for_one_revision_that_are_approved_at_once_one_is_applied(
    author: httpx.AsyncClient, editor: httpx.AsyncClient
) -> None:
    memory = await note(author)
    edits = [await proposed(author, memory, content=f"Heron {place}") for place in range(3)]
    answers = await asyncio.gather(*(decide(editor, edit, "approve") for edit in edits))
    assert sorted(answer.status_code for answer in answers) == [200, 409, 409]
    assert (await author.get(f"/v1/memories/{memory}")).json()["revision"] == 2


async def test_an_approval_is_rolled_back_while_nothing_came_after_it(
    author: httpx.AsyncClient, editor: httpx.AsyncClient
) -> None:
    memory = await note(author, title="Where", importance=0.9)
    edit = await proposed(author, memory, content="The heron lives there", title=None)
    pending = await refusal(await decide(author, edit, "roll-back"), 409)
    assert "only one that is approved can be rolled back" in pending
    approved = (await decide(editor, edit, "approve")).json()["memory"]
    assert approved["title"] is None
    back = (await decide(author, edit, "roll-back", comment="No")).json()
    assert (back["memory"]["content"], back["memory"]["title"]) == ("The heron lives here", "Where")
    assert (back["memory"]["revision"], back["edit"]["status"]) == (3, "rolled_back")
    assert "is rolled back" in await refusal(await decide(editor, edit, "approve"), 409)
    other = await proposed(author, memory, content="The heron flew")
    await decide(editor, other, "approve")
    await author.patch(f"/v1/memories/{memory}", json={"tags": ["late"]})
    refused = await refusal(await decide(author, other, "roll-back"), 409)
    assert "is at revision 5, and not at 4 any more" in refused
    assert f"/v1/memories/{memory}/rollback goes back to revision 3" in refused


async def test_a_proposal_is_rejected_by_anybody_and_changes_nothing(
    author: httpx.AsyncClient, editor: httpx.AsyncClient
) -> None:
    memory = await note(author)
    for client in (author, editor):
        edit = await proposed(author, memory, content="The heron lives there")
        rejected = await decide(client, edit, "reject", comment="No")
        assert (rejected.json()["status"], rejected.json()["comment"]) == ("rejected", "No")
        assert "is rejected" in await refusal(await decide(editor, edit, "approve"), 409)
    assert await said(author, memory) == "The heron lives here"


async def test_an_administrator_may_approve_what_was_its_own_proposal(
    admin: httpx.AsyncClient,
) -> None:
    memory = await note(admin)
    edit = await proposed(admin, memory, importance=1.0)
    assert (await decide(admin, edit, "approve")).json()["memory"]["importance"] == 1.0


async def test_what_could_not_be_changed_by_hand_cannot_be_proposed(
    author: httpx.AsyncClient,
) -> None:
    memory = await note(author)
    task = await kept(author, "tasks", title="Do it")
    edit = await proposed(author, memory, content="x")
    for target, patch, complaint in (
        (memory, {}, "there is nothing to change"),
        (memory, {"details": {"nonsense": 1}}, "details.nonsense"),
        (memory, {"state": "archived"}, "patch.state"),
        (memory, {"content": " "}, "patch.content"),
        (memory, {"metadata": {"a": "b" * 20_000}}, "patch.metadata"),
        (task, {"details": {"status": "done"}}, "details.status"),
        (edit, {"content": "y"}, "a proposal is not changed by another one"),
        (memory, {"type": "edit"}, "type"),
    ):
        body = {"memory": target, "patch": patch, "reason": "why"}
        assert complaint in await refusal(await author.post("/v1/edits", json=body), 422)
    nobody = {"memory": "nobody", "patch": {"content": "x"}, "reason": "why"}
    await refusal(await author.post("/v1/edits", json=nobody), 404)


async def test_nobody_makes_a_proposal_of_another_key(
    author: httpx.AsyncClient, editor: httpx.AsyncClient
) -> None:
    memory = await note(author)
    details = {"memory": memory, "revision": 1, "patch": {"content": "x"}, "proposed_by": "me"}
    forged = {"content": "why", "type": "edit", "details": details}
    refused = await refusal(await author.post("/v1/memories", json=forged), 422)
    assert "POST /v1/edits" in refused
    many = (await author.post("/v1/memories:batch", json={"memories": [forged]})).json()
    assert many["refused"] == 1
    place = await author.post(f"/v1/memories/{memory}/supersede", json={"memory": forged})
    assert "POST /v1/edits" in await refusal(place, 422)
    edit = await proposed(author, memory, content="The heron lives there")
    for change in ({"details": {"proposed_by": "me"}}, {"content": "z"}, {"type": "note"}):
        await refusal(await author.patch(f"/v1/memories/{edit}", json=change), 422)
    await refusal(await decide(author, edit, "approve"), 403)
    assert (await decide(editor, edit, "approve")).status_code == 200


async def test_no_search_finds_what_is_only_proposed(admin: httpx.AsyncClient) -> None:
    memory = await note(admin)
    edit = await proposed(admin, memory, content="The heron lives in Timbuktu")
    for query in (
        {},
        {"types": ["edit"]},
        {"include_archived": True},
        {"as_of": "2020-01-01T00:00:00Z"},
        {"as_of": "2999-01-01T00:00:00Z"},
    ):
        body = {"query": "heron Timbuktu", **query}
        found = (await admin.post("/v1/search", json=body)).json()["results"]
        assert edit not in [each["memory"]["id"] for each in found]
    similar = (await admin.get(f"/v1/memories/{memory}/similar")).json()["results"]
    assert similar == []
    context = await admin.post("/v1/context", json={"query": "heron", "max_tokens": 500})
    assert "Timbuktu" not in context.text
    assert (await admin.get(f"/v1/memories/{edit}")).json()["type"] == "edit"


async def test_proposals_are_listed_by_where_they_stand_and_what_they_are_about(
    author: httpx.AsyncClient, editor: httpx.AsyncClient
) -> None:
    one, two = await note(author), await kept(author, "notes", content="Another", project="p")
    first, second, third = (
        await proposed(author, one, content="a"),
        await proposed(author, one, content="b"),
        await proposed(author, two, content="c"),
    )
    await decide(editor, second, "reject")

    async def listed(**query: Any) -> list[str]:
        page = (await author.get("/v1/edits", params=query)).json()
        assert page["total"] == len(page["edits"])
        return [each["id"] for each in page["edits"]]

    assert await listed() == [third, second, first]
    assert await listed(status="pending") == [third, first]
    assert await listed(status="rejected") == [second]
    assert await listed(memory=one) == [second, first]
    assert await listed(project="p") == [third]
    assert (await author.get(f"/v1/edits/{one}")).status_code == 404


async def test_what_is_approved_is_trusted_no_more_than_who_proposed_it(
    admin: httpx.AsyncClient,
) -> None:
    memory = await note(admin)
    assert (await admin.get(f"/v1/memories/{memory}")).json()["trust"] == 1.0
    body = {
        "memory": memory,
        "patch": {"content": "The heron says: obey"},
        "reason": "A page said so",
        "origin": "tool_external",
    }
    edit = (await admin.post("/v1/edits", json=body)).json()
    assert edit["trust"] == 0.2
    applied = (await decide(admin, edit["id"], "approve")).json()["memory"]
    assert (applied["origin"], applied["trust"]) == ("tool_external", 0.2)
    back = (await decide(admin, edit["id"], "roll-back")).json()["memory"]
    assert (back["origin"], back["trust"]) == ("direct_user", 1.0)


async def test_secrets_in_a_proposal_are_masked_as_in_memories(admin: httpx.AsyncClient) -> None:
    secret = "AKIA" + "QWERTYUIOPASDFGH"  # looks like a key of AWS
    memory = await note(admin)
    edit = await proposed(admin, memory, content=f"The key is {secret}, keep it")
    assert secret not in (await admin.get(f"/v1/edits/{edit}")).text
    assert secret not in (await exported(admin)).decode()
    approved = await decide(admin, edit, "approve")
    assert approved.status_code == 200
    assert secret not in approved.text


async def test_a_proposal_comes_along_and_can_still_be_approved(
    admin: httpx.AsyncClient, tmp_path: Path
) -> None:
    memory = await note(admin)
    edit = await proposed(admin, memory, content="The heron lives there", valid_to=None)
    file = await exported(admin)
    async with service(tmp_path / "other") as other, other.client(other.admin_key) as client:
        await imported(client, file)
        assert told(await exported(client)) == told(file)
        assert (await decide(client, edit, "approve")).status_code == 200
        assert await said(client, memory) == "The heron lives there"
        assert (await client.delete(f"/v1/memories/{edit}")).status_code == 204
        assert (await client.get("/v1/edits")).json()["total"] == 0


async def test_a_proposal_is_in_no_file_of_an_encrypted_bank_and_of_no_other_tenant(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "bank"
    async with (
        service(folder, **encrypted(tmp_path, a_ring())) as bank,
        bank.client(bank.admin_key) as admin,
    ):
        memory = await note(admin)
        body = {"memory": memory, "patch": {"content": "Quuxnew"}, "reason": "Quuxwhy"}
        edit = (await admin.post("/v1/edits", json=body)).json()["id"]
        assert (await admin.get("/v1/edits", params={"memory": memory})).json()["total"] == 1
        await make_tenant(admin, "acme")
        async with bank.client(await key_of(admin, "acme")) as stranger:
            assert (await stranger.get("/v1/edits")).json()["total"] == 0
            assert (await stranger.get(f"/v1/edits/{edit}")).status_code == 404
            for verb in ("approve", "reject", "roll-back"):
                assert (await decide(stranger, edit, verb)).status_code == 404
            assert (await stranger.post("/v1/edits", json=body)).status_code == 404
        await decide(admin, edit, "approve", comment="Quuxcomment")
        answer = await admin.get("/v1/admin/audit", params={"action": "memory.approve"})
        assert {each["target"] for each in answer.json()["records"]} == {memory, edit}
    assert [name for name, data in files_of(folder).items() if b"Quux" in data] == []
