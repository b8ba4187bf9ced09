"""A bank that is followed and read elsewhere, with real processes."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import uuid
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest

from memorybank.backup.chain import Origin
from memorybank.backup.destination import Destination
from memorybank.server.destinations import backup_of, place_of
from memorybank.settings import DATABASE_NAME
from tests.app.backup.conftest import MakePod
from tests.support.embedding_server import MODEL, embedding_process
from tests.support.replication import UID
from tests.support.s3_server import S3
from tests.support.server_process import Server, serving
from tests.support.standby import KEY, TINY, Standby, contents, eventually, followed, primary, store

pytestmark = pytest.mark.slow

JSON = {"Content-Type": "application/json"}


def test_what_is_written_deleted_and_revoked_is_so_at_the_standby(
    make_pod: MakePod, tmp_path: Path, destination: dict[str, Any]
) -> None:
    pod = make_pod(destination)
    with primary(pod) as bank, bank.client() as writing:
        first = store(writing, "The harbour opens at six")
        made = writing.post("/v1/admin/keys", json={"name": "reader", "role": "readonly"}).json()
        with (
            Standby(tmp_path / "standby", destination).serving() as copy,
            copy.client() as reading,
            copy.client(made["key"]) as guest,
        ):
            eventually(
                lambda: contents(reading, "When does the harbour open?"),
                lambda found: found == ["The harbour opens at six"],
            )
            store(writing, "The lighthouse is painted white")
            eventually(
                lambda: contents(reading, "What colour is the lighthouse?"),
                lambda found: "The lighthouse is painted white" in found,
            )
            assert guest.get(f"/v1/memories/{first}").status_code == 200
            assert writing.delete(f"/v1/memories/{first}").status_code == 204
            writing.delete(f"/v1/admin/keys/{made['id']}")
            eventually(
                lambda: guest.get(f"/v1/memories/{first}").status_code, lambda is_: is_ == 401
            )
            eventually(
                lambda: reading.get(f"/v1/memories/{first}").status_code,
                lambda is_: is_ == 404,
            )
            assert contents(reading, "When does the harbour open?") == [
                "The lighthouse is painted white"
            ]
            told = followed(copy)
            assert told["epoch"] == pod.prepared_epoch
            assert told["lag_seconds"] < 60
            assert not told["problem"]
            metrics = httpx.get(copy.metrics_url, timeout=30).text
            assert "memorybank_follow_lag_seconds " in metrics


def test_the_standby_goes_over_to_whatever_the_bank_goes_on_in(
    make_pod: MakePod, tmp_path: Path, destination: dict[str, Any]
) -> None:
    pod = make_pod(destination)
    with primary(pod) as bank, bank.client() as writing:
        store(writing, "The ferry leaves at noon")
    earlier = at_rest(pod.database)
    with (
        Standby(tmp_path / "standby", destination).serving() as copy,
        copy.client() as reading,
    ):
        with primary(pod) as bank, bank.client() as writing:  # another epoch
            store(writing, "The ferry has a bar")
            eventually(
                lambda: contents(reading, "What is on the ferry?"),
                lambda found: "The ferry has a bar" in found,
            )
            assert followed(copy)["epoch"] == pod.prepared_epoch
        pod.lose_volume()
        with primary(pod) as bank, bank.client() as writing:
            store(writing, "The ferry has a garden")
            eventually(
                lambda: contents(reading, "What is on the ferry?"),
                lambda found: "The ferry has a garden" in found,
            )
        pod.lose_volume()
        pod.database.write_bytes(earlier)  # the bank is put back to what it was
        with primary(pod):
            eventually(lambda: followed(copy)["epoch"], lambda is_: is_ == pod.prepared_epoch)
            eventually(
                lambda: contents(reading, "What is on the ferry?"),
                lambda found: found == ["The ferry leaves at noon"],
            )
            assert len(list((copy.folder.parent / "data" / "following").rglob("*.db"))) == 1


def test_a_standby_that_is_killed_at_any_time_goes_on(make_pod: MakePod, tmp_path: Path) -> None:
    destination = {"volume": {"path": str(tmp_path / "backups")}}
    pod = make_pod(destination)
    standby = Standby(tmp_path / "standby", destination, poll_seconds=0.1)
    written: list[str] = []
    with primary(pod) as bank, bank.client() as writing:
        for turn in range(4):
            with standby.serving() as copy, copy.client() as reading:
                written += [
                    store(writing, f"Note {turn} {number} {'of the log ' * 200}")
                    for number in range(20)
                ]
                if turn % 2:
                    arrived(reading, written[-1])
                copy.process.kill()
                copy.process.wait()
        with standby.serving() as copy, copy.client() as reading:
            arrived(reading, written[-1])
            assert all(reading.get(f"/v1/memories/{each}").is_success for each in written)
            checked = reading.post("/v1/admin/check").json()
            assert checked["ok"], checked
            assert reading.post("/v1/admin/index/check").json()["ok"]


def test_a_standby_serves_what_it_has_while_the_destination_is_away(
    make_pod: MakePod, tmp_path: Path, s3: S3
) -> None:
    destination = {"s3": s3.settings(tmp_path / "secrets")}
    pod = make_pod(destination)
    standby = Standby(tmp_path / "standby", destination, max_lag_seconds=3)
    with primary(pod) as bank, bank.client() as writing:
        store(writing, "The pilot boards at dusk")
        with standby.serving() as copy:
            eventually(lambda: ready(copy), lambda is_: is_ == 200)
        s3.allow(False)
        try:
            with standby.serving() as copy, copy.client() as reading:
                assert contents(reading, "When does the pilot board?")
                told = eventually(lambda: followed(copy), lambda told: bool(told["problem"]))
                assert "credentials" in told["problem"]
                eventually(lambda: ready(copy), lambda is_: is_ == 503)
                assert contents(reading, "When does the pilot board?")
                s3.allow(True)
                eventually(lambda: ready(copy), lambda is_: is_ == 200)
                assert not followed(copy)["problem"]
        finally:
            s3.allow(True)


def test_nothing_is_written_at_a_standby(make_pod: MakePod, tmp_path: Path) -> None:
    destination = {"volume": {"path": str(tmp_path / "backups")}}
    pod = make_pod(destination)
    with primary(pod) as bank, bank.client() as writing:
        memory = store(writing, "The buoy is green")
    with (
        Standby(tmp_path / "standby", destination).serving() as copy,
        copy.client() as reading,
    ):
        document = reading.get("/openapi.json").json()
        served = {
            (method, path): operation["operationId"]
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
        }
        read = {
            *("search_search", "search_context", "search_facets", "search_suggest"),
            *("search_recommend", "wake_up_post"),
            *("care_check", "care_check_index", "care_rebuild_index"),
        }
        assert read <= set(served.values())
        writing_ones = [
            each for each, name in served.items() if each[0] != "get" and name not in read
        ]
        assert len(writing_ones) > 25
        for method, path in writing_ones:
            lines = {"Content-Type": "application/x-ndjson"} if path == "/v1/import" else {}
            answer = reading.request(
                method, path.replace("{id}", memory), content=b"{}", headers=JSON | lines
            )
            assert answer.status_code == 403, (method, path, answer.text)
            error = answer.json()["error"]
            assert error["code"] == "read_only"
            assert "promote" in error["hint"]
        for (method, path), name in served.items():
            if method == "get":
                answer = reading.get(path.replace("{id}", memory), params={"query": "buoy"})
                assert answer.status_code < 500, (name, answer.text)
        assert "The buoy is green" in reading.get("/v1/export").text
        offered = {each["name"] for each in asked_by_mcp(reading, "tools/list")["tools"]}
        assert offered == {"recall", "context", "wake_up"}
        prompts = asked_by_mcp(reading, "prompts/list")["prompts"]
        assert [each["name"] for each in prompts] == ["wake_up"]
        for tool, arguments in {
            "remember": {"content": "The buoy is red"},
            "forget": {"id": memory},
        }.items():
            told = called(reading, tool, arguments)
            assert told["isError"], told
            assert "read-only" in told["content"][0]["text"]
        assert (
            "The buoy is green"
            in called(reading, "recall", {"query": "buoy"})["content"][0]["text"]
        )


def test_who_writes_at_a_read_replica_is_told_where_to_write(
    make_pod: MakePod, tmp_path: Path
) -> None:
    destination = {"volume": {"path": str(tmp_path / "backups")}}
    with primary(make_pod(destination)) as bank, bank.client() as writing:
        store(writing, "The buoy is green")
    url = "http://agents.team.svc:8080"
    replica = Standby(tmp_path / "replica", destination, primary_url=url)
    with replica.serving() as copy, copy.client() as reading:
        answer = reading.post("/v1/memories", json={"content": "The buoy is red"})
        assert answer.status_code == 403
        assert answer.json()["error"]["hint"] == f"write to {url}"
        told = called(reading, "remember", {"content": "The buoy is red"})
        assert told["isError"]
        assert f"write to {url}" in told["content"][0]["text"]


def test_a_standby_is_promoted_by_a_start_with_backups_of_the_bank(
    make_pod: MakePod, tmp_path: Path, destination: dict[str, Any]
) -> None:
    lost, standby = make_pod(destination), Standby(tmp_path / "standby", destination)
    with primary(lost) as bank, bank.client() as writing:
        store(writing, "The tide turns at four")
        with standby.serving() as copy:
            eventually(lambda: ready(copy), lambda is_: is_ == 200)
            store(writing, "The tide is low on Monday")
            lost.wait_until_synced()
    promoted = make_pod(destination)
    promoted.take_data_of(standby.data)
    with primary(promoted) as bank, bank.client() as writing:
        assert {"The tide turns at four", "The tide is low on Monday"} <= {
            *contents(writing, "When does the tide turn?")
        }
        store(writing, "The tide is high on Friday")
        with Standby(tmp_path / "other", destination).serving() as copy, copy.client() as reading:
            eventually(
                lambda: contents(reading, "When is the tide high?"),
                lambda found: "The tide is high on Friday" in found,
            )
            assert followed(copy)["epoch"] == promoted.prepared_epoch


def test_a_standby_becomes_a_bank_of_its_own_with_another_destination(
    make_pod: MakePod, tmp_path: Path, destination: dict[str, Any]
) -> None:
    pod, standby = make_pod(destination), Standby(tmp_path / "standby", destination)
    with primary(pod) as bank, bank.client() as writing:
        store(writing, "The anchor weighs two tons")
        pod.wait_until_synced()
        with standby.serving() as copy:
            eventually(lambda: ready(copy), lambda is_: is_ == 200)
    followed_one = Destination(place_of(backup_of(pod.settings)))
    before = asyncio.run(followed_one.begun())
    own = make_pod(
        {"volume": {"path": str(tmp_path / "elsewhere")}},
        bank="agents/second", uid=str(uuid.uuid4()),
        restore={"bank": "agents/team-memory", "uid": UID, **destination},
    )  # fmt: skip
    own.take_data_of(standby.data)
    with primary(own) as bank, bank.client() as writing:
        assert contents(writing, "How heavy is the anchor?") == ["The anchor weighs two tons"]
        store(writing, "The anchor is rusty")
        own.wait_until_synced()
    own.lose_volume()  # from here on it lives by its own backups
    with primary(own) as bank, bank.client() as writing:
        assert len(contents(writing, "How heavy is the anchor?")) == 2
    began = asyncio.run(Destination(place_of(backup_of(own.settings))).begun())
    first = min(began.values(), key=lambda each: each.order)
    assert first.origin is Origin.RESTORED
    assert first.source == f"agents/team-memory/{UID}/{pod.prepared_epoch}"
    assert asyncio.run(followed_one.begun()) == before


def test_another_model_of_the_bank_is_asked_by_the_standby_too(
    make_pod: MakePod, tmp_path: Path
) -> None:
    destination = {"volume": {"path": str(tmp_path / "backups")}}
    pod, standby = make_pod(destination), Standby(tmp_path / "standby", destination)
    with primary(pod) as bank, bank.client() as writing:
        store(writing, "The keeper of the lighthouse is Ines")
        pod.wait_until_synced()

    def by_meaning(client: httpx.Client) -> tuple[list[str], str | None]:
        query = {"query": "Who looks after the beacon?", "mode": "vector"}
        answer = client.post("/v1/search", json=query).raise_for_status().json()
        return [each["memory"]["content"] for each in answer["results"]], answer["degraded"]

    def model(client: httpx.Client) -> str:
        return str(client.get("/v1/admin/embedding").raise_for_status().json()["model"])

    with (
        embedding_process() as embedder,
        standby.serving() as copy,
        copy.client() as reading,
    ):
        former = model(reading)
        other = {
            "MEMORY_BANK_EMBEDDING__PROVIDER": "ollama",
            "MEMORY_BANK_EMBEDDING__MODEL": MODEL,
            "MEMORY_BANK_EMBEDDING__OLLAMA__URL": embedder.url,
        }
        with primary(pod, **other) as bank, bank.client() as writing:
            new = eventually(lambda: model(writing), lambda is_: is_ != former)
            eventually(lambda: model(reading), lambda is_: is_ == new)
            store(writing, "The beacon is looked after at night, too")
            found, degraded = eventually(
                lambda: by_meaning(reading), lambda told: len(told[0]) == 2
            )
            assert degraded is None
            assert found == by_meaning(writing)[0]
        # Who starts with the former model in its settings goes by what the bank uses.
        other_standby = Standby(tmp_path / "other", destination)
        with other_standby.serving() as again, again.client() as reading_again:
            assert model(reading_again) == new
            assert by_meaning(reading_again) == (found, None)


def test_a_copy_that_is_all_that_is_left_can_be_gone_on_with(
    make_pod: MakePod, tmp_path: Path
) -> None:
    destination = {"volume": {"path": str(tmp_path / "backups")}}
    pod, standby = make_pod(destination), Standby(tmp_path / "standby", destination)
    with primary(pod) as bank, bank.client() as writing:
        store(writing, "The chart is in the drawer")
        pod.wait_until_synced()
        with standby.serving() as copy:
            eventually(lambda: ready(copy), lambda is_: is_ == 200)
    shutil.rmtree(tmp_path / "backups")
    with (
        pytest.raises(RuntimeError, match="the copy of one that was followed"),
        serving(standby.data, environ=TINY),
    ):
        pass
    (left,) = (standby.data / "following").rglob("*.db")
    left.rename(standby.data / DATABASE_NAME)
    with serving(standby.data, key=KEY, environ=TINY) as bank, bank.client() as writing:
        store(writing, "The chart is on the table")
        assert len(contents(writing, "Where is the chart?")) == 2


def test_an_encrypted_bank_is_followed_with_its_key_ring(make_pod: MakePod, tmp_path: Path) -> None:
    destination = {"volume": {"path": str(tmp_path / "backups")}}
    pod, standby = make_pod(destination), Standby(tmp_path / "standby", destination)
    ring = {
        "MEMORY_BANK_ENCRYPTION__ENABLED": "true",
        "MEMORY_BANK_ENCRYPTION_KEY_RING": json.dumps(
            {"active": "k1", "keys": {"k1": base64.b64encode(bytes(range(32))).decode()}}
        ),
    }
    with primary(pod, **ring) as bank, bank.client() as writing:
        store(writing, "The vault opens on Sundays")
        with standby.serving(**ring) as copy, copy.client() as reading:
            eventually(
                lambda: contents(reading, "When does the vault open?"),
                lambda found: found == ["The vault opens on Sundays"],
            )
            writing.post("/v1/admin/tenants", json={"name": "acme"}).raise_for_status()
            made = writing.post(
                "/v1/admin/keys", json={"name": "theirs", "role": "developer", "tenant": "acme"}
            ).json()
            with bank.client(made["key"]) as theirs, copy.client(made["key"]) as guest:
                memory = store(theirs, "The vault of Acme opens on Mondays")
                arrived(guest, memory)
                eventually(
                    lambda: contents(guest, "When does the vault open?"),
                    lambda found: found == ["The vault of Acme opens on Mondays"],
                )
    with (
        pytest.raises(RuntimeError, match="is encrypted, and encryption is not enabled"),
        standby.serving(),
    ):
        pass


def at_rest(database: Path) -> bytes:
    """Return a database that nobody has open as one file."""
    connection = apsw.Connection(str(database))
    connection.pragma("journal_mode", "delete")
    connection.close()
    return database.read_bytes()


def arrived(client: httpx.Client, memory: str) -> None:
    eventually(lambda: client.get(f"/v1/memories/{memory}").status_code, lambda is_: is_ == 200)


def ready(server: Server) -> int:
    return httpx.get(f"{server.url}/ready", timeout=60).status_code


def called(client: httpx.Client, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
    return asked_by_mcp(client, "tools/call", name=tool, arguments=arguments)


def asked_by_mcp(client: httpx.Client, method: str, **params: Any) -> dict[str, Any]:
    answer = client.post(
        "/mcp",
        headers={"Accept": "application/json, text/event-stream"},
        json={"jsonrpc": "2.0", "id": 1, "method": method, "params": params},
    )
    assert answer.is_success, answer.text
    told: dict[str, Any] = answer.json()["result"]
    return told
