"""Builds and locks use the index and trust the authorities that pip on this machine does."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from e2e.images.index import CERTIFICATES, secrets
from scripts import index
from scripts.index import pip_settings


@pytest.fixture
def pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine on which pip has nothing set but what a test writes into the file returned."""
    for name in list(os.environ):
        if name.startswith(("PIP_", "UV_")) or name == "SSL_CERT_FILE":
            monkeypatch.delenv(name)
    monkeypatch.setattr(index, "SYSTEM_FILES", ())
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    file = tmp_path / ".config/pip/pip.conf"
    file.parent.mkdir(parents=True)
    return file


def test_a_build_is_told_nothing_where_nothing_is_set(pip: Path) -> None:
    with secrets() as given:
        assert given == {}


def test_a_build_uses_the_index_and_the_authority_of_this_machine(pip: Path) -> None:
    pip.write_text("[global]\nindex-url = https://mirror.example/simple\ncert = /etc/ssl/own.pem\n")
    with secrets() as given:
        text = given["pip.conf"].read_text()
        assert "index-url = https://mirror.example/simple" in text
        assert f"cert = {CERTIFICATES}" in text
        assert given["ca.crt"] == Path("/etc/ssl/own.pem")
        assert given["pip.conf"].parent.stat().st_mode & 0o077 == 0
    assert not given["pip.conf"].exists()


def test_a_variable_wins_over_a_file(pip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pip.write_text("[global]\nindex-url = https://file.example\n")
    monkeypatch.setenv("PIP_INDEX_URL", "https://variable.example")
    assert pip_settings()["index-url"] == "https://variable.example"


def test_what_only_this_machine_has_is_not_passed_on(
    pip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_FIND_LINKS", "/opt/wheels")
    with secrets() as given:
        assert given == {}


def test_uv_uses_the_index_that_pip_was_told(pip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "UV_DEFAULT_INDEX" not in index.uv_environment()
    pip.write_text("[global]\nindex-url = https://mirror.example/simple\n")
    assert index.uv_environment()["UV_DEFAULT_INDEX"] == "https://mirror.example/simple"
    monkeypatch.setenv("UV_DEFAULT_INDEX", "https://own.example/simple")
    assert index.uv_environment()["UV_DEFAULT_INDEX"] == "https://own.example/simple"
