"""What the canary says of services that do not do their job. The real service is in the
integration tests.

The server here misbehaves on purpose in ways that the real one cannot be brought to.
"""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from typing_extensions import override

from memorybank_operator import canary as module
from memorybank_operator.canary import (
    Canaries,
    CanaryFailed,
    NotYetInEffect,
    Prober,
    Proof,
    TakesNoChanges,
    Target,
    Unreachable,
)
from memorybank_operator.configfiles.in_effect import Configuration
from memorybank_operator.engine.cache import BankKey
from memorybank_operator.metrics import Metrics

BANK = BankKey("team", "agents")
KEY = "mb_" + "k" * 43
CONFIGURATION = Configuration(file="f1", secrets=(("admin_key_file", "s1"),))
IN_EFFECT: dict[str, Any] = {
    "file": "f1", "secrets": {"admin_key_file": "s1"}, "needs_restart": [], "problem": None
}  # fmt: skip

Handler = Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]


class Service:
    """A memory service whose answers can be replaced, by method and path."""

    def __init__(self) -> None:
        self.answers: dict[tuple[str, str], Handler] = {}
        self.requests: list[web.Request] = []
        self.callers: list[tuple[str, int]] = []
        """The other end of each request's connection."""
        self.memories: dict[str, str] = {}

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.requests.append(request)
        assert request.transport is not None
        self.callers.append(request.transport.get_extra_info("peername"))
        path = "/v1/memories/{id}" if request.path.startswith("/v1/memories/") else request.path
        replaced = self.answers.get((request.method, path))
        if replaced is not None:
            return await replaced(request)
        return await self._work(request, path)

    async def _work(self, request: web.Request, path: str) -> web.StreamResponse:
        match request.method, path:
            case "GET", "/ready":
                body = {"status": "ready", "version": "1.2", "revision": "r1", "checks": []}
                return web.json_response(body)
            case "GET", "/v1/admin/configuration":
                return web.json_response(IN_EFFECT)
            case "GET", "/v1/memories":
                return web.json_response({"memories": [{"id": each} for each in self.memories]})
            case "POST", "/v1/memories":
                name = f"m{len(self.requests)}"
                self.memories[name] = (await request.json())["content"]
                return web.json_response({"id": name}, status=201)
            case "POST", "/v1/search":
                results = [{"memory": {"id": each}, "score": 1.0} for each in self.memories]
                return web.json_response({"results": results})
            case "DELETE", _:
                self.memories.pop(request.path.rpartition("/")[2], None)
                return web.Response(status=204)
            case _:
                return web.Response(status=404)


def answering(status: int, body: Any) -> Handler:
    async def answer(_request: web.Request) -> web.StreamResponse:
        return web.json_response(body, status=status)

    return answer


async def text(_request: web.Request) -> web.StreamResponse:
    return web.Response(text="<html>welcome</html>")


async def silence(_request: web.Request) -> web.StreamResponse:
    await asyncio.Event().wait()
    raise AssertionError("unreachable")


@pytest.fixture
async def service() -> Service:
    return Service()


