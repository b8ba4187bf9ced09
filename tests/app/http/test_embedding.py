"""How far embedding is, over REST."""

from __future__ import annotations

from collections.abc import Sequence

import httpx
import pytest

from memorybank.errors import EmbedderUnavailable
from memorybank.ports import Vector
from tests.app.http.test_refusals import problem
from tests.app.http.test_tenants import key_of, make_tenant
from tests.support.service import Service

STATUS = "/v1/admin/embedding"


async def test_the_status_counts_what_waits(
    bank: Service, admin: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await admin.post("/v1/memories", json={"content": "embedded at once"})
    with monkeypatch.context() as broken:

        async def down(_texts: Sequence[str]) -> Vector:
            raise EmbedderUnavailable("the embedding service does not answer")

        broken.setattr(bank.engine.embedder, "embed", down)
        stored = await admin.post("/v1/memories", json={"content": "embedded later"})
        assert stored.status_code == 201
        status = (await admin.get(STATUS)).json()
    [generation] = status.pop("generations")
    assert (generation["model"], generation["state"], generation["vectors"]) == (
        "words-64",
        "active",
        1,
    )
    assert status | {"problem": None} == {
        "model": "words-64",
        "dimensions": 64,
        "memories": 2,
        "embedded": 1,
        "pending": 1,
        "problem": None,
    }
    figures = await bank.telemetry.exposition(bank.engine.store, bank.engine.index)
    assert b"memorybank_embedding_pending 1.0" in figures


async def test_only_administrators_of_the_bank_see_it(
    bank: Service, admin: httpx.AsyncClient
) -> None:
    await make_tenant(admin, "acme")
    for key in (await bank.key("developer"), await key_of(admin, "acme")):
        async with bank.client(key) as client:
            problem(await client.get(STATUS), 403, "forbidden")
