"""What passes through kopf's session is taken out; what reaches kopf is how far it got."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from memorybank_operator.kube import kinds, watching
from memorybank_operator.kube.watching import Stream, WatchObserver, streams

(SECRETS,) = streams((kinds.SECRET,), ("team",))
PATH = "/api/v1/namespaces/team/secrets"
BOOKMARK = {
    "type": "BOOKMARK",
    "object": {"kind": "Secret", "metadata": {"resourceVersion": "8"}},
}
BOOKMARKS = (json.dumps(BOOKMARK) + "\n").encode() * 2
SECRET = {"kind": "Secret", "metadata": {"uid": "a", "resourceVersion": "9"}}


def event(kind: str, **more: Any) -> bytes:
    return json.dumps({"type": kind, "object": SECRET | more}).encode() + b"\n"


AFTER = {
    "true": b"",
    "events": event("ADDED") + event("DELETED"),
    "unreadable": b"<html>\n" + event("ADDED"),
    "torn": b'{"type":"ADDED","object":{"meta',
    "failed": b'{"type":"ERROR","object":{"kind":"Status","code":500}}\n{"type":"ADDED"}\n',
    "too old": b'{"object":{"kind":"Status","code":410},"type": "ERROR"}\n',
    "lookalike": event("ADDED", x={"type": "ERROR"}),
}
"""How a watch ends."""


class Heard:
    """Remembers what it is told."""

    observer: WatchObserver

    def __init__(self) -> None:
        self.listings: list[tuple[str, set[str], int]] = []
        self.events: list[tuple[str | None, str, str]] = []
        self.signs_of_life = 0
        self.lost: asyncio.Future[Stream] = asyncio.get_running_loop().create_future()

    def take(self, event: dict[str, Any]) -> None:
        body = event["object"]
        self.events.append((event["type"], body["kind"], body["metadata"]["uid"]))
        if body["metadata"]["uid"] == "broken":
            raise ValueError("broken")

    def listed(self, stream: Stream, uids: frozenset[str], *, resource_version: int) -> None:
        self.listings.append((str(stream), set(uids), resource_version))

    async def turn(self, stream: Stream) -> None:
        assert stream == SECRETS

    def alive(self, stream: Stream) -> None:
        assert stream == SECRETS
        self.signs_of_life += 1

    def gone(self, stream: Stream) -> None:
        self.lost.set_result(stream)


def page(*uids: str, more: str = "", version: str = "7") -> dict[str, Any]:
    items = [{"metadata": {"uid": uid}} for uid in uids]
    return {"metadata": {"resourceVersion": version, "continue": more}, "items": items}


async def answer(request: web.Request) -> web.StreamResponse:
    if request.query.get("continue") == "cut refusal":
        return await cut_refusal(request)
    if request.query.get("watch") == "refused":
        return refusal(410)
    if request.query.get("watch"):
        stream = web.StreamResponse()
        await stream.prepare(request)
        for _ in range(2):
            await stream.write(BOOKMARKS[: len(BOOKMARKS) // 2])
        if request.query["watch"] == "endless":
            await asyncio.Event().wait()
        await stream.write(AFTER[request.query["watch"]])
        return stream
    return PAGES.get(request.query.get("continue", ""), gone)()


async def cut_refusal(request: web.Request) -> web.StreamResponse:
    """Refuse in words that break off."""
    response = web.StreamResponse(status=500, headers={"Content-Length": "100"})
    await response.prepare(request)
    await response.write(b'{"kind":')
    assert request.transport is not None
    request.transport.close()
    return response


def refusal(code: int) -> web.Response:
    return web.json_response({"kind": "Status"}, status=code)


def gone() -> web.Response:
    return refusal(404)


PAGES: dict[str, Callable[[], web.Response]] = {
    "": lambda: web.json_response(page("a", "b", more="next")),
    "next": lambda: web.json_response(page("c")),
    "busy": lambda: web.Response(
        status=429, headers={"Retry-After": "Sat, 21 Nov 2026 15:00:00 GMT"}
    ),
    "broken": lambda: web.json_response(page("broken", "c")),
    "forbidden": lambda: refusal(403),
    "expired": lambda: refusal(410),
    "html": lambda: web.Response(text="<html>", content_type="text/html"),
    "torn": lambda: web.Response(text='{"metadata": {"res', content_type="application/json"),
}


@pytest.fixture
async def heard() -> Heard:
    return Heard()


@pytest.fixture
async def session(heard: Heard) -> AsyncIterator[aiohttp.ClientSession]:
    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server = f"http://127.0.0.1:{runner.addresses[0][1]}"
    heard.observer = WatchObserver(server, (SECRETS,), heard, heard.take)
    async with aiohttp.ClientSession(server, middlewares=(heard.observer,)) as opened:
        yield opened
    await runner.cleanup()


async def test_a_listing_is_taken_page_by_page_and_told_when_its_last_one_is_there(
    session: aiohttp.ClientSession, heard: Heard
) -> None:
    async with session.get(PATH) as first:
        assert await first.json() == {"metadata": {"resourceVersion": "7", "continue": "next"}}
    assert heard.listings == []
    assert heard.events == [(None, "Secret", "a"), (None, "Secret", "b")]
    await session.get(f"{PATH}?continue=next")
    assert heard.listings == [("secrets in team", {"a", "b", "c"}, 7)]
    assert heard.events[2:] == [(None, "Secret", "c")]


async def test_an_object_that_nobody_expects_stops_no_others(
    session: aiohttp.ClientSession, heard: Heard, caplog: pytest.LogCaptureFixture
) -> None:
    await session.get(f"{PATH}?continue=broken")
    assert [uid for _, _, uid in heard.events] == ["broken", "c"]
    assert [uids for _, uids, _ in heard.listings] == [{"broken", "c"}]
    assert "a bug of this operator" in caplog.text


async def test_the_events_of_a_watch_are_taken_and_kopf_is_told_from_where_to_go_on(
    session: aiohttp.ClientSession, heard: Heard
) -> None:
    async with session.get(PATH, params={"watch": "events"}) as stream:
        content = b"".join([chunk async for chunk in stream.content.iter_chunked(2**20)])
    assert heard.events == [("ADDED", "Secret", "a"), ("DELETED", "Secret", "a")]
    last = json.loads(content.splitlines()[-1])
    assert last == {
        "type": "BOOKMARK", "object": {"kind": "Secret", "metadata": {"resourceVersion": "9"}}
    }  # fmt: skip


async def test_a_watch_whose_session_is_closed_before_it_is_read_has_broken(
    session: aiohttp.ClientSession,
) -> None:
    """As kopf closes one whose credentials were refused to another of its requests."""
    async with session.get(PATH, params={"watch": "endless"}) as stream:
        await session.close()
        with pytest.raises(aiohttp.ClientConnectionError):
            [chunk async for chunk in stream.content.iter_chunked(2**20)]


async def test_a_listing_that_begins_anew_forgets_the_pages_of_the_one_before(
    session: aiohttp.ClientSession, heard: Heard
) -> None:
    await session.get(PATH)
    await session.get(PATH)
    await session.get(f"{PATH}?continue=next")
    assert len(heard.listings) == 1
    assert heard.listings[0][1] == {"a", "b", "c"}


async def test_each_chunk_of_a_watch_is_a_sign_of_life(
    session: aiohttp.ClientSession, heard: Heard
) -> None:
    async with session.get(f"{PATH}?watch=true&resourceVersion=7") as stream:
        assert heard.signs_of_life == 1
        content = b"".join([chunk async for chunk in stream.content.iter_chunked(2**20)])
    assert set(content.splitlines()) == {BOOKMARKS.splitlines()[0]}
    assert heard.signs_of_life > 1
    assert heard.listings == []


async def test_a_refusal_is_no_sign_of_life(session: aiohttp.ClientSession, heard: Heard) -> None:
    await session.get(f"{PATH}?continue=forbidden")
    assert heard.signs_of_life == 0


async def test_other_requests_pass_unheard(session: aiohttp.ClientSession, heard: Heard) -> None:
    await session.get("/api/v1/namespaces/other/secrets")
    await session.get(f"{PATH}/one")
    assert heard.signs_of_life == 0


@pytest.mark.parametrize("path", [PATH, "/api/v1"])
async def test_who_is_asked_to_come_back_at_a_date_asks_again_by_the_usual_backoff(
    session: aiohttp.ClientSession, path: str
) -> None:
    with pytest.raises(aiohttp.ClientConnectionError, match="429"):
        await session.get(f"{path}?continue=busy")


@pytest.mark.parametrize("page", ["html", "torn", "cut refusal"])
async def test_a_broken_answer_to_another_question_is_asked_for_again(
    session: aiohttp.ClientSession, page: str
) -> None:
    with pytest.raises(aiohttp.ClientConnectionError):
        await session.get(f"/api/v1?continue={page}")


async def test_a_kind_that_is_not_served_any_more_is_told_and_kopf_is_kept_waiting(
    session: aiohttp.ClientSession, heard: Heard
) -> None:
    request = asyncio.create_task(session.get(f"{PATH}?continue=gone"))
    async with asyncio.timeout(60):
        assert await heard.lost == SECRETS
    assert not request.done()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request


async def test_watches_can_be_cut_off(session: aiohttp.ClientSession, heard: Heard) -> None:
    endless = await session.get(f"{PATH}?watch=endless")
    heard.observer.abort()
    with pytest.raises(aiohttp.ClientError):
        await endless.read()


async def events(session: aiohttp.ClientSession, watch: str) -> list[tuple[str, int | None]]:
    """Return type and code of each event of a watch, as kopf reads them."""
    async with session.get(PATH, params={"watch": watch}) as stream:
        assert stream.status == 200
        content = b"".join([chunk async for chunk in stream.content.iter_chunked(2**20)])
    lines = [json.loads(line) for line in content.splitlines()]
    return [(line["type"], line.get("object", {}).get("code")) for line in lines]


@pytest.mark.parametrize(
    ("watch", "ends"),
    [
        ("torn", []),
        ("failed", [("ERROR", 410)]),
        ("too old", [("ERROR", 410)]),
        ("unreadable", [("ERROR", 410)]),
        ("lookalike", []),
    ],
)
async def test_what_would_end_kopf_only_makes_it_begin_anew(
    session: aiohttp.ClientSession, watch: str, ends: list[tuple[str, int | None]]
) -> None:
    seen = await events(session, watch)
    assert [each for each in seen if each[0] != "BOOKMARK"] == ends


async def test_a_watch_that_is_refused_begins_with_a_new_listing(
    session: aiohttp.ClientSession,
) -> None:
    assert await events(session, "refused") == [("ERROR", 410)]


@pytest.mark.parametrize("page", ["expired", "html", "torn"])
async def test_a_listing_that_cannot_go_on_begins_anew(
    session: aiohttp.ClientSession, heard: Heard, page: str
) -> None:
    with pytest.raises(aiohttp.ClientPayloadError):
        await session.get(f"{PATH}?continue={page}")
    assert heard.listings == []


async def test_streams_that_end_at_once_are_opened_ever_more_slowly(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "OPENED_PER_SECOND", 20.0)
    loop = asyncio.get_running_loop()
    started = loop.time()
    for _ in range(16):
        await events(session, "true")
    # Six at once, then twenty a second.
    assert loop.time() - started >= 0.45


async def test_who_waits_for_a_turn_while_the_session_is_replaced_takes_the_new_one(
    session: aiohttp.ClientSession, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watching, "OPENED_BURST", 0.0)
    monkeypatch.setattr(watching, "OPENED_PER_SECOND", 20.0)
    waiting = asyncio.create_task(session.get(PATH))
    await asyncio.sleep(0)  # it begins to wait for its turn
    await session.close()  # as kopf does after a 401
    with pytest.raises(RuntimeError, match="session was closed"):
        await waiting
