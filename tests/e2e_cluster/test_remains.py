"""A node's traces are found by what proves that they are its own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from e2e.cluster import paths
from e2e.cluster.errors import ClusterError
from e2e.cluster.local import remains

MOUNTINFO = """\
24 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
31 24 0:27 / /sys/fs/cgroup ro,nosuid shared:5 - tmpfs tmpfs ro,mode=755
32 31 0:28 / /sys/fs/cgroup/unified rw,nosuid shared:6 - cgroup2 cgroup2 rw
33 31 0:29 / /sys/fs/cgroup/memory rw,nosuid shared:7 master:2 - cgroup cgroup rw,memory
"""


def test_control_groups_of_both_versions_are_found() -> None:
    assert remains.cgroup_mounts(MOUNTINFO) == {
        Path("/sys/fs/cgroup/unified"): True,
        Path("/sys/fs/cgroup/memory"): False,
    }


def test_a_node_lives_as_long_as_a_process_holds_its_lock(tmp_path: Path) -> None:
    assert not remains.node_alive(tmp_path / "absent")
    assert not remains.node_alive(tmp_path)
    lock = paths.try_lock(tmp_path / remains.LOCK)
    assert lock is not None
    holder = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=[lock.fileno()])  # noqa: S607  (any program will do)
    lock.close()
    assert remains.node_alive(tmp_path)
    holder.communicate()
    assert not remains.node_alive(tmp_path)


def test_a_process_that_got_the_number_of_a_dead_node_is_not_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remains, "GONE_SECONDS", 0.2)
    lock = paths.try_lock(tmp_path / remains.LOCK)
    assert lock is not None
    stranger = subprocess.Popen(["cat"], stdin=subprocess.PIPE)  # noqa: S607  (any program will do)
    (tmp_path / "node.pid").write_text(f"{stranger.pid}\n")
    with lock, pytest.raises(ClusterError, match="has not ended"):
        remains.kill_node(tmp_path)
    assert stranger.poll() is None
    stranger.communicate()


def test_only_the_node_of_this_folder_is_recognized(tmp_path: Path) -> None:
    program = "import sys; print(flush=True); sys.stdin.read()"
    node = subprocess.Popen(  # noqa: S603  (this test's own program)
        [sys.executable, "-c", program, remains.NODE_MODULE, str(tmp_path / "one")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert node.stdout is not None
    node.stdout.readline()
    assert remains.runs_node(node.pid, tmp_path / "one")
    assert not remains.runs_node(node.pid, tmp_path / "two")
    assert not remains.runs_node(os.getpid(), tmp_path / "one")
    node.communicate()


def test_a_tree_of_control_groups_is_removed_from_the_inside(tmp_path: Path) -> None:
    top = tmp_path / "memorybank-dev-130"
    (top / "kubepods" / "burstable" / "pod1").mkdir(parents=True)
    assert remains.remove_tree_of_cgroups(top)
    assert not top.exists()
    assert remains.remove_tree_of_cgroups(top)
