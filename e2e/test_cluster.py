"""The local cluster is a real one, leaves the machine as it was, and survives being interrupted."""

from __future__ import annotations

import json
import os
import shutil
import signal
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from e2e.cluster import binaries, imagetar, paths
from e2e.cluster.local import remains

IMAGE = "localhost/testpod:dev"
TRIES = 5
HOST_SETTINGS = ("vm/overcommit_memory", "kernel/panic", "kernel/panic_on_oops")
# Files of the state folder in the order in which `up` makes them: where it is killed.
CRASH_POINTS = ("cluster.json", "config/node.json", "node.pid", "kubelet", "config/storage.yaml")

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="a local cluster needs root")


@pytest.fixture(autouse=True)
def operator_log_has_no_traceback() -> None:
    """Takes the place of the fixture for clusters that run the operator; here none does."""


@dataclass(frozen=True)
class Cluster:
    """A local cluster with its state in a folder of the test run."""

    name: str
    home: Path

    @property
    def state(self) -> Path:
        return self.home / paths.APPLICATION / "clusters" / self.name

    @property
    def environment(self) -> dict[str, str]:
        return os.environ | {"XDG_STATE_HOME": str(self.home)}

    def command(self, command: str, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "e2e.cluster", command, "--name", self.name, *arguments]

    def run(self, command: str, *arguments: str, check: bool = True) -> str:
        done = self._run(command, *arguments)
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout

    def run_showing_progress(self, command: str, *arguments: str) -> str:
        done = self._run(command, *arguments)
        assert done.returncode == 0, done.stderr
        return done.stderr

    def _run(self, command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command(command, *arguments), cwd=paths.ROOT, env=self.environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def up(self) -> None:
        self.run("up", "--backend", "local")

    def status(self) -> dict[str, Any]:
        return dict(json.loads(self.run("status", "--json", check=False)))

    def kubectl(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        done = subprocess.run(
            [str(binaries.ensure("kubectl")), "--kubeconfig", str(self.state / "kubeconfig"),
             *arguments], input=stdin, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0 or not check, done.stderr
        return done.stdout if check else done.stdout + done.stderr

    def apply(self, *objects: dict[str, Any]) -> None:
        self.kubectl("apply", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)))

    def traces(self) -> dict[str, list[str]]:
        """What of this cluster can be seen on the host outside its state folder."""
        name = f"memorybank-{self.name}-"
        return {
            "processes": [str(pid) for pid in processes() if str(self.state) in command_of(pid)],
            "cgroups": [
                str(found)
                for mount in remains.cgroup_mounts(remains.MOUNTS.read_text())
                for found in mount.glob(f"{name}*")
            ],
            "mounts": [
                line
                for line in remains.MOUNTS.read_text().splitlines()
                if str(self.state) in line or name in line
            ],
            "chains": [line for line in output("iptables-save").splitlines() if "KUBE-" in line],
        }


@pytest.fixture(scope="module")
def host_settings() -> dict[str, str]:
    return read_host_settings()


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    archive = tmp_path_factory.mktemp("image") / "testpod.tar"
    program = binaries.ensure("testpod")
    imagetar.write_image(
        archive, reference=IMAGE, program=program, arguments=["serve"], user="65532:65532"
    )
    return archive


@pytest.fixture(scope="module")
def cluster(
    tmp_path_factory: pytest.TempPathFactory, archive: Path, host_settings: dict[str, str]
) -> Iterator[Cluster]:
    cluster = Cluster("selftest", tmp_path_factory.mktemp("state"))
    try:
        cluster.up()
        cluster.run("load", str(archive))
        yield cluster
    finally:
        cluster.run("down")


@pytest.fixture
def namespace(cluster: Cluster, request: pytest.FixtureRequest) -> Iterator[str]:
    name = request.node.name.removeprefix("test_").replace("_", "-")[:50].strip("-")
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    cluster.apply(
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    )
    yield name
    cluster.kubectl("delete", "namespace", name, "--wait=false")


def test_a_service_answers_the_host_and_other_pods_by_its_name(
    cluster: Cluster, namespace: str
) -> None:
    cluster.apply(*web(namespace))
    cluster.kubectl("-n", namespace, "rollout", "status", "deployment/web", "--timeout=180s")
    address = cluster.kubectl(
        "-n", namespace, "get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"
    )
    # The rules of the Service may come a moment after its pod is ready; a connection begun before
    # is never led by them.
    until(lambda: greets(f"http://{address}/from-the-host"))

    cluster.apply(pod(namespace, "visitor"))
    wait_ready(cluster, namespace, "visitor")
    for url in ("http://web/short", f"http://web.{namespace}.svc.cluster.local/long"):
        said = cluster.kubectl("-n", namespace, "exec", "visitor", "--", "/testpod", "get", url)
        assert said.startswith("hello from web-")
    served: list[str] = []

    def all_are_logged() -> bool:  # a moment after they are answered
        logs = cluster.kubectl("-n", namespace, "logs", "deployment/web")
        served[:] = dict.fromkeys(logs.split("\n"))
        return len(served) >= 4  # the last one is the end of the last line

    until(all_are_logged)
    assert served[:3] == ["served /from-the-host", "served /short", "served /long"]


def test_a_name_outside_the_cluster_is_unknown_at_once(cluster: Cluster, namespace: str) -> None:
    cluster.apply(pod(namespace, "visitor"))
    wait_ready(cluster, namespace, "visitor")

    def look_up() -> None:
        said = cluster.kubectl(
            "-n", namespace, "exec", "visitor", "--", "/testpod", "lookup", "example.org",
            check=False,
        )  # fmt: skip
        assert "no such host" in said

    succeeds_within(5, look_up)


def test_a_volume_keeps_its_data_grows_and_is_freed(cluster: Cluster, namespace: str) -> None:
    cluster.apply(claim(namespace, "data", "64Mi"), pod(namespace, "writer", claim="data"))
    wait_ready(cluster, namespace, "writer")
    inside = ("-n", namespace, "exec")
    cluster.kubectl(*inside, "writer", "--", "/testpod", "write", "/data/word", "kept")
    cluster.kubectl("-n", namespace, "delete", "pod", "writer", "--grace-period=1")
    cluster.apply(pod(namespace, "reader", claim="data"))
    wait_ready(cluster, namespace, "reader")
    said = cluster.kubectl(*inside, "reader", "--", "/testpod", "read", "/data/word")
    assert said == "kept"

    cluster.apply(claim(namespace, "data", "128Mi"))
    wait_for(cluster, namespace, "pvc/data", "{.status.capacity.storage}=128Mi")

    folders = list((cluster.state / "volumes").iterdir())
    assert len(folders) == 1
    cluster.kubectl("-n", namespace, "delete", "pod", "reader", "--grace-period=1")
    cluster.kubectl("-n", namespace, "delete", "pvc", "data")
    cluster.kubectl("wait", "--for=delete", f"pv/{folders[0].name}", "--timeout=180s")
    assert not folders[0].exists()


def test_a_careless_pod_is_refused_where_restricted_is_enforced(
    cluster: Cluster, namespace: str
) -> None:
    said = cluster.kubectl(
        "-n", namespace, "run", "careless", f"--image={IMAGE}", "--image-pull-policy=Never",
        check=False,
    )  # fmt: skip
    assert 'violates PodSecurity "restricted:latest"' in said


def test_a_pods_own_token_names_its_service_account_and_gives_no_more(
    cluster: Cluster, namespace: str
) -> None:
    token = cluster.kubectl("-n", namespace, "create", "token", "default")
    server = cluster.kubectl("config", "view", "-o", "jsonpath={.clusters[0].cluster.server}")
    trust = ssl.create_default_context(cafile=str(cluster.state / "pki" / "ca.crt"))
    request = urllib.request.Request(  # noqa: S310  (an address of our own)
        f"{server}/api/v1/namespaces/{namespace}/secrets",
        headers={"Authorization": f"Bearer {token.strip()}"},
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, context=trust, timeout=60)  # noqa: S310  (as above)
    with refused.value as answer:
        assert answer.code == 403
        assert f"system:serviceaccount:{namespace}:default" in answer.read().decode()


def test_the_kubelet_answers_nobody_without_a_certificate(cluster: Cluster) -> None:
    address = cluster.kubectl(
        "get", "nodes", "-o", "jsonpath={.items[0].status.addresses[0].address}"
    )
    trust = ssl.create_default_context(cafile=str(cluster.state / "pki" / "ca.crt"))
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(f"https://{address}:10250/pods", context=trust, timeout=60)
    with refused.value as answer:
        assert answer.code == 401


def test_writes_can_be_counted_in_the_audit_log(cluster: Cluster, namespace: str) -> None:
    cluster.kubectl("-n", namespace, "create", "configmap", "counted")
    log = Path(cluster.status()["audit_log"])

    def writes() -> list[str]:
        # A last line that is still being written is read the next time.
        lines, _, _ = log.read_text().rpartition("\n")
        return [
            event["verb"]
            for event in map(json.loads, lines.splitlines())
            if event.get("objectRef", {}).get("name") == "counted"
            and event["objectRef"]["namespace"] == namespace
        ]

    until(lambda: writes() != [])  # the audit follows the answer
    assert writes() == ["create"]


def test_a_program_that_dies_is_started_again(cluster: Cluster) -> None:
    def controller_managers() -> list[int]:
        name = f"cluster-cidr=10.{cluster.status()['block']}."
        return [pid for pid in processes() if name in command_of(pid)]

    killed = controller_managers()
    assert len(killed) == 1
    os.kill(killed[0], signal.SIGKILL)
    until(lambda: len(controller_managers()) == 1 and controller_managers() != killed)


def test_a_second_up_changes_nothing_and_is_quick(cluster: Cluster) -> None:
    node = (cluster.state / "node.pid").read_text()
    succeeds_within(5, cluster.up)
    assert (cluster.state / "node.pid").read_text() == node


def test_another_version_under_the_same_name_is_refused(cluster: Cluster) -> None:
    other = next(v for v in binaries.kubernetes_versions() if v != binaries.DEFAULT_KUBERNETES)
    with pytest.raises(AssertionError, match="exists with kubernetes"):
        cluster.run("up", "--kubernetes", other)


def test_an_image_is_loaded_from_a_local_store_and_only_once(
    cluster: Cluster, archive: Path
) -> None:
    if shutil.which("buildah") is None:
        pytest.skip("buildah is not installed")
    output("buildah", "pull", "--quiet", f"docker-archive:{archive}")
    assert "from buildah" in cluster.run_showing_progress("load", IMAGE)
    assert cluster.run_showing_progress("load", IMAGE) == f"{IMAGE} is loaded\n"
    output("buildah", "rmi", IMAGE)


def test_an_existing_cluster_is_used_by_its_context_and_left_alone(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KUBECONFIG", str(cluster.state / "kubeconfig"))
    borrowed = Cluster("borrowed", cluster.home)
    borrowed.run("up", "--context", "memorybank-selftest")
    assert borrowed.status()["ready"]
    assert borrowed.kubectl("get", "nodes", "-o", "name") == "node/selftest-node\n"
    with pytest.raises(AssertionError, match="push them to a registry"):
        borrowed.run("load", IMAGE)
    borrowed.run("down")
    assert not borrowed.state.exists()
    assert cluster.status()["ready"]


def test_a_context_that_is_not_there_is_named(cluster: Cluster) -> None:
    with pytest.raises(AssertionError, match="cannot locate context nowhere"):
        Cluster("lost", cluster.home).run("up", "--context", "nowhere")


def test_the_host_is_not_touched_while_a_cluster_runs(
    cluster: Cluster, host_settings: dict[str, str]
) -> None:
    traces = cluster.traces()
    assert traces["processes"]
    assert traces["cgroups"]
    assert traces["mounts"] == []
    assert traces["chains"] == []
    assert read_host_settings() == host_settings


def test_an_interrupted_up_is_made_good_beside_another_cluster_and_down_leaves_nothing(
    cluster: Cluster,
) -> None:
    second = Cluster("second", cluster.home)
    try:
        for point in CRASH_POINTS:
            interrupt_up(second, point)
            assert not second.status()["ready"]
        second.up()
        assert second.status()["ready"]
        assert second.status()["block"] != cluster.status()["block"]
        device = f"mbank{second.status()['block']}"
        assert device in devices()
        namespace = os.readlink(f"/proc/{(second.state / 'node.pid').read_text().strip()}/ns/pid")
    finally:
        second.run("down")
    assert second.traces() == {"processes": [], "cgroups": [], "mounts": [], "chains": []}
    assert not second.state.exists()
    assert device not in devices()
    assert f"dev {device}" not in output("ip", "route", "show", "table", "all")
    assert [pid for pid in processes() if pid_namespace(pid) == namespace] == []
    assert cluster.status()["ready"]


def interrupt_up(cluster: Cluster, point: str) -> None:
    """Kill `up` as soon as it has made a file."""
    before = made(cluster, point)
    run = subprocess.Popen(
        cluster.command("up", "--backend", "local"), cwd=paths.ROOT, env=cluster.environment,
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    until(lambda: made(cluster, point) not in (None, before), seconds=300)
    run.kill()
    run.wait()


def made(cluster: Cluster, point: str) -> int | None:
    """When a file of the state folder was made; None when there is none."""
    try:
        return (cluster.state / point).stat().st_ctime_ns
    except FileNotFoundError:
        return None


def web(namespace: str) -> tuple[dict[str, Any], dict[str, Any]]:
    template = {"metadata": {"labels": {"app": "web"}}, "spec": pod(namespace, "web")["spec"]}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"selector": {"matchLabels": {"app": "web"}}, "template": template},
    }
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web", "namespace": namespace},
        "spec": {"selector": {"app": "web"}, "ports": [{"port": 80, "targetPort": 8080}]},
    }
    return deployment, service


