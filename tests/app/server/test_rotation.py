"""Configuration and secrets that change in their mounts, as a kubelet changes them, under load."""

from __future__ import annotations

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
import yaml

from memorybank.auth import tokens
from tests.support.embedding_server import MODEL, embedding_server
from tests.support.identity_provider import AUDIENCE, ISSUER, claims_of
from tests.support.server_process import Server, serving

BOUND_SECONDS = 120.0
"""The files are looked at once a second; how long the rest takes is the machine's affair."""


class Mount:
    """A folder that holds a ConfigMap or Secret, changed by replacing the link `..data`."""

    def __init__(self, folder: Path, **files: str) -> None:
        folder.mkdir()
        self.folder = folder
        self._files = files
        self._version = 0
        self.write()
        for name in files:
            (folder / name).symlink_to(Path("..data") / name)

    def file(self, name: str) -> Path:
        return self.folder / name

    def write(self, **files: str) -> None:
        self._version += 1
        self._files |= files
        target = self.folder / f"..{self._version}"
        target.mkdir()
        for name, content in self._files.items():
            (target / name).write_text(content)
        fresh = self.folder / "..data_tmp"
        fresh.symlink_to(target.name)
        fresh.rename(self.folder / "..data")


def within(seconds: float, ask: Callable[[], bool | None], what: str) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if ask():
            return
        time.sleep(0.02)
    raise AssertionError(f"not within {seconds} s: {what}")


def in_effect(server: Server, key: str) -> dict[str, Any] | None:
    answer = get(server, "/v1/admin/configuration", key)
    if answer.status_code == 401:
        return None
    answer.raise_for_status()
    shown: dict[str, Any] = answer.json()
    return shown


def get(server: Server, path: str, key: str) -> httpx.Response:
    with server.client(key) as client:
        return client.get(path)


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]


@contextmanager
def load(server: Server, *callers: Callable[[], str]) -> Iterator[list[int]]:
    """Have each of the callers ask and write, all the time; yield the status of each answer."""
    statuses: list[int] = []
    stopped = threading.Event()

    def ask(token: Callable[[], str]) -> None:
        with server.client() as client:
            while not stopped.is_set():
                headers = bearer(token())
                body = {"content": f"noted {secrets.token_hex(8)}"}
                statuses.append(client.post("/v1/memories", json=body, headers=headers).status_code)
                question = {"query": "what was noted?"}
                statuses.append(
                    client.post("/v1/search", json=question, headers=headers).status_code
                )

    threads = [threading.Thread(target=ask, args=(each,)) for each in callers]
    for each in threads:
        each.start()
    try:
        yield statuses
    finally:
        stopped.set()
        for each in threads:
            each.join()


def a_ring(active: str, **keys: str) -> str:
    return json.dumps({"active": active, "keys": keys})


def ring_key() -> str:
    return base64.b64encode(secrets.token_bytes(32)).decode()


def signed(secret: str) -> str:
    return jwt.encode(claims_of(), secret, algorithm="HS512")


