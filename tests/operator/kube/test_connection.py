"""The API server is found by kubeconfig or service account; what is wrong is said with its cure."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
import yaml

from memorybank_operator.kube import connection
from memorybank_operator.kube.connection import ConnectionConfigError, Token


def kubeconfig(folder: Path, *, user: dict[str, Any], context: str = "here") -> Path:
    file = folder / "config"
    document = {
        "current-context": context,
        "contexts": [{"name": "here", "context": {"cluster": "c", "user": "u"}}],
        "clusters": [{"name": "c", "cluster": {"server": "https://127.0.0.1:6443/"}}],
        "users": [{"name": "u", "user": user}],
    }
    file.write_text(yaml.safe_dump(document))
    return file


def test_a_kubeconfig_with_a_token_is_read(tmp_path: Path) -> None:
    found = connection.connect({"KUBECONFIG": str(kubeconfig(tmp_path, user={"token": "t1"}))})
    assert found.server == "https://127.0.0.1:6443"
    assert found.token.read() == "t1"


def test_the_default_kubeconfig_is_found_in_the_home_folder(tmp_path: Path) -> None:
    (tmp_path / ".kube").mkdir()
    kubeconfig(tmp_path / ".kube", user={"token": "t1"})
    assert connection.connect({"HOME": str(tmp_path)}).token.read() == "t1"


def test_a_token_file_is_looked_for_beside_the_kubeconfig(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t2\n")
    file = kubeconfig(tmp_path, user={"tokenFile": "token"})
    assert connection.from_kubeconfig(file).token.read() == "t2"


def test_a_rotated_token_is_read_again(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    token = Token(file=file)
    assert token.read() == "old"
    # A kubelet replaces the file by moving a link.
    (tmp_path / "next").write_text("new")
    os.replace(tmp_path / "next", file)
    assert token.read() == "new"


def test_a_refused_token_is_read_again_though_its_file_looks_the_same(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("old")
    token = Token(file=file)
    token.read()
    stamp = file.stat().st_mtime_ns
    file.write_text("new")
    os.utime(file, ns=(stamp, stamp))
    assert token.read() == "old"
    token.forget()
    assert token.read() == "new"


@pytest.mark.parametrize("field", connection.UNSUPPORTED_USER_FIELDS)
def test_what_would_run_other_programs_is_refused_with_the_cure(tmp_path: Path, field: str) -> None:
    file = kubeconfig(tmp_path, user={field: {"command": "aws"}})
    with pytest.raises(ConnectionConfigError, match=rf"user 'u' uses {field}, .*: use a token"):
        connection.from_kubeconfig(file)


def test_an_unknown_context_is_named(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path, user={}, context="gone")
    with pytest.raises(ConnectionConfigError, match="contexts has no entry named 'gone'"):
        connection.from_kubeconfig(file)


def test_a_missing_field_is_named(tmp_path: Path) -> None:
    file = tmp_path / "config"
    document = yaml.safe_load(kubeconfig(tmp_path, user={}).read_text())
    del document["clusters"][0]["cluster"]["server"]
    file.write_text(yaml.safe_dump(document))
    with pytest.raises(ConnectionConfigError, match="'server' is missing"):
        connection.from_kubeconfig(file)


def test_a_missing_certificate_file_is_named(tmp_path: Path) -> None:
    file = kubeconfig(tmp_path, user={"client-certificate": "gone.crt", "client-key": "gone.key"})
    with pytest.raises(ConnectionConfigError, match=r"gone\.crt"):
        connection.from_kubeconfig(file)


@pytest.mark.parametrize("content", ["", "[]", "{", "null"])
def test_a_file_that_is_no_kubeconfig_is_refused(tmp_path: Path, content: str) -> None:
    file = tmp_path / "config"
    file.write_text(content)
    with pytest.raises(ConnectionConfigError, match="kubeconfig"):
        connection.from_kubeconfig(file)


def test_a_pod_without_a_token_is_told_what_it_needs() -> None:
    with pytest.raises(ConnectionConfigError, match="automountServiceAccountToken"):
        connection.connect({"KUBERNETES_SERVICE_HOST": "10.0.0.1"})


def test_without_any_configuration_both_ways_are_named(tmp_path: Path) -> None:
    with pytest.raises(ConnectionConfigError, match="service account, or set KUBECONFIG"):
        connection.connect({"HOME": str(tmp_path)})