def pod(namespace: str, name: str, *, claim: str | None = None) -> dict[str, Any]:
    container: dict[str, Any] = {
        "name": "testpod",
        "image": IMAGE,
        "imagePullPolicy": "Never",
        # By TCP, so that the log holds nothing but the test's own requests.
        "readinessProbe": {"tcpSocket": {"port": 8080}, "periodSeconds": 1},
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
    }
    spec: dict[str, Any] = {
        "containers": [container],
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 65532,
            "fsGroup": 65532,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
    }
    if claim is not None:
        container["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
        spec["volumes"] = [{"name": "data", "persistentVolumeClaim": {"claimName": claim}}]
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def claim(namespace: str, name: str, size: str) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": {"name": name, "namespace": namespace},
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "resources": {"requests": {"storage": size}},
        },
    }


def wait_ready(cluster: Cluster, namespace: str, name: str) -> None:
    cluster.kubectl(
        "-n", namespace, "wait", "--for=condition=Ready", f"pod/{name}", "--timeout=180s"
    )


def wait_for(cluster: Cluster, namespace: str, what: str, path: str) -> None:
    cluster.kubectl("-n", namespace, "wait", f"--for=jsonpath={path}", what, "--timeout=180s")


def greets(url: str) -> bool:
    """Whether the test pod behind a URL answers a new connection."""
    try:
        with urllib.request.urlopen(url, timeout=2) as answer:  # noqa: S310  (an address of ours)
            return bool(answer.read().startswith(b"hello from web-"))
    except OSError:
        return False


def succeeds_within(seconds: float, attempt: Callable[[], None]) -> None:
    """Fail unless one of some attempts takes less time: what else the machine does adds to it."""
    took: list[float] = []
    while not took or took[-1] >= seconds:
        assert len(took) < TRIES, f"not within {seconds:g} s, but {took}"
        start = time.monotonic()
        attempt()
        took.append(time.monotonic() - start)


def until(condition: Callable[[], bool], *, seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        time.sleep(0.02)


def processes() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def command_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return ""


def pid_namespace(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/ns/pid")
    except OSError:
        return ""


def devices() -> list[str]:
    return os.listdir("/sys/class/net")


def read_host_settings() -> dict[str, str]:
    return {name: Path("/proc/sys", name).read_text().strip() for name in HOST_SETTINGS}


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