@pytest.mark.slow
def test_every_secret_is_rotated_under_load_without_a_failed_request(tmp_path: Path) -> None:
    old_ring_key, jwt_secret = ring_key(), secrets.token_hex(32)
    key = tokens.generate()
    mount = Mount(
        tmp_path / "secrets",
        admin=key,
        jwt=jwt_secret,
        embedding="sk-old",
        ring=a_ring("k1", k1=old_ring_key),
    )
    with embedding_server() as embedder:
        config = {
            "auth": {
                "jwt": {
                    "issuer": ISSUER,
                    "audience": [AUDIENCE],
                    "secret_file": str(mount.file("jwt")),
                }
            },
            "encryption": {"enabled": True, "key_ring_file": str(mount.file("ring"))},
            "embedding": {
                "provider": "openai",
                "model": MODEL,
                "openai": {
                    "base_url": f"{embedder.url}/v1",
                    "key_file": str(mount.file("embedding")),
                },
            },
        }
        text = yaml.safe_dump(config)
        settings = Mount(tmp_path / "config", **{"config.yaml": text})

        def served() -> AbstractContextManager[Server]:
            config_file = str(settings.file("config.yaml"))
            environ = {"MEMORY_BANK_ADMIN_KEY_FILE": str(mount.file("admin"))}
            return serving(tmp_path / "bank", "--config", config_file, key="", environ=environ)

        with served() as server:
            callers = {"key": key, "token": signed(jwt_secret)}
            with load(server, lambda: callers["key"], lambda: callers["token"]) as statuses:
                shown = in_effect(server, key)
                assert shown is not None
                assert shown["file"] == digest(text)
                assert shown["secrets"]["admin_key_file"] == digest(f"admin_key_file:{key}")

                new_jwt = secrets.token_hex(32)
                mount.write(jwt=new_jwt)
                within(BOUND_SECONDS, lambda: accepted(server, signed(new_jwt)), "the new secret")
                assert accepted(server, signed(jwt_secret)), "signed before, still on its way"
                callers["token"] = signed(new_jwt)

                mount.write(embedding="sk-new")
                within(
                    BOUND_SECONDS, lambda: "Bearer sk-new" in embedder.keys[-4:] or None, "its key"
                )

                new_ring_key = ring_key()
                mount.write(ring=a_ring("k2", k1=old_ring_key, k2=new_ring_key))
                within(BOUND_SECONDS, lambda: wrapped_by(server, key, "k2"), "the new ring")
                mount.write(ring=a_ring("k2", k2=new_ring_key))
                ring = a_ring("k2", k2=new_ring_key)
                wanted = digest(f"encryption.key_ring_file:{ring}")
                within(
                    BOUND_SECONDS,
                    lambda: shows(server, key, "encryption.key_ring_file", wanted),
                    "the ring without the old key",
                )

                new_key = tokens.generate()
                mount.write(admin=new_key)
                within(BOUND_SECONDS, lambda: accepted(server, new_key), "the new admin key")
                assert accepted(server, key), "whoever has the old one needs time to read the new"
                callers["key"] = new_key
                settings.write(**{"config.yaml": text + "limits: {max_body_bytes: 4000}\n"})
                within(BOUND_SECONDS, lambda: refused(server, new_key), "the new limit")
            assert set(statuses) == {200, 201}
            assert len(statuses) > 20, "there was load"
            shown = in_effect(server, new_key)
            assert shown is not None
            assert (shown["needs_restart"], shown["problem"]) == ([], None)
        for secret in (key, new_key, jwt_secret, new_jwt, old_ring_key, new_ring_key, "sk-new"):
            assert secret not in (server.folder / "stderr").read_text()
        with served() as server:
            found = get(server, "/v1/memories", new_key).json()
            assert found["total"] >= statuses.count(201), "what was acknowledged is there"


def accepted(server: Server, token: str) -> bool | None:
    return get(server, "/v1/memories", token).is_success or None


def refused(server: Server, key: str) -> bool | None:
    with server.client(key) as client:
        return client.post("/v1/memories", json={"content": "x" * 5_000}).status_code == 413 or None


def wrapped_by(server: Server, key: str, name: str) -> bool | None:
    status = get(server, "/v1/admin/encryption", key).json()
    return (set(status["data_keys"]) == {name} and not status["rotating"]) or None


def shows(server: Server, key: str, name: str, wanted: str) -> bool | None:
    shown = in_effect(server, key)
    return (shown is not None and shown["secrets"][name] == wanted) or None


@pytest.mark.slow
def test_a_secret_that_is_wrong_changes_nothing_and_is_told(tmp_path: Path) -> None:
    old = ring_key()
    mount = Mount(tmp_path / "secrets", admin=tokens.generate(), ring=a_ring("k1", k1=old))
    environ = {
        "MEMORY_BANK_ADMIN_KEY_FILE": str(mount.file("admin")),
        "MEMORY_BANK_ENCRYPTION__ENABLED": "true",
        "MEMORY_BANK_ENCRYPTION__KEY_RING_FILE": str(mount.file("ring")),
        "MEMORY_BANK_EMBEDDING__PROVIDER": "builtin-tiny",
    }
    key = mount.file("admin").read_text()
    with serving(tmp_path / "bank", key="", environ=environ) as server:
        with server.client(key) as client:
            assert client.post("/v1/memories", json={"content": "the fox"}).status_code == 201

        def problem(said: str) -> bool | None:
            shown = in_effect(server, key)
            assert shown is not None, "the key in effect is the one of before"
            return (shown["problem"] is not None and said in shown["problem"]) or None

        mount.write(admin="mb_too-short")
        within(BOUND_SECONDS, lambda: problem("does not hold a key"), "the wrong key")
        mount.write(admin=key, ring=a_ring("k2", k2=ring_key()))
        within(BOUND_SECONDS, lambda: problem("needs the key k1"), "the wrong ring")
        assert get(server, "/v1/memories", key).json()["total"] == 1
        mount.write(ring=a_ring("k1", k1=old))
        within(
            BOUND_SECONDS,
            lambda: (in_effect(server, key) or {})["problem"] is None or None,
            "the right ring again",
        )
