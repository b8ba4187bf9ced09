"""The write gate through HTTP: what is found is said, in every answer and under every policy."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.service import Service, service

pytestmark = pytest.mark.slow

TOKEN = "gh" + "p_" + "a1B2c3D4e5F6g7H8i9J0" * 2
MAIL = "ada@example.org"
SECRET = f"The robot signs in with {TOKEN}."
PARCEL = "The parcel for the Lund office is kept in the cellar."


@asynccontextmanager
async def bank_with(folder: Path, **policy: Any) -> AsyncIterator[httpx.AsyncClient]:
    async with service(folder, write_gate=policy) as bank, bank.client(bank.admin_key) as client:
        yield client


def told(memory: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    return [(f["check"], f["kind"], f["field"], f["action"]) for f in memory["findings"]]


async def test_secrets_are_removed_and_personal_data_is_told_of(admin: httpx.AsyncClient) -> None:
    body = {
        "content": SECRET,
        "title": f"Ask {MAIL}",
        "tags": [TOKEN],
        "type": "decision",
        "details": {"options": ["none", SECRET]},
        "metadata": {"deep": [{"er": SECRET, TOKEN: 1}]},
    }
    memory = (await admin.post("/v1/memories", json=body)).json()
    assert told(memory) == [
        ("personal", "email", "title", "flag"),
        ("secret", "github_token", "content", "mask"),
        ("secret", "github_token", "tags.0", "mask"),
        ("secret", "github_token", "details.options", "mask"),
        ("secret", "github_token", "metadata", "mask"),
    ]
    assert memory["content"] == "The robot signs in with [github_token removed]."
    assert memory["title"] == f"Ask {MAIL}"
    kept = (await admin.get(f"/v1/memories/{memory['id']}")).json()
    assert TOKEN not in str({**kept, "metadata": kept["metadata"]["deep"][0]["er"]})


@pytest.mark.parametrize("field", ["content", "title", "details.solution"])
async def test_a_refusal_names_the_field_and_never_the_secret(tmp_path: Path, field: str) -> None:
    body: dict[str, Any] = {"content": "x", "type": "error_solution"}
    if field == "details.solution":
        body["details"] = {"solution": SECRET}
    else:
        body[field] = SECRET
    async with bank_with(tmp_path, secrets="refuse", personal="refuse") as client:
        answer = await client.post("/v1/memories", json=body)
        error = answer.json()["error"]
        assert (answer.status_code, error["code"], error["field"]) == (422, "write_refused", field)
        assert "a secret (github_token)" in error["message"]
        assert TOKEN not in answer.text
        mail = await client.post("/v1/memories", json={"content": MAIL})
        assert "personal data (email)" in mail.json()["error"]["message"]
        assert (await client.get("/v1/memories")).json()["total"] == 0


async def test_what_is_switched_off_is_not_looked_for(tmp_path: Path) -> None:
    async with bank_with(tmp_path, secrets="off", personal="off", junk="off") as client:
        memory = (await client.post("/v1/memories", json={"content": f"{SECRET} {MAIL}"})).json()
        assert (memory["findings"], memory["content"]) == ([], f"{SECRET} {MAIL}")


async def test_changes_and_successors_pass_the_gate_too(admin: httpx.AsyncClient) -> None:
    memory = (await admin.post("/v1/memories", json={"content": "x is secret"})).json()
    path = f"/v1/memories/{memory['id']}"
    changed = (await admin.patch(path, json={"content": SECRET})).json()
    assert told(changed) == [("secret", "github_token", "content", "mask")]
    assert TOKEN not in changed["content"]
    body = {"memory": {"content": f"Now {SECRET}"}}
    successor = (await admin.post(f"{path}/supersede", json=body)).json()
    assert told(successor) == [("secret", "github_token", "content", "mask")]


async def test_a_batch_tells_of_each_and_so_does_its_repetition(tmp_path: Path) -> None:
    body = {"memories": [{"content": SECRET}, {"content": MAIL}, {"content": "plain facts here"}]}
    async with bank_with(tmp_path, secrets="refuse") as client:
        once = {"Idempotency-Key": "k"}
        first = (await client.post("/v1/memories:batch", json=body, headers=once)).json()
        refused, flagged, plain = first["results"]
        assert refused["error"]["code"] == "write_refused"
        assert refused["error"]["field"] == "memories.0.content"
        assert (told(flagged), told(plain)) == ([("personal", "email", "content", "flag")], [])
        again = await client.post("/v1/memories:batch", json=body, headers=once)
        assert again.json() == first


async def test_junk_is_told_of_and_refused_where_the_policy_says_so(tmp_path: Path) -> None:
    async with bank_with(tmp_path / "flag") as client:
        memory = (await client.post("/v1/memories", json={"content": "ok thanks"})).json()
        [finding] = memory["findings"]
        assert (finding["check"], finding["action"], finding["score"]) == ("junk", "flag", 0.93)
    async with bank_with(tmp_path / "refuse", junk="refuse") as client:
        answer = await client.post("/v1/memories", json={"content": "ok thanks"})
        assert "nothing worth remembering" in answer.json()["error"]["message"]
        assert (await client.post("/v1/memories", json={"content": PARCEL})).status_code == 201


async def test_the_longest_text_is_a_setting(tmp_path: Path) -> None:
    async with bank_with(tmp_path, max_characters=100) as client:
        answer = await client.post("/v1/memories", json={"content": "x" * 90, "title": "y" * 20})
        assert "this bank takes 100" in answer.json()["error"]["message"]
        assert (await client.post("/v1/memories", json={"content": "x" * 90})).status_code == 201


async def recalled(client: httpx.AsyncClient) -> str:
    memory = (await client.post("/v1/memories", json={"content": PARCEL})).json()
    await client.post("/v1/search", json={"query": "where is the parcel"})
    return str(memory["id"])


ECHO = {"content": f"{PARCEL}\nNoted.", "tags": ["recalled"], "session": "s2"}


async def test_what_was_just_recalled_is_not_stored_again(bank: Service) -> None:
    async with bank.client(bank.admin_key) as client:
        source = await recalled(client)
        echo = await client.post("/v1/memories", json=ECHO)
        assert (echo.status_code, echo.json()["deduplicated_of"]) == (200, source)
        assert told(echo.json()) == [("recall_echo", source, "content", "deduplicate")]
        more = {"content": f"{PARCEL} It has waited there since March, and nobody has come for it."}
        assert (await client.post("/v1/memories", json=more)).status_code == 201
        async with bank.client(await bank.key("developer")) as other:  # not served to this key
            assert (await other.post("/v1/memories", json=ECHO)).status_code == 201
        anyway = await client.post("/v1/memories", json=ECHO | {"deduplicate": False})
        assert anyway.status_code == 201


@pytest.mark.parametrize(
    "more",
    [
        {"content": f"{PARCEL}\nNo longer."},
        {"content": f"{PARCEL} It is 20."},
        {"title": "Cellar key: hook 4"},
        {"metadata": {"floor": -1}},
        {"type": "fact", "details": {"confidence": 0.2}},
        {"valid_to": "2030-01-01T00:00:00Z"},
    ],
)
async def test_an_echo_that_says_something_else_is_kept(
    admin: httpx.AsyncClient, more: dict[str, Any]
) -> None:
    source = await recalled(admin)
    stored = await admin.post("/v1/memories", json={"content": PARCEL, **more})
    assert (stored.status_code, stored.json()["findings"]) == (201, [])
    assert stored.json()["id"] != source


async def test_what_is_masked_stays_within_the_limits_that_an_import_holds_to(
    admin: httpx.AsyncClient,
) -> None:
    url = "postgres://app:" + "abc" + "@db "
    long_title = (url * 20)[:300].strip()
    long_tag = (url * 4).strip()
    for body in ({"content": "x", "title": long_title}, {"content": "x", "tags": [long_tag]}):
        refused = await admin.post("/v1/memories", json=body)
        error = refused.json()["error"]
        field = "tags" if "tags" in body else "title"
        assert (refused.status_code, error["code"], error["field"]) == (422, "write_refused", field)
        assert "too long with the marks" in error["message"]
    memory = (await admin.post("/v1/memories", json={"content": "the office is in Lund"})).json()
    path = f"/v1/memories/{memory['id']}"
    assert (await admin.patch(path, json={"title": long_title})).status_code == 422
    both = [TOKEN, "gh" + "p_" + "z9Y8x7W6v5U4t3S2r1Q0" * 2]
    changed = (await admin.patch(path, json={"tags": both})).json()
    assert changed["tags"] == ["[github_token removed]"]


async def test_an_echo_in_another_project_is_something_new(admin: httpx.AsyncClient) -> None:
    await recalled(admin)
    assert (await admin.post("/v1/memories", json=ECHO | {"project": "p"})).status_code == 201


async def test_the_echo_of_what_is_gone_is_something_new(admin: httpx.AsyncClient) -> None:
    await admin.delete(f"/v1/memories/{await recalled(admin)}")
    stored = await admin.post("/v1/memories", json=ECHO)
    assert (stored.status_code, stored.json()["findings"]) == (201, [])


async def test_echoes_can_be_told_of_or_refused(tmp_path: Path) -> None:
    async with bank_with(tmp_path / "flag", recall_echo="flag") as client:
        source = await recalled(client)
        stored = await client.post("/v1/memories", json=ECHO)
        assert stored.status_code == 201
        assert told(stored.json()) == [("recall_echo", source, "content", "flag")]
    async with bank_with(tmp_path / "refuse", recall_echo="refuse") as client:
        source = await recalled(client)
        refused = await client.post("/v1/memories", json=ECHO)
        assert refused.json()["error"]["code"] == "write_refused"
        assert source in refused.json()["error"]["message"]
