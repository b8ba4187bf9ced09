"""An encrypted bank: nothing readable in its files, everything found, no way around the keys."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from contextlib import closing
from pathlib import Path
from typing import Any

import apsw
import httpx
import pytest

from memorybank.configuration import key_ring, load
from memorybank.encryption import parse_key_ring
from memorybank.errors import ConfigurationError
from memorybank.stores.sql import access
from tests.app.http.test_refusals import problem
from tests.app.http.test_tenants import key_of, make_tenant
from tests.app.services.test_embedding import Unsteady
from tests.support.service import Service, service

pytestmark = pytest.mark.slow


def a_ring(active: str = "k1", **keys: str) -> dict[str, Any]:
    return {"active": active, "keys": keys or {"k1": new_key()}}


def new_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def encrypted(folder: Path, ring: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a bank with this ring."""
    file = folder / "ring.json"
    file.write_text(json.dumps(ring))
    return {"encryption": {"enabled": True, "key_ring_file": str(file)}}


@pytest.fixture
def bank_folder(tmp_path: Path) -> Path:
    return tmp_path / "bank"


def files_of(folder: Path) -> dict[str, bytes]:
    found = (file for file in folder.rglob("*") if file.is_file())
    return {str(file.relative_to(folder)): file.read_bytes() for file in found}


