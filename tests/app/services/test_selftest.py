"""The canary: cheap however often it is asked, clean after itself, never hanging."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import pytest

from memorybank.domain.memory import MemoryFilter
from memorybank.errors import EmbedderUnavailable, StoreUnavailable
from memorybank.ports import Vector
from memorybank.schemas.health import Check
from memorybank.server.engine import Engine
from memorybank.services.selftest import INTERNAL_TENANT, SelfTest
from memorybank.settings import Settings
from tests.support.service import open_engine
from tests.support.word_embedder import WordEmbedder


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[Engine]:
    async with open_engine(Settings(data=tmp_path), WordEmbedder()) as engine:
        yield engine


def selftest(engine: Engine, **options: float) -> SelfTest:
    return SelfTest(engine.store, engine.embedder, engine.index, **options)  # type: ignore[arg-type]


def statuses(checks: list[Check]) -> list[str]:
    return [check.status for check in checks]


async def seq(engine: Engine) -> int:
    return (await engine.store.stats()).seq


async def test_the_outcome_holds_for_a_while_however_many_ask(engine: Engine) -> None:
    now = 0.0
    test = SelfTest(engine.store, engine.embedder, engine.index, keep=5, clock=lambda: now)
    await asyncio.gather(*(test.run() for _ in range(20)))
    after_one = await seq(engine)
    assert after_one == 2  # one memory came and went
    now = 4.9
    await test.run()
    assert await seq(engine) == after_one
    now = 5.1
    await test.run()
    assert await seq(engine) == 2 * after_one


async def test_what_a_killed_test_left_is_removed_by_the_next(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def killed(*_: object) -> int:
        raise StoreUnavailable("killed")

    with monkeypatch.context() as broken:
        broken.setattr(engine.store, "delete", killed)
        assert statuses(await selftest(engine).run()) == ["ok", "ok", "ok", "failed"]
    assert (await engine.store.stats()).memories == 1
    assert set(statuses(await selftest(engine).run())) == {"ok"}
    left = await engine.store.list_memories(INTERNAL_TENANT, MemoryFilter(), limit=1, cursor=None)
    assert left.total == 0


async def test_a_part_that_hangs_fails_the_test_in_time(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs(*_: object) -> int:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(engine.store, "delete", hangs)
    checks = await selftest(engine, timeout=2).run()
    assert statuses(checks) == ["ok", "ok", "ok", "failed"]
    assert checks[-1].message == "the database or the search does not answer in time"


async def test_an_embedder_that_hangs_leaves_the_bank_ready_with_words_alone(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def hangs(_texts: Sequence[str]) -> Vector:
        await asyncio.Event().wait()
        raise AssertionError

    monkeypatch.setattr(engine.embedder, "embed", hangs)
    checks = await selftest(engine, timeout=10).run()
    assert statuses(checks) == ["degraded", "ok", "ok", "ok"]
    assert checks[0].message == "the embedding model does not answer in time"


async def test_an_embedder_whose_texts_are_cached_is_asked_for_others_now_and_then(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, gone = 0.0, False
    known: set[str] = set()
    embed = engine.embedder.embed

    async def caches(texts: Sequence[str]) -> Vector:
        if gone and not known.issuperset(texts):
            raise EmbedderUnavailable("the service is gone")
        known.update(texts)
        return await embed(texts)

    monkeypatch.setattr(engine.embedder, "embed", caches)
    test = SelfTest(engine.store, engine.embedder, engine.index, keep=5, clock=lambda: now)
    assert set(statuses(await test.run())) == {"ok"}
    asked = len(known)
    now, gone = 10.0, True
    assert set(statuses(await test.run())) == {"ok"}
    assert len(known) == asked, "not each time: it may have to be paid"
    now = 16.0
    assert statuses(await test.run()) == ["degraded", "ok", "ok", "ok"]
    now, gone = 22.0, False
    assert set(statuses(await test.run())) == {"ok"}, "at once when it is back"


async def test_an_index_that_forgets_nothing_fails(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    search = engine.index.search
    seen: list[tuple[str, float]] = []

    async def remembers(*arguments: object, **options: object) -> list[tuple[str, float]]:
        seen.extend(await search(*arguments, **options))  # type: ignore[arg-type]
        return seen

    monkeypatch.setattr(engine.index, "search", remembers)
    checks = await selftest(engine).run()
    assert statuses(checks) == ["ok", "ok", "ok", "failed"]
    assert checks[-1].message == "a memory that was deleted is still found"


async def test_an_index_that_finds_nothing_fails(
    engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def finds_nothing(*_: object, **__: object) -> list[tuple[str, float]]:
        return []

    monkeypatch.setattr(engine.index, "search", finds_nothing)
    checks = await selftest(engine).run()
    assert statuses(checks) == ["ok", "ok", "failed", "skipped"]
    assert checks[2].message == "a memory that was just stored is not found"
