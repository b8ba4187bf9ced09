"""Brings a local cluster up and down.

The order makes every crash harmless: the record, with the network, is written before anything
starts, so `down` knows what to look for; the node holds a lock that cannot outlive it; the marker
`ready` is written last, and `up` starts anew what has no marker.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from string import Template
from tempfile import TemporaryDirectory
from typing import IO

from e2e.cluster import binaries, images, imagetar, packages, paths, registry
from e2e.cluster.backend import Status, kubeconfig_path
from e2e.cluster.console import say, step
from e2e.cluster.controlplane import CLUSTER_DOMAIN
from e2e.cluster.errors import ClusterError
from e2e.cluster.local import files, remains
from e2e.cluster.local.layout import (
    COREDNS_IMAGE,
    PAUSE_IMAGE,
    POLICIES_USER,
    PROVISIONER_USER,
    Layout,
)
from e2e.cluster.network import Network, allocate, host_networks
from e2e.cluster.readiness import unready, wait_ready
from e2e.cluster.registry import Record

PROGRAMS = (*binaries.KUBERNETES_PROGRAMS, "etcd", "coredns", "pause")
NAMESPACES = ("--pid", "--mount", "--net", "--uts", "--ipc")
API_SECONDS = 120.0
WAIT = "--timeout=120s"


class LocalBackend:
    """A cluster of one node in namespaces of its own."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.state = registry.folder(record.name)

    def up(self) -> None:
        """Start the cluster; only look whether it answers when it is up."""
        require_root()
        if self._is_up():
            self._wait_for_api()
            return
        packages.ensure(packages.NODE_FILES, purpose="a local cluster")
        programs = binaries.ensure_all(PROGRAMS, kubernetes=self.record.kubernetes)
        self.down()
        registry.remove(self.record.name)
        layout = self._allocate()
        with step(f"starting Kubernetes {self.record.kubernetes}, cluster {self.record.name}"):
            files.write_all(self.state, layout, programs, snapshotter=snapshotter(self.state))
            node = self._start_node(layout)
            self._link(layout.network)
            self._wait_for_api(node)
        with step("starting the node, DNS and volumes"):
            self._import_own_images(programs)
            self._apply_manifests(layout)
            self._wait_for_node(layout)
        self._marker.touch()

    def down(self) -> None:
        """Kill the node and remove what it leaves on the host."""
        if not self.state.exists():
            return
        require_root()
        self._marker.unlink(missing_ok=True)
        remains.kill_node(self.state)
        if self.record.block is not None:
            layout = self._layout
            remains.remove_device(layout.network.device)
            remains.remove_cgroups(layout.cgroup)

    def status(self) -> Status:
        """Tell whether the node lives and its API server is ready."""
        if not remains.node_alive(self.state):
            return Status(ready=False, detail="not running")
        if not self._is_up():
            return Status(ready=False, detail="was interrupted while it came up: run `up` again")
        answer = unready(self._layout.server, self._authority)
        audit_log = self.state / "logs" / "audit.log"
        if answer is not None:
            return Status(ready=False, detail=answer, audit_log=audit_log)
        return Status(ready=True, detail=f"ready at {self._layout.server}", audit_log=audit_log)

    def load(self, references: Sequence[str]) -> None:
        """Import images into the node; what it has already is left out."""
        if not self._is_up():
            raise ClusterError(f"cluster {self.record.name} is not up")
        known_file = self.state / "images.json"
        known = json.loads(known_file.read_text()) if known_file.exists() else {}
        present = self._ctr("images", "list", "--quiet").split()
        for reference in references:
            if reference.endswith(".tar"):
                with step(f"loading {reference}"):
                    self._import(Path(reference))
                continue
            image = images.find(reference)
            if reference in present and known.get(reference) == image.identity:
                say(f"{reference} is loaded")
                continue
            with step(f"loading {reference} from {image.tool}"), image.archive() as archive:
                self._import(archive)
            known[reference] = image.identity
            paths.write_private(known_file, json.dumps(known, indent=2))

    @property
    def _marker(self) -> Path:
        return self.state / "ready"

    def _is_up(self) -> bool:
        return self._marker.exists() and remains.node_alive(self.state)

    @property
    def _layout(self) -> Layout:
        if self.record.block is None:
            raise ClusterError(f"cluster {self.record.name} has no network: run `up` again")
        return Layout(self.record.name, Network(self.record.block))

    @property
    def _authority(self) -> bytes:
        return (self.state / "pki" / "ca.crt").read_bytes()

    def _allocate(self) -> Layout:
        with registry.all_locked():
            others = [Network(r.block).cidr for r in registry.records() if r.block is not None]
            network = allocate(self.record.name, [*host_networks(), *others])
            self.record = replace(self.record, block=network.block)
            registry.write(self.record)
        return self._layout

    def _start_node(self, layout: Layout) -> subprocess.Popen[bytes]:
        remains.create_cgroups(layout.cgroup)
        lock = paths.try_lock(self.state / remains.LOCK)
        if lock is None:
            raise ClusterError(f"a node of {self.record.name} is still running")
        # The node inherits the lock and so holds it until the last of its namespaces has ended.
        with lock, (self.state / "logs" / "node.log").open("wb") as log:
            return subprocess.Popen(
                [
                    "unshare", "--fork", "--kill-child", "--propagation=private", *NAMESPACES,
                    sys.executable, "-m", remains.NODE_MODULE, str(self.state),
                ],
                cwd=paths.ROOT, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True, pass_fds=[lock.fileno()],
            )  # fmt: skip

    def _link(self, network: Network) -> None:
        pid = remains.node_pid(self.state)
        for words in (
            f"link add {network.device} type veth peer name eth0 netns {pid}",
            f"address add {network.host}/{network.link_prefix} dev {network.device}",
            f"link set {network.device} up",
            f"route add {network.cidr} via {network.node} dev {network.device}",
        ):
            run(["ip", *words.split()])

    def _wait_for_api(self, node: subprocess.Popen[bytes] | None = None) -> None:
        logs = self.state / "logs"

        def check_alive() -> None:
            if node is not None and node.poll() is not None:
                last = (logs / "node.log").read_text(errors="replace").splitlines()[-10:]
                raise ClusterError("\n".join(["the node ended:", *last]))

        try:
            wait_ready(
                self._layout.server, self._authority, seconds=API_SECONDS, check_alive=check_alive
            )
        except ClusterError as error:
            raise ClusterError(f"{error}\nlogs are in {logs}") from error

    def _import_own_images(self, programs: dict[str, Path]) -> None:
        with TemporaryDirectory(prefix="memorybank-image-") as directory:
            archive = Path(directory) / "image.tar"
            for name, reference in (("pause", PAUSE_IMAGE), ("coredns", COREDNS_IMAGE)):
                imagetar.write_image(
                    archive, reference=reference, program=programs[name], user="65532:65532"
                )
                self._import(archive)

    def _import(self, archive: Path) -> None:
        with archive.open("rb") as content:
            self._ctr(
                "images", "import", "--snapshotter", snapshotter(self.state), "-", stdin=content
            )

    def _ctr(self, *arguments: str, stdin: IO[bytes] | None = None) -> str:
        entered = ["nsenter", f"--target={remains.node_pid(self.state)}", "--mount", "--net"]
        return run([*entered, "ctr", "--namespace", "k8s.io", *arguments], stdin=stdin)

    def _apply_manifests(self, layout: Layout) -> None:
        values = {
            "dns": str(layout.network.dns),
            "domain": CLUSTER_DOMAIN,
            "coredns_image": COREDNS_IMAGE,
            "provisioner_user": PROVISIONER_USER,
            "policies_user": POLICIES_USER,
        }
        for name in ("coredns.yaml", "storage.yaml", "policies.yaml"):
            file = self.state / "config" / name
            text = Template((paths.MANIFESTS / name).read_text()).substitute(values)
            paths.write_private(file, text)
            self._kubectl("apply", "--server-side", f"--filename={file}")

    def _wait_for_node(self, layout: Layout) -> None:
        node = f"node/{layout.node_name}"
        self._kubectl("wait", "--for=create", node, WAIT)
        self._kubectl("wait", "--for=condition=Ready", node, WAIT)
        self._kubectl("wait", "--for=create", "serviceaccount/default", WAIT)
        self._kubectl("--namespace=kube-system", "rollout", "status", "deployment/coredns", WAIT)

    def _kubectl(self, *arguments: str) -> None:
        kubectl = binaries.ensure("kubectl", kubernetes=self.record.kubernetes)
        run([str(kubectl), f"--kubeconfig={kubeconfig_path(self.record)}", *arguments])


def require_root() -> None:
    """Raise ClusterError when we may not make namespaces and devices."""
    if os.geteuid() != 0:
        raise ClusterError("a local cluster needs root: run the command with sudo")


def snapshotter(directory: Path) -> str:
    """Return how containerd stacks image layers: overlays do not work on top of an overlay."""
    filesystem = run(["findmnt", "--noheadings", "--output=FSTYPE", f"--target={directory}"])
    return "native" if filesystem.strip() == "overlay" else "overlayfs"


def run(command: list[str], *, stdin: IO[bytes] | None = None) -> str:
    """Run a program and return its output; ClusterError with what it complained about."""
    done = subprocess.run(
        command, stdin=stdin or subprocess.DEVNULL, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        words = " ".join(word for word in command[:8] if not word.startswith("--kubeconfig"))
        raise ClusterError(f"`{words}` failed: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout
