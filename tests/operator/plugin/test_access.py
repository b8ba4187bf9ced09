"""Which API server is asked, and as whom."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from memorybank_operator.kube.connection import ConnectionConfigError
from memorybank_operator.plugin import access


def config(name: str, user: dict[str, Any], **context: str) -> dict[str, Any]:
    return {
        "current-context": name,
        "contexts": [{"name": name, "context": {"cluster": name, "user": name, **context}}],
        "clusters": [{"name": name, "cluster": {"server": f"https://{name}:6443/"}}],
        "users": [{"name": name, "user": user}],
    }


def write(folder: Path, name: str, user: dict[str, Any], **context: str) -> Path:
    file = folder / f"{name}.yaml"
    file.write_text(yaml.safe_dump(config(name, user, **context)))
    return file


def test_several_files_are_one_and_the_first_one_chooses(tmp_path: Path) -> None:
    first = write(tmp_path, "one", {"token": "1"})
    second = write(tmp_path, "two", {"token": "2"}, namespace="team")
    environment = {"KUBECONFIG": f"{first}:{second}:{tmp_path / 'absent'}"}
    found = access.find(environment=environment)
    assert (found.connection.server, found.namespace) == ("https://one:6443", "default")
    other = access.find(context="two", environment=environment)
    assert (other.connection.server, other.namespace) == ("https://two:6443", "team")
    assert other.connection.token.read() == "2"


def test_paths_are_those_of_the_file_that_names_them(tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "token").write_text("from a file\n")
    first = write(tmp_path, "one", {"token": "1"})
    second = write(folder, "two", {"tokenFile": "token"})
    found = access.find(context="two", environment={"KUBECONFIG": f"{first}:{second}"})
    assert found.connection.token.read() == "from a file"


def test_a_program_that_gives_credentials_is_asked(tmp_path: Path) -> None:
    answer = {"kind": "ExecCredential", "status": {"token": "given"}}
    program = f"print({json.dumps(answer)!r})"
    file = write(tmp_path, "one", {"exec": {"command": sys.executable, "args": ["-c", program]}})
    assert access.find(str(file)).connection.token.read() == "given"


@pytest.mark.parametrize(
    ("program", "told"),
    [("raise SystemExit(1)", "log in again"), ("print('hello')", "ExecCredential")],
)
def test_a_program_that_fails_is_named(tmp_path: Path, program: str, told: str) -> None:
    file = write(tmp_path, "one", {"exec": {"command": sys.executable, "args": ["-c", program]}})
    with pytest.raises(ConnectionConfigError, match=told):
        access.find(str(file))


@pytest.mark.parametrize(
    ("text", "told"), [("[", "cannot be read"), ("", "is empty"), ("a: b", "no current context")]
)
def test_a_broken_file_is_named(tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "config"
    file.write_text(text)
    with pytest.raises(ConnectionConfigError, match=told):
        access.find(str(file))


def test_without_any_file_it_says_how_to_name_one(tmp_path: Path) -> None:
    with pytest.raises(ConnectionConfigError, match="--kubeconfig"):
        access.find(environment={"HOME": str(tmp_path)})


def test_a_context_that_is_not_there_is_named(tmp_path: Path) -> None:
    file = write(tmp_path, "one", {"token": "1"})
    with pytest.raises(ConnectionConfigError, match="'two'"):
        access.find(str(file), "two")