@pytest.fixture
async def target(service: Service) -> AsyncIterator[Target]:
    application = web.Application()
    application.router.add_route("*", "/{path:.*}", service.answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield Target(
        url="http://agents.team.svc:8080",
        connect_to=f"http://127.0.0.1:{runner.addresses[0][1]}",
        key=KEY,
        generation=3,
        revision="r1",
        configuration=CONFIGURATION,
        serving="pod",
    )
    await runner.cleanup()


async def failure(target: Target) -> str:
    with pytest.raises(CanaryFailed) as failed:
        await Prober().probe(target)
    assert KEY not in str(failed.value)
    return str(failed.value)


async def test_a_service_that_works_says_its_version(target: Target, service: Service) -> None:
    assert await Prober().probe(target) == Proof("1.2", schema_version=0)
    assert service.memories == {}


async def test_requests_name_the_services_host_and_hold_the_key(
    target: Target, service: Service
) -> None:
    await Prober().probe(target)
    assert {request.headers["Host"] for request in service.requests} == {"agents.team.svc:8080"}
    assert {request.headers["Authorization"] for request in service.requests} == {f"Bearer {KEY}"}


async def test_a_probe_speaks_with_one_pod_and_the_next_probe_with_whoever_serves_then(
    target: Target, service: Service
) -> None:
    await Prober().probe(target)
    first, service.callers = set(service.callers), []
    await Prober().probe(target)
    assert (len(first), len(set(service.callers)), len(first & set(service.callers))) == (1, 1, 0)


async def test_of_a_bank_that_follows_another_one_searches_are_proven_and_nothing_is_written(
    target: Target, service: Service
) -> None:
    await Prober().probe(replace(target, reads_only=True))
    asked = [(each.method, each.path) for each in service.requests]
    assert ("POST", "/v1/search") in asked
    assert {path for method, path in asked if method != "GET"} == {"/v1/search"}
    service.answers["POST", "/v1/search"] = text
    assert "POST /v1/search" in await failure(replace(target, reads_only=True))


async def test_nothing_is_left_in_the_trash(target: Target, service: Service) -> None:
    service.memories["old"] = "left"
    await Prober().probe(target)
    deletions = [request for request in service.requests if request.method == "DELETE"]
    assert [request.query.get("purge") for request in deletions] == ["true", "true"]


async def test_what_a_killed_probe_left_is_removed(target: Target, service: Service) -> None:
    service.memories["old"] = "left"
    await Prober().probe(target)
    assert service.memories == {}


async def test_a_pod_of_another_revision_proves_nothing(target: Target) -> None:
    message = await failure(replace(target, revision="r2"))
    assert message == "a pod of revision 'r1' answers, 'r2' is wanted"


async def test_a_service_that_is_not_ready_says_why(target: Target, service: Service) -> None:
    checks = [
        {"name": "embedder", "status": "ok"},
        {"name": "store", "status": "failed", "message": "disk full"},
    ]
    body = {"status": "not_ready", "checks": checks}
    service.answers["GET", "/ready"] = answering(503, body)
    assert await failure(target) == "the service is not ready: store: disk full"


async def test_a_service_that_is_ready_without_something_says_what(
    target: Target, service: Service
) -> None:
    checks = [
        {"name": "embedder", "status": "ok"},
        {"name": "search", "status": "degraded", "message": "Chroma answered 500"},
    ]
    body = {"status": "ready", "version": "1.2", "revision": "r1", "checks": checks}
    service.answers["GET", "/ready"] = answering(200, body)
    lacking = (("search", "Chroma answered 500"),)
    assert (await Prober().probe(target)).degraded == lacking
    service.answers["POST", "/v1/search"] = answering(500, {})
    with pytest.raises(CanaryFailed) as failed:
        await Prober().probe(target)
    assert failed.value.said is not None
    assert failed.value.said.degraded == lacking


async def test_a_search_that_finds_nothing_is_a_failure(target: Target, service: Service) -> None:
    service.answers["POST", "/v1/search"] = answering(200, {"results": []})
    assert "the search for it did not find it" in await failure(target)


@pytest.mark.parametrize(
    ("call", "path"),
    [("POST", "/v1/memories"), ("POST", "/v1/search"), ("DELETE", "/v1/memories/{id}")],
)
async def test_a_refusal_names_the_call_and_repeats_the_envelope(
    target: Target, service: Service, call: str, path: str
) -> None:
    body = {"error": {"code": "unauthorized", "message": "unknown key"}}
    service.answers[call, path] = answering(401, body)
    assert await failure(target) == f"{call} {path} answered 401: unknown key"


async def test_a_refusal_without_an_envelope_names_the_code(
    target: Target, service: Service
) -> None:
    service.answers["POST", "/v1/memories"] = answering(500, ["?"])
    assert await failure(target) == "POST /v1/memories answered 500"


async def test_another_program_behind_the_service_is_seen(target: Target, service: Service) -> None:
    service.answers["GET", "/ready"] = text
    assert await failure(target) == "GET /ready answered something else than JSON"


async def test_an_answer_of_another_shape_is_a_failure(target: Target, service: Service) -> None:
    service.answers["POST", "/v1/search"] = answering(200, {"hits": []})
    assert await failure(target) == f"{target.url} gave an answer without 'results'"


async def test_a_service_that_hangs_is_not_waited_for_forever(
    target: Target, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "REQUEST_SECONDS", 0.1)
    service.answers["POST", "/v1/search"] = silence
    assert await failure(target) == f"{target.url} did not answer in time"


async def test_nobody_there_is_said_the_same_way_each_time(
    target: Target, unused_tcp_port: int
) -> None:
    lonely = replace(target, connect_to=f"http://127.0.0.1:{unused_tcp_port}")
    message = await failure(lonely)
    assert message == f"{target.url} cannot be reached: Connection refused"


@pytest.mark.parametrize(
    ("status", "answer", "pending", "said"),
    [
        (200, IN_EFFECT | {"file": "f0"}, True, "the newest config.yaml yet"),
        (200, IN_EFFECT | {"secrets": {}}, True, "the newest admin_key_file yet"),
        (200, IN_EFFECT | {"file": "f0", "problem": "no YAML"}, True, "config.yaml yet: no YAML"),
        (401, {"error": {"message": "unknown"}}, True, "does not know the admin key yet"),
        (
            429,
            {"error": {"message": "too often"}},
            True,
            "is not known: GET /v1/admin/configuration",
        ),
        (500, {"error": {"message": "oh"}}, False, "answered 500: oh"),
        (200, IN_EFFECT | {"needs_restart": ["audit.enabled"]}, False, "by spec.restart"),
    ],
)
async def test_a_configuration_that_is_not_in_effect_is_told_from_one_that_never_will_be(
    target: Target, service: Service, status: int, answer: Any, pending: bool, said: str
) -> None:
    service.answers["GET", "/v1/admin/configuration"] = answering(status, answer)
    with pytest.raises(CanaryFailed) as failed:
        await Prober().probe(target)
    assert said in str(failed.value)
    assert isinstance(failed.value, NotYetInEffect) is pending
    assert service.memories == {}


async def test_a_service_that_takes_no_changes_is_good_for_what_its_revision_proves(
    target: Target, service: Service
) -> None:
    service.answers["GET", "/v1/admin/configuration"] = answering(404, {})
    with pytest.raises(TakesNoChanges, match="its pod is replaced for each of them"):
        await Prober().probe(target)
    by_revision = replace(target, configuration=replace(CONFIGURATION, by_revision=True))
    assert await Prober().probe(by_revision) == Proof("1.2", takes_changes=False)


async def test_what_a_revision_proves_is_not_asked_again(target: Target, service: Service) -> None:
    other = IN_EFFECT | {"file": "f0"}
    service.answers["GET", "/v1/admin/configuration"] = answering(200, other)
    by_revision = replace(target, configuration=replace(CONFIGURATION, by_revision=True))
    assert (await Prober().probe(by_revision)).takes_changes


def test_a_target_does_not_show_its_key() -> None:
    shown = Target(
        "u", "u", key=KEY, generation=1, revision="r", configuration=CONFIGURATION, serving="s"
    )
    assert KEY not in repr(shown)


class Scripted(Prober):
    """Fails as long as it is told to, and counts."""

    def __init__(self) -> None:
        self.problem = ""
        self.failure: type[CanaryFailed] = CanaryFailed
        self.probes: asyncio.Queue[Target] = asyncio.Queue()

    @override
    async def probe(self, target: Target) -> Proof:
        self.probes.put_nowait(target)
        if self.problem:
            raise self.failure(self.problem)
        return Proof("1.2")


class Watched:
    """Canaries with a short interval, and what they said changed."""

    def __init__(self) -> None:
        self.prober = Scripted()
        self.changes: asyncio.Queue[BankKey] = asyncio.Queue()
        self.canaries = Canaries(
            self.prober,
            interval=0.02,
            clock=time.monotonic,
            metrics=Metrics(),
            changed=self.changes.put_nowait,
            count=2,
            repeated_per_second=50.0,
        )


@pytest.fixture
async def watched() -> AsyncIterator[Watched]:
    made = Watched()
    made.canaries.workers.start()
    async with asyncio.timeout(60):
        yield made
    await made.canaries.workers.stop(0.0)


async def test_a_bank_is_probed_again_and_again_and_a_change_is_told_once(
    watched: Watched, target: Target
) -> None:
    watched.canaries.watch(BANK, target)
    assert await watched.changes.get() == BANK
    result = watched.canaries.result(BANK)
    assert result is not None
    assert (result.ok, result.generation, result.revision, result.serving, result.version) == (
        True, 3, "r1", "pod", "1.2",
    )  # fmt: skip
    for _ in range(4):
        await watched.prober.probes.get()
    assert watched.changes.empty()
    watched.prober.problem = "it broke"
    await watched.changes.get()
    result = watched.canaries.result(BANK)
    assert result is not None
    assert (result.ok, result.message) == (False, "it broke")


async def test_a_crowd_of_banks_that_are_well_is_probed_ever_more_rarely(target: Target) -> None:
    told: asyncio.Queue[BankKey] = asyncio.Queue()
    crowd = Canaries(
        Scripted(), interval=2.0, clock=lambda: 0.0, metrics=Metrics(),
        changed=told.put_nowait, count=2, repeated_per_second=5.0,
    )  # fmt: skip
    for number in range(5):
        crowd.watch(BankKey("team", f"few-{number}"), target)
    crowd.workers.start()
    async with asyncio.timeout(60):
        for _ in range(5):
            await told.get()
        few = crowd.workers.queue.next_due()
        for number in range(95):
            crowd.watch(BankKey("team", f"many-{number}"), target)
        for _ in range(95):
            await told.get()
    await crowd.workers.stop(0.0)
    assert few is not None
    assert 1.8 <= few <= 2.0
    many = [due for due, *_ in crowd.workers.queue._delayed if due > 2.0]
    assert len(many) == 95
    assert all(18.0 <= due <= 20.0 for due in many)


async def test_another_target_is_probed_at_once(watched: Watched, target: Target) -> None:
    watched.canaries.watch(BANK, target)
    await watched.changes.get()
    watched.canaries.watch(BANK, replace(target, generation=4))
    await watched.changes.get()
    result = watched.canaries.result(BANK)
    assert result is not None
    assert result.generation == 4


async def test_a_pod_that_has_still_to_read_a_change_is_asked_again_soon(
    watched: Watched, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "PENDING_INTERVAL", 0.01)
    watched.prober.failure, watched.prober.problem = NotYetInEffect, "not yet"
    watched.canaries.watch(BANK, target)
    await watched.changes.get()
    result = watched.canaries.result(BANK)
    assert result is not None
    assert (result.ok, result.pending, result.message) == (False, True, "not yet")
    watched.prober.problem = ""
    await watched.changes.get()
    result = watched.canaries.result(BANK)
    assert result is not None
    assert (result.ok, result.pending) == (True, False)
    assert result.configuration == CONFIGURATION.fingerprint


async def test_a_new_pod_that_the_service_does_not_lead_to_yet_is_no_failure(
    watched: Watched, target: Target
) -> None:
    watched.prober.failure, watched.prober.problem = Unreachable, "refused"
    watched.canaries.watch(BANK, target)
    for _ in range(2):
        await watched.prober.probes.get()
    assert watched.canaries.result(BANK) is None
    watched.prober.problem = ""
    await watched.changes.get()
    result = watched.canaries.result(BANK)
    assert result is not None
    assert result.ok


async def test_a_service_that_never_leads_to_the_pod_is_a_failure(
    watched: Watched, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLE_SECONDS", 0.3)
    watched.prober.failure, watched.prober.problem = Unreachable, "refused"
    watched.canaries.watch(BANK, target)
    await watched.changes.get()
    result = watched.canaries.result(BANK)
    assert result is not None
    assert (result.ok, result.message) == (False, "refused")


async def test_a_connection_that_nobody_answers_is_no_contact(
    target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "CONNECT_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full:
        # With its queue full, the kernel drops what comes.
        address = full.getsockname()
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(address)
        with pytest.raises(Unreachable, match="no answer in time"):
            await Prober().probe(replace(target, connect_to=f"http://127.0.0.1:{address[1]}"))
        for each in waiting:
            each.close()


async def test_a_pod_that_was_reached_and_is_not_any_more_is_a_failure_at_once(
    watched: Watched, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "SETTLE_SECONDS", 1000.0)
    watched.canaries.watch(BANK, target)
    await watched.changes.get()
    watched.prober.failure, watched.prober.problem = Unreachable, "refused"
    await watched.changes.get()
    result = watched.canaries.result(BANK)
    assert result is not None
    assert not result.ok


async def test_a_forgotten_bank_has_no_result_and_is_left_alone(
    watched: Watched, target: Target
) -> None:
    watched.canaries.watch(BANK, target)
    await watched.changes.get()
    watched.canaries.forget(BANK)
    assert watched.canaries.result(BANK) is None
    other = BankKey("team", "other")
    watched.canaries.watch(other, replace(target, serving="other"))
    while (await watched.prober.probes.get()).serving != "other":
        pass
    for _ in range(3):
        assert (await watched.prober.probes.get()).serving == "other"


async def test_an_old_result_proves_nothing(
    watched: Watched, target: Target, monkeypatch: pytest.MonkeyPatch
) -> None:
    watched.canaries.watch(BANK, target)
    await watched.changes.get()
    await watched.canaries.workers.stop(1.0)

    class Tomorrow(datetime):
        @classmethod
        @override
        def now(cls, tz: Any = None) -> Tomorrow:
            real = datetime.now(UTC) + timedelta(days=1)
            return cls.fromtimestamp(real.timestamp(), UTC)

    monkeypatch.setattr(module, "datetime", Tomorrow)
    assert watched.canaries.result(BANK) is None


async def test_the_first_result_is_awaited_until_it_is_there(target: Target) -> None:
    watched = Watched()
    assert not watched.canaries.awaits_first(BANK)
    watched.canaries.watch(BANK, target)
    assert watched.canaries.awaits_first(BANK)
    watched.canaries.workers.start()
    async with asyncio.timeout(60):
        await watched.changes.get()
    assert not watched.canaries.awaits_first(BANK)
    await watched.canaries.workers.stop(0.0)
