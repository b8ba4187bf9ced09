"""A bare API server: etcd and kube-apiserver on free loopback ports in a folder of their own.

Ready in seconds, without a node, without root. Nothing runs controllers here: a deleted namespace
stays in Terminating, and owner references do not collect garbage. The two processes are killed by
the kernel when the thread that started them ends, whatever ends it; files that a killed run left
are removed by the next one.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import mkdtemp

from e2e.cluster import paths, pki
from e2e.cluster.binaries import DEFAULT_KUBERNETES, ensure_all
from e2e.cluster.controlplane import CLUSTER_DOMAIN, ControlPlane
from e2e.cluster.errors import ClusterError
from e2e.cluster.kubeconfig import Kubeconfig
from e2e.cluster.pki import Authority
from e2e.cluster.readiness import wait_ready

ASSETS_VARIABLE = "KUBEBUILDER_ASSETS"
PROGRAMS = ("etcd", "kube-apiserver")
SERVICE_CIDR = "10.0.0.0/16"
"""Room for 65,000 Services: a long run of tests makes thousands, and nobody deletes them."""
SERVICE_IP = "10.0.0.1"
READY_SECONDS = 90.0
PORTS = range(11000, 28000)
"""Below the ephemeral ports of a Linux kernel and the node ports of Kubernetes."""
# A free port can be taken by another process before our server listens on it.
ATTEMPTS = 3


@dataclass(frozen=True)
class ApiServer:
    """A running bare API server and how to reach it."""

    url: str
    kubeconfig: Path
    audit_log: Path
    directory: Path
    authority: Authority
    crash_and_restart: Callable[[], None]
    """Kills kube-apiserver with all its connections, and starts it again; etcd goes on. Returns
    when it is ready.
    """

    def kubeconfig_for(self, user: str, *groups: str) -> str:
        """Return a kubeconfig for a user with a client certificate of their own."""
        return Kubeconfig(
            "memorybank-bare",
            self.url,
            self.authority.pair.certificate,
            user,
            self.authority.issue(user, groups),
        ).render()


@contextmanager
def api_server(
    *, kubernetes: str = DEFAULT_KUBERNETES, service_cidr: str = SERVICE_CIDR
) -> Iterator[ApiServer]:
    """Start a bare API server; yield it when it is ready; stop it and remove its files at the end.

    Raises ClusterError with the end of the logs when it does not become ready.
    """
    programs = find_programs(kubernetes)
    for attempt in range(1, ATTEMPTS + 1):
        with ExitStack() as stack:
            try:
                server = stack.enter_context(_run(programs, service_cidr))
            except PortTaken as error:
                if attempt == ATTEMPTS:
                    raise ClusterError(str(error)) from error
                continue
            yield server
            return


def find_programs(kubernetes: str = DEFAULT_KUBERNETES) -> dict[str, Path]:
    """Return etcd and kube-apiserver: those in $KUBEBUILDER_ASSETS when it is set, else our own."""
    assets = os.environ.get(ASSETS_VARIABLE)
    if not assets:
        return ensure_all(PROGRAMS, kubernetes=kubernetes)
    programs = {name: Path(assets) / name for name in PROGRAMS}
    missing = [name for name, file in programs.items() if not os.access(file, os.X_OK)]
    if missing:
        raise ClusterError(
            f"{ASSETS_VARIABLE}={assets} has no {' and no '.join(missing)}: "
            "point it at a folder that has both, or unset it to have them built"
        )
    return programs


class PortTaken(ClusterError):
    """A port that was free a moment ago is not any more."""


@contextmanager
def _run(programs: dict[str, Path], service_cidr: str) -> Iterator[ApiServer]:
    with _folder() as directory, ExitStack() as stack:
        plane = _plan(programs, directory, service_cidr)
        authority = pki.create_control_plane(
            plane.pki, api_hosts=pki.api_server_hosts(SERVICE_IP, [], domain=CLUSTER_DOMAIN)
        )
        processes: dict[str, subprocess.Popen[bytes]] = {}

        def start(name: str, command: list[str]) -> None:
            processes[name] = stack.enter_context(_process(command, directory / f"{name}.log"))

        def start_api_server() -> None:
            start("kube-apiserver", _bare(plane.api_server()))
            wait_ready(
                server.url,
                authority.pair.certificate,
                seconds=READY_SECONDS,
                check_alive=lambda: _raise_if_ended(directory, processes),
            )

        def crash_and_restart() -> None:
            processes["kube-apiserver"].kill()
            processes["kube-apiserver"].wait()
            start_api_server()

        server = ApiServer(
            url=f"https://127.0.0.1:{plane.api_port}",
            kubeconfig=directory / "admin.kubeconfig",
            audit_log=plane.audit_log,
            directory=directory,
            authority=authority,
            crash_and_restart=crash_and_restart,
        )
        paths.write_private(server.kubeconfig, server.kubeconfig_for("admin", "system:masters"))
        start("etcd", plane.etcd())
        start_api_server()
        yield server


@contextmanager
def _folder() -> Iterator[Path]:
    """Make a folder that is locked while it is in use; remove those that nobody uses any more."""
    root = paths.state() / "apiservers"
    with paths.locked(root / ".lock"):
        for old in root.glob("*/lock"):
            unused = paths.try_lock(old)
            if unused is not None:
                with unused:
                    shutil.rmtree(old.parent)
        directory = Path(mkdtemp(dir=root))
        lock = paths.try_lock(directory / "lock")
    if lock is None:
        raise ClusterError(f"{directory} was locked by another process before it was used")
    with lock:
        try:
            yield directory
        finally:
            shutil.rmtree(directory)


def _plan(programs: dict[str, Path], directory: Path, service_cidr: str) -> ControlPlane:
    api_port, etcd_port, etcd_peer_port = free_ports(3)
    return ControlPlane(
        programs=programs,
        pki=directory / "pki",
        data=directory,
        audit_policy=paths.MANIFESTS / "audit-policy.yaml",
        audit_log=directory / "audit.log",
        service_cidr=service_cidr,
        api_port=api_port,
        etcd_port=etcd_port,
        etcd_peer_port=etcd_peer_port,
    )


def _bare(command: list[str]) -> list[str]:
    return [
        *command,
        # No controller makes the `default` service account that this plugin would wait for.
        "--disable-admission-plugins=ServiceAccount",
        # A loopback address must not become an endpoint of the `kubernetes` Service.
        "--endpoint-reconciler-type=none",
        # Tests count writes in the file, which must not begin anew (MB).
        "--audit-log-maxsize=100000",
    ]


def free_ports(count: int) -> list[int]:
    """Return different TCP ports that nothing listens on at this moment. None of them is one that
    the kernel gives to whoever asks for any, or connects, before our server listens on it.
    """
    found: set[int] = set()
    while len(found) < count:
        port = secrets.choice(PORTS)
        with socket.socket() as tried, contextlib.suppress(OSError):
            tried.bind(("127.0.0.1", port))
            found.add(port)
    return list(found)


@contextmanager
def _process(command: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise ClusterError("setpriv is missing: install the Debian package util-linux")
    with log.open("ab") as output:
        process = subprocess.Popen(
            [setpriv, "--pdeathsig=KILL", *command],
            stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT,
            start_new_session=True,  # an interrupt at the terminal is not meant for the server
        )  # fmt: skip
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _raise_if_ended(directory: Path, processes: dict[str, subprocess.Popen[bytes]]) -> None:
    for name, process in processes.items():
        if process.poll() is not None:
            tail = _tail(directory / f"{name}.log")
            error = PortTaken if "address already in use" in tail else ClusterError
            raise error(f"{name} ended with code {process.returncode}:\n{tail}")


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-10:])