async def remember(client: httpx.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await client.post("/v1/memories", json=fields)
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


async def test_neither_texts_nor_vectors_are_in_any_file(bank_folder: Path, tmp_path: Path) -> None:
    settings = encrypted(tmp_path, a_ring())
    planets = [f"Planet{secrets.token_hex(6)}" for _ in range(200)]
    async with service(bank_folder, **settings) as bank, bank.client(bank.admin_key) as admin:
        for start in range(0, 200, 50):
            batch = [
                {
                    "content": f"The capital of {planet} is Quuxville number {number}.",
                    "title": f"Headline{number}zzyzxville",
                    "tags": [f"tagged{number}wibblewobble"],
                    "metadata": {"metakeyname": f"metavalue{number}frobnicate"},
                }
                for number, planet in enumerate(planets[start : start + 50], start)
            ]
            made = await admin.post("/v1/memories:batch", json={"memories": batch})
            assert all("id" in each for each in made.json()["results"]), made.text[:500]
        first = made.json()["results"][0]["id"]
        changed = {
            "content": "Changed plughvillefred",
            "tags": ["xyzzytag"],
            "metadata": {"k": "graultgarplywaldo"},
        }
        assert (await admin.patch(f"/v1/memories/{first}", json=changed)).status_code == 200
        code = {"content": "print(1)", "type": "code", "details": {"language": "garplylang"}}
        code_answer = await admin.post(
            "/v1/memories", json=code, headers={"Idempotency-Key": "once"}
        )
        assert code_answer.status_code == 201, code_answer.text
        words = [
            b"Quuxville number",
            b"zzyzxville",
            b"wibblewobble",
            b"metakeyname",
            b"frobnicate",
            b"plughvillefred",
        ]
        words += [
            b"xyzzytag",
            b"graultgarplywaldo",
            b"garplylang",
            b"print(1)",
            *map(str.encode, planets),
        ]
        vectors = await bank.engine.embedder.embed([code["content"]])  # type: ignore[list-item]
        words.append(vectors[0].astype("<f4").tobytes())
        while_running = files_of(bank_folder)
        assert any(name.endswith("-wal") and data for name, data in while_running.items())
        for number in range(0, 200, 17):
            found = await admin.post("/v1/search", json={"query": planets[number], "limit": 1})
            assert planets[number] in found.json()["results"][0]["memory"]["content"]
        tagged = await admin.get("/v1/memories", params={"tag": "tagged17wibblewobble"})
        assert tagged.json()["total"] == 1
        history = await admin.get(f"/v1/memories/{first}/history")
        assert "Quuxville" in history.text
        again = await admin.post("/v1/memories", json=code, headers={"Idempotency-Key": "once"})
        assert again.json()["id"] == code_answer.json()["id"]
    for files in (while_running, files_of(bank_folder)):
        for name, data in files.items():
            for word in words:
                assert word not in data, (name, word)
    async with service(bank_folder, **settings) as bank, bank.client(bank.admin_key) as admin:
        found = await admin.post("/v1/search", json={"query": planets[5], "limit": 1})
        memory = found.json()["results"][0]["memory"]
        assert memory["title"] == "Headline5zzyzxville"
        assert memory["metadata"] == {"metakeyname": "metavalue5frobnicate"}


async def test_what_waits_for_its_vector_is_sealed_meanwhile(
    bank_folder: Path, tmp_path: Path
) -> None:
    embedder = Unsteady()
    settings = encrypted(tmp_path, a_ring())
    async with (
        service(bank_folder, embedder=embedder, **settings) as bank,
        bank.client(bank.admin_key) as admin,
    ):
        embedder.down = True
        for number in range(20):
            await remember(admin, content=f"pendingquux {number}", title="titlequux")
        status = (await admin.get("/v1/admin/embedding")).json()
        assert status["pending"] == 20
        found = (await admin.post("/v1/search", json={"query": "pendingquux 7"})).json()
        assert found["results"][0]["memory"]["content"] == "pendingquux 7"
        for name, data in files_of(bank_folder).items():
            assert b"pendingquux" not in data, name
            assert b"titlequux" not in data, name
        embedder.down = False
        async with asyncio.timeout(300):
            while (await admin.get("/v1/admin/embedding")).json()["pending"]:  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(0.05)
    for name, data in files_of(bank_folder).items():
        assert b"pendingquux" not in data, name


async def test_a_wrong_or_missing_key_stops_the_start(bank_folder: Path, tmp_path: Path) -> None:
    right = a_ring()
    async with (
        service(bank_folder, **encrypted(tmp_path, right)) as bank,
        bank.client(bank.admin_key) as admin,
    ):
        await remember(admin, content="a secret")
    wrong: list[tuple[dict[str, Any] | None, str]] = [
        (None, "is encrypted, and encryption is not enabled"),
        (a_ring(), "is not the one of this bank"),
        (a_ring("k2", k2=new_key()), "needs the key k1"),
    ]
    for ring, said in wrong:
        settings = {} if ring is None else encrypted(tmp_path, ring)
        with pytest.raises(ConfigurationError, match=said) as refusal:
            async with service(bank_folder, **settings):
                pass
        assert refusal.value.hint
        assert refusal.value.field in ("encryption.enabled", "encryption.key_ring_file")
    async with (
        service(bank_folder, **encrypted(tmp_path, right)) as bank,
        bank.client(bank.admin_key) as admin,
    ):
        assert (await admin.get("/v1/memories")).json()["total"] == 1


async def test_encryption_is_not_switched_on_over_memories(
    bank_folder: Path, tmp_path: Path
) -> None:
    async with service(bank_folder) as bank, bank.client(bank.admin_key) as admin:
        await remember(admin, content="in the clear")
    with pytest.raises(ConfigurationError, match="not encrypted"):
        async with service(bank_folder, **encrypted(tmp_path, a_ring())):
            pass
    async with service(bank_folder) as bank, bank.client(bank.admin_key) as admin:
        assert (await admin.get("/v1/memories")).json()["total"] == 1


async def test_a_ring_is_rotated_and_the_old_key_may_go(bank_folder: Path, tmp_path: Path) -> None:
    old, new = new_key(), new_key()

    async def status(bank: Service) -> dict[str, Any]:
        async with bank.client(bank.admin_key) as admin:
            answer = await admin.get("/v1/admin/encryption")
            assert answer.status_code == 200
            shown: dict[str, Any] = answer.json()
            return shown

    async with service(bank_folder, **encrypted(tmp_path, a_ring("k1", k1=old))) as bank:
        async with bank.client(bank.admin_key) as admin:
            await make_tenant(admin, "acme")
            async with bank.client(await key_of(admin, "acme", "developer")) as acme:
                await remember(acme, content="the fox")
                problem(await acme.get("/v1/admin/encryption"), 403, "forbidden")
            await remember(admin, content="the dog")
        before = await status(bank)
        assert before == {
            "enabled": True,
            "active_key": "k1",
            "data_keys": {"k1": 2},
            "rotating": False,
        }
    both = encrypted(tmp_path, a_ring("k2", k1=old, k2=new))
    async with service(bank_folder, **both) as bank:
        async with asyncio.timeout(120):  # it goes on beside the requests
            while (after := await status(bank))["rotating"]:  # noqa: ASYNC110  # nothing tells
                await asyncio.sleep(0.01)
        assert (after["data_keys"], after["rotating"]) == ({"k2": 2}, False)
    async with (
        service(bank_folder, **encrypted(tmp_path, a_ring("k2", k2=new))) as bank,
        bank.client(bank.admin_key) as admin,
    ):
        assert (await admin.get("/v1/memories")).json()["memories"][0]["content"] == "the dog"


async def test_a_deleted_tenants_key_is_destroyed(bank_folder: Path, tmp_path: Path) -> None:
    settings = encrypted(tmp_path, a_ring())
    async with service(bank_folder, **settings) as bank, bank.client(bank.admin_key) as admin:
        for generation in range(2):
            await make_tenant(admin, "acme")
            async with bank.client(await key_of(admin, "acme", "developer")) as acme:
                await remember(acme, content=f"the fox {generation}")
                found = await acme.post("/v1/search", json={"query": "fox"})
                assert [r["memory"]["content"] for r in found.json()["results"]] == [
                    f"the fox {generation}"
                ]
            wrapped = data_keys(bank_folder)["acme"]
            assert any(wrapped in data for data in files_of(bank_folder).values())
            await admin.delete("/v1/admin/tenants/acme", params={"with_data": "true"})
            assert "acme" not in data_keys(bank_folder)
            assert not any(wrapped in data for data in files_of(bank_folder).values())


async def test_a_key_is_destroyed_as_soon_as_a_long_reader_lets_it(
    bank_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(access, "_LOG_ATTEMPTS", 1_000)  # the reader stays as long as it needs
    settings = encrypted(tmp_path, a_ring())
    async with service(bank_folder, **settings) as bank, bank.client(bank.admin_key) as admin:
        await make_tenant(admin, "acme")
        async with bank.client(await key_of(admin, "acme", "developer")) as acme:
            await remember(acme, content="the fox")
        wrapped = data_keys(bank_folder)["acme"]
        with closing(apsw.Connection(str(bank_folder / "memory_bank.db"))) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM memories").fetchall()
            deletion = asyncio.create_task(
                admin.delete("/v1/admin/tenants/acme", params={"with_data": "true"})
            )
            async with asyncio.timeout(120):
                while "acme" in data_keys(bank_folder):  # noqa: ASYNC110  # nothing tells
                    await asyncio.sleep(0.01)
            written = await admin.post("/v1/memories", json={"content": "others go on"})
            assert written.status_code == 201
            reader.execute("COMMIT")
        assert (await deletion).status_code == 204
        assert not any(wrapped in data for data in files_of(bank_folder).values())


def data_keys(folder: Path) -> dict[str, bytes]:
    with closing(apsw.Connection(str(folder / "memory_bank.db"))) as connection:
        rows = connection.execute("SELECT tenant, wrapped FROM data_keys").fetchall()
    return {str(tenant): bytes(wrapped) for tenant, wrapped in rows}  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "swap",
    [
        "UPDATE memories SET content = (SELECT content FROM memories AS other"
        " WHERE other.id != memories.id)",
        "UPDATE memories SET title = metadata",
        "UPDATE memories SET content = 'AAAA' || substr(content, 5)",
        "UPDATE memories SET content = 'plain text'",
    ],
)
async def test_a_value_that_is_moved_or_changed_does_not_open(
    bank_folder: Path, tmp_path: Path, swap: str
) -> None:
    settings = encrypted(tmp_path, a_ring())
    async with service(bank_folder, **settings) as bank, bank.client(bank.admin_key) as admin:
        await remember(admin, content="one fish", title="one")
        await remember(admin, content="two fish", title="two")
    with closing(apsw.Connection(str(bank_folder / "memory_bank.db"))) as connection:
        connection.create_scalar_function("fingerprint", lambda *_: b"", 2)
        connection.execute(swap)
    async with service(bank_folder, **settings) as bank, bank.client(bank.admin_key) as admin:
        answer = await admin.get("/v1/memories")
        assert "decrypted" in problem(answer, 503, "store_unavailable")["message"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "fields"),
        ("- a", "fields"),
        ("{active: k1}", "fields"),
        ("{active: k1, keys: {}}", "no keys"),
        ("{active: k2, keys: {k1: %s}}", "k2"),
        ("{active: k1, keys: {k1: c2hvcnQ=}}", "32 bytes"),
        ("{active: k1, keys: {k1: 7}}", "32 bytes"),
        ("{active: ' ', keys: {' ': %s}}", "id"),
        ("{active: a, keys: {a: &k %s, b: *k}}", "same key"),
        ("{active: [", "fields"),
    ],
)
def test_a_wrong_ring_is_refused_without_quoting_a_key(text: str, said: str) -> None:
    key = new_key()
    with pytest.raises(ConfigurationError, match=said) as refusal:
        parse_key_ring(text.replace("%s", key))
    assert key not in f"{refusal.value.message} {refusal.value.hint}"
    assert "openssl rand" in str(refusal.value.hint)


