"""Which backend is used, and what the command line says when something is missing."""

from __future__ import annotations

from pathlib import Path

import pytest

from e2e.cluster import __main__ as command_line
from e2e.cluster import backend, binaries, images, packages, registry
from e2e.cluster.errors import ClusterError
from e2e.cluster.kind import NODE_IMAGES
from e2e.cluster.registry import Record


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def only_program(directory: Path, monkeypatch: pytest.MonkeyPatch, name: str, script: str) -> None:
    """Make a script the only program on the PATH."""
    directory.mkdir()
    (directory / name).write_text(f"#!/bin/sh\n{script}\n")
    (directory / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(directory))


def test_a_context_is_used_only_when_it_is_named() -> None:
    assert backend.choose(None, "production") == "context"
    assert backend.choose("context", "production") == "context"
    with pytest.raises(ClusterError, match="no context is ever guessed"):
        backend.choose("context", None)
    with pytest.raises(ClusterError, match="exclude each other"):
        backend.choose("local", "production")


def test_without_docker_the_local_backend_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert backend.choose(None, None) == "local"


def test_a_docker_client_without_its_engine_is_no_docker(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_program(tmp_path / "bin", monkeypatch, "docker", "exit 1")
    assert backend.choose(None, None) == "local"


def test_where_a_docker_engine_answers_kind_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_program(tmp_path / "bin", monkeypatch, "docker", "exit 0")
    assert backend.choose(None, None) == "kind"


def test_every_record_leads_to_its_backend() -> None:
    for name in ("context", "kind", "local"):
        record = Record("dev", name, "1.34", context="any")
        assert backend.of(record).record == record


def test_kind_has_a_node_image_of_every_version() -> None:
    assert set(NODE_IMAGES) == set(binaries.kubernetes_versions())


@pytest.mark.parametrize("command", [["kubeconfig"], ["load", "x"], ["kubectl", "get", "pods"]])
def test_a_cluster_that_is_not_there_is_said_to_be_missing(
    command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert command_line.main([command[0], "--name", "nobody", *command[1:]]) == 1
    assert "there is no cluster nobody: run `python -m e2e.cluster up`" in capsys.readouterr().err


def test_down_without_a_cluster_is_no_error(state: Path) -> None:
    assert command_line.main(["down", "--name", "nobody"]) == 0
    assert registry.records() == []


def test_the_kubeconfigs_path_is_all_that_is_printed(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    registry.write(Record("dev", "local", "1.34"))
    assert command_line.main(["kubeconfig", "--name", "dev"]) == 0
    expected = state / "memorybank-dev" / "clusters" / "dev" / "kubeconfig"
    assert capsys.readouterr().out == f"{expected}\n"


def test_an_image_that_no_store_has_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_program(tmp_path / "bin", monkeypatch, "podman", "exit 125")
    with pytest.raises(ClusterError, match="localhost/nothing:dev cannot be loaded: podman has no"):
        images.find("localhost/nothing:dev")


def test_missing_packages_are_those_whose_files_are_missing(tmp_path: Path) -> None:
    there = tmp_path / "there"
    there.touch()
    files = {str(there): "present", str(tmp_path / "gone-for-good"): "absent"}
    assert packages.missing(files) == ["absent"]


def test_who_is_not_root_is_told_the_command_that_helps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(ClusterError, match=r"sudo apt-get install absent"):
        packages.ensure({str(tmp_path / "gone-for-good"): "absent"}, purpose="this test")


def test_nothing_is_installed_where_nothing_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    (tmp_path / "there").touch()
    packages.ensure({str(tmp_path / "there"): "present"}, purpose="this test")
