"""The operator's client says to a real API server what it promises."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from e2e.cluster.apiserver import ApiServer
from memorybank_operator.kube import connection as connections
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import NO_ANSWER, KubeClient
from memorybank_operator.kube.connection import Connection, Token


def config_map(namespace: str, data: dict[str, str], **metadata: Any) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "words", "namespace": namespace, **metadata},
        "data": data,
    }


async def test_an_applied_object_has_our_fields_and_keeps_others(
    client: KubeClient, namespace: str
) -> None:
    await client.apply(config_map(namespace, {"ours": "1"}))
    await client.merge(
        kinds.CONFIG_MAP, namespace, name="words", changes={"data": {"ours": "2", "theirs": "3"}}
    )
    answer = await client.apply(config_map(namespace, {"ours": "1"}))
    assert answer["data"] == {"ours": "1", "theirs": "3"}
    assert answer == await client.get(kinds.CONFIG_MAP, namespace, "words")


async def test_a_field_we_no_longer_apply_goes(client: KubeClient, namespace: str) -> None:
    await client.apply(config_map(namespace, {"a": "1", "b": "2"}))
    assert (await client.apply(config_map(namespace, {"a": "1"})))["data"] == {"a": "1"}


async def test_applying_the_same_again_changes_no_version(
    client: KubeClient, namespace: str
) -> None:
    first = await client.apply(config_map(namespace, {"a": "1"}))
    second = await client.apply(config_map(namespace, {"a": "1"}))
    assert first["metadata"]["resourceVersion"] == second["metadata"]["resourceVersion"]


async def test_create_leaves_what_exists_as_it_is(client: KubeClient, namespace: str) -> None:
    await client.create(config_map(namespace, {"a": "1"}))
    with pytest.raises(errors.Conflict, match=r"create ConfigMap words: .*already exists"):
        await client.create(config_map(namespace, {"a": "2"}))
    found = await client.get(kinds.CONFIG_MAP, namespace, "words")
    assert found is not None
    assert found["data"] == {"a": "1"}


async def test_only_the_object_with_that_uid_is_deleted(client: KubeClient, namespace: str) -> None:
    first = await client.create(config_map(namespace, {}))
    with pytest.raises(errors.Conflict):
        await client.delete(kinds.CONFIG_MAP, namespace, name="words", uid="another")
    uid = first["metadata"]["uid"]
    assert await client.delete(kinds.CONFIG_MAP, namespace, name="words", uid=uid) is None
    assert await client.get(kinds.CONFIG_MAP, namespace, "words") is None
    with pytest.raises(errors.NotFound):
        await client.delete(kinds.CONFIG_MAP, namespace, name="words", uid=uid)


async def test_an_object_that_waits_for_a_finalizer_is_returned(
    client: KubeClient, namespace: str
) -> None:
    body = config_map(namespace, {}, finalizers=["example.org/hold"])
    uid = (await client.create(body))["metadata"]["uid"]
    waiting = await client.delete(kinds.CONFIG_MAP, namespace, name="words", uid=uid)
    assert waiting is not None
    assert waiting["metadata"]["deletionTimestamp"]


async def test_a_body_the_server_will_never_take_is_invalid(
    client: KubeClient, namespace: str
) -> None:
    with pytest.raises(errors.Invalid, match=r"apply ConfigMap words: .*Invalid value: \"-x\""):
        await client.apply(config_map(namespace, {}, labels={"-x": "y"}))


async def test_a_refused_secret_is_named_and_its_content_is_not(
    client: KubeClient, namespace: str
) -> None:
    body = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": "hidden", "namespace": namespace, "labels": {"a": "open sesame"}},
    }
    with pytest.raises(errors.Invalid) as refused:
        await client.apply(body)
    assert str(refused.value) == "apply Secret hidden: Invalid (metadata.labels)"


async def test_a_namespace_that_is_not_there_is_not_found(client: KubeClient) -> None:
    with pytest.raises(errors.NotFound, match='namespaces "nowhere" not found'):
        await client.apply(config_map("nowhere", {}))


async def test_a_missing_permission_is_forbidden(api_server: ApiServer, tmp_path: Any) -> None:
    file = tmp_path / "visitor"
    file.write_text(api_server.kubeconfig_for("visitor", "visitors"))
    visitor = connections.from_kubeconfig(file)
    async with visitor.session() as session:
        client = KubeClient(session, visitor.server, field_manager="visitor")
        with pytest.raises(errors.Forbidden, match='User "visitor" cannot patch'):
            await client.apply(config_map("default", {}))


async def test_an_unknown_token_is_unauthorized_and_may_be_retried(connection: Connection) -> None:
    stranger = Connection(connection.server, ssl.create_default_context(), Token(value="wrong"))
    stranger.ssl.load_verify_locations(cadata=_authority(connection))
    async with stranger.session() as session:
        client = KubeClient(session, stranger.server, field_manager="stranger")
        with pytest.raises(errors.Unauthorized):
            await client.get(kinds.CONFIG_MAP, "default", "words")


def _authority(connection: Connection) -> bytes:
    return connection.ssl.get_ca_certs(binary_form=True)[0]


async def test_each_write_that_was_taken_is_counted_and_no_other(
    connection: Connection, namespace: str
) -> None:
    writes: list[tuple[str, str]] = []
    async with connection.session() as session:
        client = KubeClient(
            session, connection.server,
            field_manager="memorybank-operator", on_write=lambda *write: writes.append(write),
        )  # fmt: skip
        await client.get(kinds.CONFIG_MAP, namespace, "words")
        made = await client.apply(config_map(namespace, {"a": "1"}))
        with pytest.raises(errors.Conflict):
            await client.create(config_map(namespace, {}))
        uid = made["metadata"]["uid"]
        await client.delete(kinds.CONFIG_MAP, namespace, name="words", uid=uid)
    assert writes == [("apply", "ConfigMap"), ("delete", "ConfigMap")]


async def test_each_request_is_counted_with_its_answer(
    connection: Connection, namespace: str
) -> None:
    answers: list[tuple[str, str, str]] = []
    async with connection.session() as session:
        client = KubeClient(
            session, connection.server,
            field_manager="memorybank-operator", on_answer=lambda *told: answers.append(told[:3]),
        )  # fmt: skip
        assert await client.get(kinds.CONFIG_MAP, namespace, "words") is None
        await client.apply(config_map(namespace, {"a": "1"}))
        with pytest.raises(errors.Conflict):
            await client.create(config_map(namespace, {}))
        await client.named(kinds.CONFIG_MAP, namespace, "words")
    assert answers == [
        ("get", "ConfigMap", "404"),
        ("apply", "ConfigMap", "201"),
        ("create", "ConfigMap", "409"),
        ("list", "ConfigMap", "200"),
    ]


async def test_a_request_that_nobody_answers_is_counted_as_such(unused_tcp_port: int) -> None:
    answers: list[tuple[str, str, str]] = []
    async with aiohttp.ClientSession() as session:
        client = KubeClient(
            session, f"http://127.0.0.1:{unused_tcp_port}",
            field_manager="m", on_answer=lambda *told: answers.append(told[:3]),
        )  # fmt: skip
        with pytest.raises(errors.Unreachable):
            await client.get(kinds.CONFIG_MAP, "default", "words")
    assert answers == [("get", "ConfigMap", NO_ANSWER)]


async def test_a_server_that_is_not_there_is_unreachable(unused_tcp_port: int) -> None:
    async with aiohttp.ClientSession() as session:
        client = KubeClient(session, f"http://127.0.0.1:{unused_tcp_port}", field_manager="m")
        with pytest.raises(errors.Unreachable, match="get ConfigMap words: "):
            await client.get(kinds.CONFIG_MAP, "default", "words")


@pytest.fixture
async def busy_server() -> AsyncIterator[str]:
    """An API server's front that is overloaded: the real one cannot be made so at will."""

    async def answer(request: web.Request) -> web.Response:
        if request.path.endswith("slow"):
            await asyncio.Event().wait()
        return web.Response(status=429, headers={"Retry-After": "3"}, text="too many requests")

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