@pytest.mark.parametrize(
    ("settings", "environ", "said"),
    [
        ({"enabled": True}, {}, "no key ring"),
        ({"key_ring_file": "/x"}, {}, "not enabled"),
        ({"enabled": True, "key_ring_file": "/nowhere/ring"}, {}, "cannot be read"),
        (
            {"enabled": True, "key_ring_file": "/x"},
            {"MEMORY_BANK_ENCRYPTION_KEY_RING": "{}"},
            "two key rings",
        ),
    ],
)
def test_a_setting_that_does_not_fit_is_refused(
    settings: dict[str, Any], environ: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigurationError, match=said) as refusal:
        key_ring(load(overrides={"encryption": settings}, environ=environ))
    assert refusal.value.hint


def test_a_ring_may_come_from_the_environment_and_never_from_the_configuration_file(
    tmp_path: Path,
) -> None:
    ring = json.dumps(a_ring())
    settings = load(
        overrides={"encryption": {"enabled": True}},
        environ={"MEMORY_BANK_ENCRYPTION_KEY_RING": ring},
    )
    found = key_ring(settings)
    assert found is not None
    assert found.active == "k1"
    assert json.loads(ring)["keys"]["k1"] not in f"{settings!r} {found!r}"
    file = tmp_path / "config.yaml"
    file.write_text(f"encryption_key_ring: '{ring}'")
    with pytest.raises(ConfigurationError, match="is a secret"):
        load(file=file, environ={})
