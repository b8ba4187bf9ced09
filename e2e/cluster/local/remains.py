"""What is left on the host when a node's namespaces are gone: how it is found and removed."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path

from e2e.cluster.errors import ClusterError
from e2e.cluster.paths import try_lock

MOUNTS = Path("/proc/self/mountinfo")
NODE_MODULE = "e2e.cluster.local.node"
LOCK = "node.lock"
GONE_SECONDS = 30.0
POLL_SECONDS = 0.05


def node_alive(state: Path) -> bool:
    """Tell whether a node runs: it holds a lock, which no crash can leave behind."""
    if not state.exists():
        return False
    lock = try_lock(state / LOCK)
    if lock is None:
        return True
    lock.close()
    return False


def node_pid(state: Path) -> int:
    """Return the process id of a living node, which it writes down as its first act."""
    file = state / "node.pid"
    wait_for(file.exists, f"{state}: the node has not written down its process id")
    return int(file.read_text())


def kill_node(state: Path) -> None:
    """Kill the node's first process and return when everything in its namespaces has ended."""
    if not node_alive(state):
        return
    pid = node_pid(state)
    try:
        # The descriptor keeps the number from being given to another process before the signal.
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        pass  # it has just ended
    else:
        try:
            if runs_node(pid, state):
                signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        finally:
            os.close(descriptor)
    wait_for(lambda: not node_alive(state), f"process {pid} of the node has not ended")


def runs_node(pid: int, state: Path) -> bool:
    """Tell whether a process is the node of this state folder."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return {NODE_MODULE.encode(), bytes(state)} <= set(command)


def remove_device(device: str) -> None:
    """Remove the host's end of the link; its routes go with it."""
    if Path("/sys/class/net", device).exists():
        # It may vanish by itself meanwhile: the kernel removes it with the other end.
        subprocess.run(["ip", "link", "delete", device], capture_output=True, check=False)
    wait_for(
        lambda: not Path("/sys/class/net", device).exists(),
        f"network device {device} is still there: `ip link delete {device}`",
    )


def cgroup_mounts(mountinfo: str) -> dict[Path, bool]:
    """Return where control groups are mounted, and whether each is version 2."""
    found = {}
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        filesystem = after.split()[0]
        if filesystem in ("cgroup", "cgroup2"):
            found[Path(before.split()[4])] = filesystem == "cgroup2"
    return found


def create_cgroups(name: str) -> None:
    """Make the pods' control group in every hierarchy."""
    for mount, version2 in cgroup_mounts(MOUNTS.read_text()).items():
        if version2:
            enable_controllers(mount)
        (mount / name).mkdir(exist_ok=True)


def enable_controllers(root: Path) -> None:
    """Have children of a version 2 root get every controller, as the kubelet asks for.

    What cannot be had (inside a container, for one) is left: the kubelet says whether it misses it.
    """
    for controller in (root / "cgroup.controllers").read_text().split():
        with suppress(OSError):
            (root / "cgroup.subtree_control").write_text(f"+{controller}")


def remove_cgroups(name: str) -> None:
    """Remove the pods' control groups, the innermost first."""
    for mount in cgroup_mounts(MOUNTS.read_text()):
        top = mount / name
        wait_for(partial(remove_tree_of_cgroups, top), f"control group {top} is still in use")


def remove_tree_of_cgroups(top: Path) -> bool:
    """Remove a control group and all in it; False when one is still in use."""
    try:
        for directory, _, _ in os.walk(top, topdown=False):
            os.rmdir(directory)
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return True


def wait_for(condition: Callable[[], bool], complaint: str) -> None:
    """Return when a condition holds. Raises ClusterError with the complaint when it never does."""
    deadline = time.monotonic() + GONE_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise ClusterError(f"{complaint} (waited {GONE_SECONDS:g} s)")
        time.sleep(POLL_SECONDS)
