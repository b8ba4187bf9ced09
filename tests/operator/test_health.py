"""The probes look at progress, and say what has none."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from memorybank_operator import health as module
from memorybank_operator.engine.cache import BankKey, Cache
from memorybank_operator.engine.queue import KeyedQueue, Priority
from memorybank_operator.engine.streams import Streams
from memorybank_operator.engine.waves import Waves
from memorybank_operator.health import Health
from memorybank_operator.kube import kinds
from memorybank_operator.kube.watching import streams
from memorybank_operator.metrics import Metrics

BANK = BankKey("team", "agents")
Http = TestClient[web.Request, web.Application]


class Fixture:
    def __init__(self) -> None:
        self.now = 1000.0
        (self.stream,) = streams((kinds.SECRET,), ("team",))
        self.streams = Streams(
            (self.stream,), cache=Cache(), affected=lambda _: None, clock=self.clock
        )
        self.queue: KeyedQueue[BankKey] = KeyedQueue(self.clock)
        self.metrics = Metrics()
        self.waves = Waves(1, wake=lambda _: None, underway=lambda: ())
        self.leading = True
        self.metrics.observe(
            {"banks": self.queue}, self.streams, self.waves, leads=lambda: self.leading
        )
        health = Health(self.streams, {"banks": self.queue}, is_working=lambda: self.leading)
        self.application = module.application(health, self.metrics.registry)

    def clock(self) -> float:
        return self.now


@pytest.fixture
def it() -> Fixture:
    return Fixture()


@pytest.fixture
async def http(it: Fixture) -> AsyncIterator[Http]:
    async with TestClient(TestServer(it.application)) as client:
        yield client


async def get(http: Http, path: str) -> tuple[int, str]:
    response = await http.get(path)
    return response.status, await response.text()


async def test_an_idle_operator_is_healthy(it: Fixture, http: Http) -> None:
    it.streams.begin()
    it.now += module.SILENCE_SECONDS
    it.streams.alive(it.stream)
    it.now += module.SILENCE_SECONDS
    assert await get(http, "/healthz") == (200, "ok\n")


async def test_a_silent_watch_is_named(it: Fixture, http: Http) -> None:
    it.streams.begin()
    it.now += module.SILENCE_SECONDS + 1
    assert await get(http, "/healthz") == (503, "watch of secrets in team: no answer for 151 s\n")


async def test_before_the_watches_start_nothing_is_silent(it: Fixture, http: Http) -> None:
    it.now += 10_000
    assert await get(http, "/healthz") == (200, "ok\n")


async def test_a_queue_that_stands_still_is_named(it: Fixture, http: Http) -> None:
    it.queue.add(BANK, Priority.USER)
    it.now += module.STUCK_SECONDS + 1
    status, text = await get(http, "/healthz")
    assert (status, text) == (503, "queue of banks: nothing finished for 181 s\n")


async def test_whoever_waits_to_lead_may_let_its_queue_grow(it: Fixture, http: Http) -> None:
    it.leading = False
    it.queue.add(BANK, Priority.USER)
    it.now += module.STUCK_SECONDS + 1
    assert await get(http, "/healthz") == (200, "ok\n")
    it.queue.begin()
    it.leading = True
    it.now += 1
    assert await get(http, "/healthz") == (200, "ok\n")


async def test_a_single_stuck_reconcile_is_seen_though_others_finish(
    it: Fixture,
    http: Http,
) -> None:
    it.queue.add(BANK, Priority.USER)
    it.queue.take()
    it.now += module.STUCK_SECONDS + 1
    it.queue.add(BankKey("team", "other"), Priority.USER)
    it.queue.take()
    it.queue.done(BankKey("team", "other"))
    assert await get(http, "/healthz") == (503, "queue of banks: one runs for 181 s\n")


async def test_ready_means_that_everything_is_known(it: Fixture, http: Http) -> None:
    assert await get(http, "/readyz") == (503, "not listed yet: secrets in team\n")
    it.streams.listed(it.stream, frozenset({"u"}), resource_version=1)
    assert await get(http, "/readyz") == (200, "ok\n")


async def test_what_waits_for_another_replica_is_not_told_as_old(it: Fixture, http: Http) -> None:
    it.leading = False
    it.queue.add(BANK, Priority.USER)
    it.now += 1000
    _, text = await get(http, "/metrics")
    assert 'memorybank_operator_queue_oldest_seconds{queue="banks"} 0.0' in text
    assert 'memorybank_operator_queue_depth{priority="user",queue="banks"} 0.0' in text
    it.leading = True
    _, text = await get(http, "/metrics")
    assert 'memorybank_operator_queue_oldest_seconds{queue="banks"} 1000.0' in text


async def test_metrics_show_queue_watch_banks_and_version(it: Fixture, http: Http) -> None:
    it.streams.begin()
    it.now += 5
    it.queue.add(BANK, Priority.USER)
    it.now += 2
    it.metrics.bank_is(BANK, "True", backup="False", copies="False")
    it.metrics.write("apply", "Deployment")
    status, text = await get(http, "/metrics")
    assert status == 200
    for line in (
        'memorybank_operator_queue_depth{priority="user",queue="banks"} 1.0',
        'memorybank_operator_queue_oldest_seconds{queue="banks"} 2.0',
        'memorybank_operator_watch_age_seconds{stream="secrets in team"} 7.0',
        'memorybank_operator_banks{ready="True"} 1.0',
        'memorybank_operator_banks{ready="False"} 0.0',
        'memorybank_operator_backups{healthy="False"} 1.0',
        'memorybank_operator_backups{healthy="True"} 0.0',
        'memorybank_operator_backup_copies{healthy="False"} 1.0',
        'memorybank_operator_backup_copies{healthy="True"} 0.0',
        'memorybank_operator_api_writes_total{kind="Deployment",verb="apply"} 1.0',
        'memorybank_operator_build_info{version="0.1.0"} 1.0',
        "process_resident_memory_bytes",
    ):
        assert line in text
    it.metrics.bank_is(BANK, "True", backup=None)
    assert 'backups{healthy="False"} 0.0' in (await get(http, "/metrics"))[1]
    assert 'copies{healthy="False"} 0.0' in (await get(http, "/metrics"))[1]
    it.metrics.bank_is(BANK, "True", backup="True")
    it.metrics.bank_is_gone(BANK)
    assert 'backups{healthy="True"} 0.0' in (await get(http, "/metrics"))[1]
    assert 'banks{ready="True"} 0.0' in (await get(http, "/metrics"))[1]


async def test_metrics_show_conditions_and_ends_of_keys_for_as_long_as_they_are(
    it: Fixture, http: Http
) -> None:
    condition = {"type": "Ready", "status": "False", "reason": "CanaryFailed"}
    it.metrics.bank_measures(BANK, {"conditions": [condition]})
    it.metrics.keys_end(BANK, {"agent": datetime(2027, 1, 1, tzinfo=UTC)})
    bank = f'bank="{BANK.name}"'
    _, text = await get(http, "/metrics")
    shown = f'{bank},condition="Ready",namespace="{BANK.namespace}",reason="CanaryFailed"'
    assert f'bank_condition{{{shown},status="False"}} 1.0' in text
    assert f'key_expires_timestamp_seconds{{{bank},key="agent"' in text
    assert "1.7987616e+09" in text
    it.metrics.keys_end(BANK, {})
    it.metrics.bank_is_gone(BANK)
    assert bank not in (await get(http, "/metrics"))[1]


def test_metric_names_have_our_prefix_and_their_unit(it: Fixture) -> None:
    for metric in it.metrics.registry.collect():
        if not metric.name.startswith(("process_",)):
            assert metric.name.startswith("memorybank_operator_")
            assert metric.documentation.endswith(".")
            if metric.type == "histogram":
                assert metric.name.endswith("_seconds")


async def test_what_work_cannot_begin_without_is_named(it: Fixture) -> None:
    lacking = ["the defaults are refused"]
    health = Health(
        it.streams, {"banks": it.queue}, is_working=lambda: False, lacking=lambda: lacking[0]
    )
    assert "the defaults are refused" in health.unready()
    lacking[0] = ""
    it.streams.listed(it.stream, frozenset(), resource_version=1)
    assert health.unready() == []
