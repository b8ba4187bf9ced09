"""A start that cannot work: one readable block, exit code 2, and nothing is touched."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from memorybank.__main__ import main
from memorybank.stores.sqlite.lock import DataFolderLock
from tests.app.http.test_encryption import a_ring, encrypted, new_key
from tests.support.service import service

Refused = Callable[..., str]


@pytest.fixture
def refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Refused]:
    """Return a function that runs a `serve` that must not start, and returns its complaint."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def serve(*arguments: str, **environ: str) -> str:
        with monkeypatch.context() as context:
            for name, value in environ.items():
                context.setenv(name, value)
            ports = ["--port", "0", "--metrics-port", "0"]
            code = main(["serve", "--data", str(tmp_path / "bank"), *ports, *arguments])
        shown = capsys.readouterr()
        assert code == 2, shown.err
        assert shown.out == ""
        assert "Traceback" not in shown.err
        return shown.err

    yield serve
    root.handlers[:], root.level = handlers, level
    logging.captureWarnings(False)


def test_a_wrong_setting_is_told_in_one_block(tmp_path: Path, refused: Refused) -> None:
    config = tmp_path / "config.yaml"
    config.write_text("logging: {levle: info}\n")
    assert refused("--config", str(config)) == (
        f"memorybank: logging.levle in {config} is not a known setting\n  did you mean `level`?\n"
    )
    assert not (tmp_path / "bank").exists()


def test_a_wrong_argument_is_told_as_such(refused: Refused) -> None:
    assert "server.port on the command line should be less than" in refused("--port", "70000")
    assert "logging.level on the command line" in refused("--log-level", "loud")


def test_a_malformed_key_is_refused_and_not_repeated(refused: Refused) -> None:
    complaint = refused(MEMORY_BANK_ADMIN_KEY="hunter2")
    assert "basenc" in complaint
    assert "hunter2" not in complaint


def test_a_taken_port_is_refused_before_the_data_is_touched(
    tmp_path: Path, refused: Refused
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"cannot listen on 127.0.0.1 port {port}" in refused("--port", port)
        assert f"port {port}" in refused("--metrics-port", port)
    assert "cannot listen on no.such.host.invalid" in refused("--host", "no.such.host.invalid")
    assert not (tmp_path / "bank").exists()


def test_a_folder_without_a_model_is_refused(tmp_path: Path, refused: Refused) -> None:
    complaint = refused(MEMORY_BANK_MODEL_DIR=str(tmp_path))
    assert "no usable embedding model" in complaint
    assert "memorybank model prepare" in complaint


def test_a_folder_that_cannot_be_used_is_refused(tmp_path: Path, refused: Refused) -> None:
    (tmp_path / "file").write_text("")
    assert "data folder" in refused("--data", str(tmp_path / "file" / "bank"))


def test_a_folder_that_is_in_use_is_refused(tmp_path: Path, refused: Refused) -> None:
    lock = DataFolderLock(tmp_path / "bank" / "memory_bank.db")
    assert "in use by process" in refused()
    lock.release()


def test_an_encrypted_bank_without_its_key_is_refused(tmp_path: Path, refused: Refused) -> None:
    async def make() -> None:
        async with service(tmp_path / "bank", **encrypted(tmp_path, a_ring())):
            pass

    asyncio.run(make())
    enabled = {"MEMORY_BANK_ENCRYPTION__ENABLED": "true"}
    for environ, said in (
        ({}, "is encrypted, and encryption is not enabled\n  enable it, with the key ring"),
        (enabled, "enabled with no key ring\n  name a file in encryption.key_ring_file"),
        (
            enabled | ring_in_the_environment(a_ring()),
            "is not the one of this bank\n  use the ring",
        ),
        (
            enabled | ring_in_the_environment(a_ring("k2", k2=new_key())),
            "needs the key k1, which is not in the encryption key ring\n  put it back",
        ),
    ):
        assert said in refused(**environ)


def ring_in_the_environment(ring: dict[str, Any]) -> dict[str, str]:
    return {"MEMORY_BANK_ENCRYPTION_KEY_RING": json.dumps(ring)}