async def test_an_overloaded_server_is_left_alone_as_long_as_it_asks(busy_server: str) -> None:
    async with aiohttp.ClientSession() as session:
        client = KubeClient(session, busy_server, field_manager="m")
        with pytest.raises(errors.Overloaded) as refused:
            await client.get(kinds.CONFIG_MAP, "default", "words")
    assert refused.value.retry_after == 3.0


async def test_no_answer_is_not_waited_for_forever(busy_server: str) -> None:
    async with aiohttp.ClientSession() as session:
        client = KubeClient(session, busy_server, field_manager="m", request_seconds=0.2)
        with pytest.raises(errors.Unreachable, match=r"no answer within 0\.2 s"):
            await client.get(kinds.CONFIG_MAP, "default", "slow")


async def test_a_watch_by_name_tells_of_one_object_alone(
    client: KubeClient, namespace: str
) -> None:
    await client.create(config_map(namespace, {"a": "1"}))
    await client.create(config_map(namespace, {"a": "1"}, name="others"))
    listing = await client.named(kinds.CONFIG_MAP, namespace, "words")
    assert [each["metadata"]["name"] for each in listing["items"]] == ["words"]
    await client.apply(config_map(namespace, {"b": "2"}, name="others"))
    await client.apply(config_map(namespace, {"b": "2"}))
    uid = listing["items"][0]["metadata"]["uid"]
    await client.delete(kinds.CONFIG_MAP, namespace, name="words", uid=uid)
    events = client.watch_named(
        kinds.CONFIG_MAP, namespace, "words", since=listing["metadata"]["resourceVersion"]
    )
    async with contextlib.aclosing(events), asyncio.timeout(30):
        seen = [await anext(events) for _ in range(2)]
    assert [(each["type"], each["object"]["metadata"]["name"]) for each in seen] == [
        ("MODIFIED", "words"),
        ("DELETED", "words"),
    ]


