"""The bare API server that the other integration tests stand on is a real one and cleans up."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from kubernetes import client
from kubernetes.client.exceptions import ApiException

from e2e.cluster import apiserver, paths
from e2e.cluster.apiserver import ApiServer
from e2e.cluster.errors import ClusterError
from tests.support.apiserver import connect

PROC = Path("/proc")
START_AND_WAIT = """
import signal
from e2e.cluster.apiserver import api_server
with api_server() as server:
    print(server.directory, flush=True)
    signal.pause()
"""


def test_a_written_object_is_read_back(api_client: client.ApiClient, namespace: str) -> None:
    core = client.CoreV1Api(api_client)
    core.create_namespaced_config_map(
        namespace,
        client.V1ConfigMap(metadata=client.V1ObjectMeta(name="words"), data={"greeting": "hello"}),
    )
    assert core.read_namespaced_config_map("words", namespace).data == {"greeting": "hello"}


def test_a_user_without_a_role_may_not_read_secrets(
    api_server: ApiServer, namespace: str, tmp_path: Path
) -> None:
    file = tmp_path / "visitor.kubeconfig"
    file.write_text(api_server.kubeconfig_for("visitor", "visitors"))
    with (
        connect(file) as visitor,
        pytest.raises(ApiException) as refused,
    ):
        client.CoreV1Api(visitor).list_namespaced_secret(namespace)
    assert refused.value.status == 403
    assert 'User "visitor" cannot list resource "secrets"' in message(refused.value)


def test_a_client_without_a_certificate_may_not_read_secrets(
    api_server: ApiServer, namespace: str
) -> None:
    settings = client.Configuration(host=api_server.url)
    settings.ssl_ca_cert = str(api_server.directory / "pki" / "ca.crt")
    with client.ApiClient(settings) as anonymous, pytest.raises(ApiException) as refused:
        client.CoreV1Api(anonymous).list_namespaced_secret(namespace)
    assert refused.value.status == 403


def test_pod_security_is_enforced_where_the_namespace_says_so(
    api_client: client.ApiClient, restricted: str
) -> None:
    core = client.CoreV1Api(api_client)
    pod = client.V1Pod(
        metadata=client.V1ObjectMeta(name="careless"),
        spec=client.V1PodSpec(containers=[client.V1Container(name="any", image="any")]),
    )
    with pytest.raises(ApiException) as refused:
        core.create_namespaced_pod(restricted, pod)
    assert "violates PodSecurity" in message(refused.value)


def test_every_write_is_in_the_audit_log_without_its_content(
    api_server: ApiServer, api_client: client.ApiClient, namespace: str
) -> None:
    client.CoreV1Api(api_client).create_namespaced_secret(
        namespace,
        client.V1Secret(
            metadata=client.V1ObjectMeta(name="hidden"), string_data={"word": "open-sesame"}
        ),
    )

    def created() -> list[str]:
        # A last line that is still being written is read the next time.
        log, _, _ = api_server.audit_log.read_text().rpartition("\n")
        events = [json.loads(line) for line in log.splitlines()]
        return [
            event["objectRef"]["resource"]
            for event in events
            if event["verb"] == "create"
            and event.get("objectRef", {}).get("namespace") == namespace
        ]

    until(lambda: created() != [])  # the audit follows the answer
    assert created() == ["secrets"]
    assert "open-sesame" not in api_server.audit_log.read_text()


def test_a_killed_test_run_leaves_no_process_and_the_next_one_removes_its_files(
    tmp_path: Path,
) -> None:
    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path)}
    run = subprocess.Popen(  # noqa: S603  (this test's own program)
        [sys.executable, "-c", START_AND_WAIT],
        cwd=paths.ROOT, env=environment, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert run.stdout is not None
    with run.stdout:
        directory = Path(run.stdout.readline().strip())
    servers = processes_naming(directory)
    assert len(servers) == 2
    run.send_signal(signal.SIGKILL)
    run.wait()
    until(lambda: not processes_naming(directory))
    assert directory.exists()

    second = subprocess.run(  # noqa: S603  (this test's own program)
        [sys.executable, "-c", START_AND_WAIT.replace("signal.pause()", "")],
        cwd=paths.ROOT, env=environment, check=True, capture_output=True,
    )  # fmt: skip
    assert second.stdout
    assert not [entry for entry in directory.parent.iterdir() if entry.is_dir()]


def test_the_programs_in_kubebuilder_assets_are_preferred(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, file in apiserver.find_programs().items():
        (tmp_path / name).symlink_to(file)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with apiserver.api_server() as server:
        assert any(str(tmp_path) in command for command in processes_naming(server.directory))


def test_incomplete_kubebuilder_assets_are_refused_with_the_missing_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "etcd").touch(mode=0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with pytest.raises(ClusterError, match="has no kube-apiserver"):
        apiserver.find_programs()


def test_a_server_that_cannot_start_says_why(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in apiserver.PROGRAMS:
        (tmp_path / name).write_text("#!/bin/sh\necho the disk is on fire\nexit 3\n")
        (tmp_path / name).chmod(0o755)
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(tmp_path))
    with (
        pytest.raises(ClusterError, match=r"ended with code 3:\nthe disk is on fire"),
        apiserver.api_server(),
    ):
        pass


def message(error: ApiException) -> str:
    """The sentence in the API server's answer."""
    return str(json.loads(error.body or "{}")["message"])


def processes_naming(directory: Path) -> list[str]:
    """Command lines of the running programs (not of this one) that name a folder."""
    found = []
    for entry in PROC.iterdir():
        if entry.name.isdigit():
            try:
                command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if str(directory) in command:
                found.append(command)
    return found


def until(condition: Callable[[], bool], *, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.05)
