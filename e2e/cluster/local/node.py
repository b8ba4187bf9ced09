"""The node's first process: sets up its namespaces, then keeps the cluster's programs running.

Started by the backend as `unshare ... python -m e2e.cluster.local.node STATE_DIRECTORY`. It has no
orderly end: it is killed, and the kernel ends everything in its PID namespace with it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from e2e.cluster.local.layout import STATE, NodePlan, Process
from e2e.cluster.paths import write_private

LINK = "eth0"
LINK_SECONDS = 30.0
POLL_SECONDS = 0.1
RESTART_SECONDS = 1.0
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/"}


def main() -> None:
    """Run the node described by the plan in a state folder."""
    state = Path(sys.argv[1])
    # /proc is still the host's: this is the number by which the host can kill us.
    write_private(state / "node.pid", f"{os.readlink('/proc/self')}\n")
    plan = NodePlan.from_json((state / "config" / "node.json").read_text())
    set_up_mounts(state, plan)
    set_up_network(plan)
    Supervisor(plan.processes).run()


def set_up_mounts(state: Path, plan: NodePlan) -> None:
    """Give the node its own /proc, /run and writable /var; mount the state folder at STATE."""
    mount("--make-rprivate", "/")  # from here on nothing reaches the host
    mount("--make-rshared", "/")  # as the kubelet expects it, among the node's own mounts
    mount("-t", "proc", "proc", "/proc")
    state_descriptor = os.open(state, os.O_PATH)
    mount("-t", "tmpfs", "-o", "mode=755", "run", "/run")
    STATE.mkdir()
    # By descriptor: the folder may be in what has just been covered.
    mount("--no-canonicalize", "--bind", f"/proc/self/fd/{state_descriptor}", str(STATE),
          descriptor=state_descriptor)  # fmt: skip
    os.close(state_descriptor)
    # Some programs write below /var whatever they are told: that goes to memory.
    writes, work = Path("/run/var/upper"), Path("/run/var/work")
    for directory in (writes, work):
        directory.mkdir(parents=True)
    mount("-t", "overlay", "-o", f"lowerdir=/var,upperdir={writes},workdir={work}", "var", "/var")
    for name, value in plan.sysctls.items():
        shown = Path("/run/sysctls") / name
        shown.parent.mkdir(parents=True, exist_ok=True)
        shown.write_text(f"{value}\n")
        mount("--bind", str(shown), f"/proc/sys/{name}")


def set_up_network(plan: NodePlan) -> None:
    """Configure the link to the host as soon as the backend has put it into our namespace."""
    socket.sethostname(plan.hostname)
    deadline = time.monotonic() + LINK_SECONDS
    while LINK not in (name for _, name in socket.if_nameindex()):
        if time.monotonic() > deadline:
            sys.exit(f"no link {LINK} appeared within {LINK_SECONDS:g} s")
        time.sleep(POLL_SECONDS)
    for words in (
        "link set lo up",
        f"address add {plan.address} dev {LINK}",
        f"link set {LINK} up",
        f"route add default via {plan.gateway}",
    ):
        subprocess.run(["ip", *words.split()], check=True)
    Path("/proc/sys/net/ipv4/ip_forward").write_text("1\n")


def mount(*arguments: str, descriptor: int | None = None) -> None:
    """Run mount(8)."""
    passed = () if descriptor is None else (descriptor,)
    subprocess.run(["mount", *arguments], check=True, pass_fds=passed)


class Supervisor:
    """Starts programs when what they need is there, again when they end; collects orphans."""

    def __init__(self, processes: list[Process]) -> None:
        self._due = {process.name: 0.0 for process in processes}
        self._processes = {process.name: process for process in processes}
        self._running: dict[int, str] = {}

    def run(self) -> None:
        """Never returns."""
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
        while True:
            for name in [name for name, due in self._due.items() if due <= time.monotonic()]:
                if all(accepts(address) for address in self._processes[name].after):
                    self._start(name)
            # With nothing to start there is nothing to do until a child ends.
            signal.sigtimedwait({signal.SIGCHLD}, POLL_SECONDS if self._due else 3600)
            self._reap()

    def _start(self, name: str) -> None:
        try:
            pid = start(self._processes[name])
        except OSError as error:  # someone emptied the cache of programs: the others go on
            self._start_later(name, f"cannot be started: {error}")
        else:
            self._running[pid] = name
            del self._due[name]

    def _start_later(self, name: str, reason: str) -> None:
        sys.stderr.write(f"{name} {reason}; trying again\n")
        sys.stderr.flush()
        self._due[name] = time.monotonic() + RESTART_SECONDS

    def _reap(self) -> None:
        while self._running:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            name = self._running.pop(pid, None)
            if name is not None:
                code = os.waitstatus_to_exitcode(status)
                self._start_later(name, f"ended with code {code}")


def accepts(address: str) -> bool:
    """Tell whether a server listens at host:port or at a socket's path."""
    host, _, port = address.rpartition(":")
    family, target = (socket.AF_INET, (host, int(port))) if host else (socket.AF_UNIX, address)
    with socket.socket(family) as client:
        client.settimeout(1.0)
        try:
            client.connect(target)
        except OSError:
            return False
    return True


def start(process: Process) -> int:
    """Start a program with its output in a log of its own; return its process id."""
    log = os.open(
        STATE / "logs" / f"{process.name}.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
    )
    nothing = os.open(os.devnull, os.O_RDONLY)
    pid = os.posix_spawnp(
        process.command[0],
        process.command,
        ENVIRONMENT,
        file_actions=[
            (os.POSIX_SPAWN_DUP2, nothing, 0),
            (os.POSIX_SPAWN_DUP2, log, 1),
            (os.POSIX_SPAWN_DUP2, log, 2),
        ],
        setsid=True,
        setsigmask=[],
    )
    os.close(log)
    os.close(nothing)
    return pid


if __name__ == "__main__":
    main()