async def test_a_watch_that_cannot_begin_there_says_so(client: KubeClient, namespace: str) -> None:
    events = client.watch_named(kinds.CONFIG_MAP, namespace, "words", since="never")
    with pytest.raises(errors.KubeError, match="watch ConfigMap words: "):
        await anext(events)


@pytest.fixture
async def ending_server() -> AsyncIterator[str]:
    """An API server's front whose watches end in a bad way: the real one's cannot be made so."""

    async def answer(request: web.Request) -> web.Response:
        first = '{"type": "ADDED", "object": {}}\n'
        if request.query["resourceVersion"] == "1":
            return web.Response(text=first + '{"type": "MODI\n')
        over = '{"type": "ERROR", "object": {"code": 410, "message": "too old resource version"}}'
        return web.Response(text=f"{first}{over}\n")

    application = web.Application()
    application.router.add_get("/{path:.*}", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    yield f"http://127.0.0.1:{runner.addresses[0][1]}"
    await runner.cleanup()


@pytest.mark.parametrize(
    ("since", "words"), [("1", "an event is broken"), ("2", "too old resource version")]
)
async def test_a_watch_that_breaks_off_says_so_after_what_was_whole(
    ending_server: str, since: str, words: str
) -> None:
    async with aiohttp.ClientSession() as session:
        client = KubeClient(session, ending_server, field_manager="m")
        events = client.watch_named(kinds.CONFIG_MAP, "team", "words", since=since)
        assert (await anext(events))["type"] == "ADDED"
        with pytest.raises(errors.KubeError, match=f"watch ConfigMap words: {words}"):
            await anext(events)
