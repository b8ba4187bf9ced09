"""Searches through HTTP: filters, modes, explanations, and what is around a search."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from memorybank.errors import EmbedderUnavailable
from tests.support.service import Service

MEMORIES: list[dict[str, Any]] = [
    {
        "content": "The parcel service collects at five in the afternoon.",
        "title": "Parcels",
        "tags": ["post", "daily"],
        "metadata": {"floor": 1},
        "project": "office",
    },
    {
        "content": "Letters are collected at noon by the postman, who rings twice.",
        "tags": ["post"],
        "metadata": {"floor": 2},
        "project": "office",
        "type": "fact",
    },
    {"content": "The coffee machine is cleaned on Fridays.", "tags": ["kitchen"]},
]


@pytest.fixture
async def ids(admin: httpx.AsyncClient) -> list[str]:
    made = []
    for memory in MEMORIES:
        answer = await admin.post("/v1/memories", json=memory)
        assert answer.status_code == 201, answer.text
        made.append(answer.json()["id"])
    return made


async def found(admin: httpx.AsyncClient, query: str, **asked: Any) -> list[str]:
    answer = await admin.post("/v1/search", json={"query": query, **asked})
    assert answer.status_code == 200, answer.text
    return [result["memory"]["id"] for result in answer.json()["results"]]


async def test_filters_apply_before_ranking(admin: httpx.AsyncClient, ids: list[str]) -> None:
    assert set(await found(admin, "when", tags_any=["daily", "kitchen"])) == {ids[0], ids[2]}
    assert set(await found(admin, "when", tags_all=["post"])) == {ids[0], ids[1]}
    assert await found(admin, "when", tags_all=["post", "daily"]) == [ids[0]]
    assert await found(admin, "coffee", tags=["post"], metadata={"floor": 2}) == [ids[1]]
    assert await found(admin, "coffee", metadata={"floor": "2"}) == []


async def test_modes_choose_what_decides(admin: httpx.AsyncClient, ids: list[str]) -> None:
    assert await found(admin, "postman", mode="lexical") == [ids[1]]
    assert await found(admin, "espresso", mode="lexical") == []
    assert (await found(admin, "espresso", mode="vector"))[0] == ids[2]
    assert (await found(admin, "espresso"))[0] == ids[2]


async def test_a_score_is_explained_and_words_are_highlighted_when_asked_for(
    admin: httpx.AsyncClient, ids: list[str]
) -> None:
    asked = {"query": "postman rings", "limit": 1, "explain": True, "highlight": True}
    (result,) = (await admin.post("/v1/search", json=asked)).json()["results"]
    assert result["memory"]["id"] == ids[1]
    assert set(result["parts"]) == {"lexical", "session", "vector", "prior"}
    content = result["memory"]["content"]
    spans = result["highlights"]["spans"]
    assert [content[span["start"] : span["end"]] for span in spans] == ["postman", "rings"]
    assert result["highlights"]["excerpt"] == content
    plain = (await admin.post("/v1/search", json={"query": "postman"})).json()["results"][0]
    assert plain["parts"] is plain["highlights"] is None


async def test_scores_below_the_least_are_left_out(
    admin: httpx.AsyncClient, ids: list[str]
) -> None:
    everything = (await admin.post("/v1/search", json={"query": "postman"})).json()["results"]
    least = everything[0]["score"]
    assert await found(admin, "postman", min_score=least) == [ids[1]]


async def test_without_the_embedder_words_decide_and_the_answer_says_so(
    bank: Service, admin: httpx.AsyncClient, ids: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(_texts: object) -> None:
        raise EmbedderUnavailable("the embedder is away")

    monkeypatch.setattr(bank.engine.embedder, "embed", refuse)
    answer = await admin.post("/v1/search", json={"query": "postman"})
    assert [result["memory"]["id"] for result in answer.json()["results"]] == [ids[1]]
    assert answer.json()["degraded"] == "the embedder is away"
    lexical = await admin.post("/v1/search", json={"query": "postman", "mode": "lexical"})
    assert lexical.json()["degraded"] is None


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({"mode": "psychic"}, "mode"),
        ({"limit": 0}, "limit"),
        ({"limit": 201}, "limit"),
        ({"min_score": 2}, "min_score"),
        ({"diversity": -1}, "diversity"),
        ({"metadata": {"a": [1]}}, "metadata"),
        ({"metadata": {str(number): 1 for number in range(9)}}, "metadata"),
        ({"as_of": "yesterday"}, "as_of"),
        ({"speed": "fast"}, "speed"),
    ],
)
async def test_wrong_wishes_are_refused_by_their_name(
    admin: httpx.AsyncClient, asked: dict[str, Any], field: str
) -> None:
    answer = await admin.post("/v1/search", json={"query": "x", **asked})
    assert answer.status_code == 422
    assert field in answer.text


async def test_facets_count(admin: httpx.AsyncClient, ids: list[str]) -> None:
    facets = (await admin.post("/v1/facets", json={"project": "office"})).json()
    assert facets["total"] == 2
    assert facets["types"] == [{"value": "fact", "count": 1}, {"value": "note", "count": 1}]
    assert facets["tags"] == [{"value": "post", "count": 2}, {"value": "daily", "count": 1}]
    assert facets["projects"] == [{"value": "office", "count": 2}]


async def test_suggestions_come_from_the_bank_itself(
    admin: httpx.AsyncClient, ids: list[str]
) -> None:
    answer = (await admin.post("/v1/suggestions", json={"query": "p"})).json()
    texts = [each["text"] for each in answer["suggestions"]]
    assert texts[:2] == ["Parcels", "post"]
    assert "postman" in texts
    other = await admin.post("/v1/suggestions", json={"query": "p", "project": "home"})
    assert other.json() == {"suggestions": []}


async def test_similar_memories_are_found_without_the_one_itself(
    admin: httpx.AsyncClient, ids: list[str]
) -> None:
    answer = await admin.get(f"/v1/memories/{ids[0]}/similar", params={"limit": 1})
    assert [each["memory"]["id"] for each in answer.json()["results"]] == [ids[1]]
    missing = await admin.get("/v1/memories/none/similar")
    assert missing.status_code == 404


async def test_a_context_is_quoted_and_fits(admin: httpx.AsyncClient, ids: list[str]) -> None:
    asked = {"query": "when is the post collected?", "max_tokens": 150, "project": "office"}
    answer = (await admin.post("/v1/context", json=asked)).json()
    assert answer["tokens"] <= 150
    assert {each["id"] for each in answer["memories"]} == set(ids[:2])
    assert "> Letters are collected at noon by the postman, who rings twice." in answer["text"]
    assert answer["omitted"] == 0


async def test_others_see_nothing_of_it(
    bank: Service, admin: httpx.AsyncClient, ids: list[str]
) -> None:
    await admin.post("/v1/admin/tenants", json={"name": "other"})
    made = await admin.post(
        "/v1/admin/keys", json={"name": "o", "role": "admin", "tenant": "other"}
    )
    assert made.status_code == 201, made.text
    async with bank.client(made.json()["key"]) as client:
        assert (await client.post("/v1/search", json={"query": "post"})).json()["results"] == []
        assert (await client.post("/v1/facets", json={})).json()["total"] == 0
        suggested = await client.post("/v1/suggestions", json={"query": "p"})
        assert suggested.json()["suggestions"] == []
        assert (await client.post("/v1/context", json={"query": "post"})).json()["text"] == ""
        assert (await client.get(f"/v1/memories/{ids[0]}/similar")).status_code == 404
