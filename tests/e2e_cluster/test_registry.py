"""What is known about clusters is kept apart by name and removed without reaching further."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from e2e.cluster import registry
from e2e.cluster.errors import ClusterError
from e2e.cluster.registry import Record


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def test_a_record_is_read_back_and_only_by_its_own_name() -> None:
    one = Record("one", "local", "1.34", block=130)
    registry.write(one)
    assert registry.read("one") == one
    assert registry.read("two") is None
    registry.write(Record("two", "context", "1.34", context="prod"))
    assert [record.name for record in registry.records()] == ["one", "two"]


def test_a_clusters_folder_is_its_owners_alone() -> None:
    registry.write(Record("one", "local", "1.34"))
    assert stat.S_IMODE(registry.folder("one").stat().st_mode) == 0o700


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a/b", "..", "a" * 41, "a\n"])
def test_a_name_that_would_not_fit_everywhere_is_refused(name: str) -> None:
    with pytest.raises(ClusterError, match="--name"):
        registry.folder(name)


def test_a_removed_cluster_leaves_its_neighbours(state: Path) -> None:
    registry.write(Record("one", "local", "1.34"))
    registry.write(Record("two", "local", "1.34"))
    (registry.folder("one") / "volumes" / "data").mkdir(parents=True)
    registry.remove("one")
    assert not registry.folder("one").exists()
    assert [record.name for record in registry.records()] == ["two"]


def test_removal_does_not_follow_links_out_of_the_folder(tmp_path: Path) -> None:
    registry.write(Record("one", "local", "1.34"))
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").touch()
    (registry.folder("one") / "link").symlink_to(outside)
    registry.remove("one")
    assert (outside / "kept").exists()


def test_a_folder_with_something_mounted_in_it_is_not_removed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    registry.write(Record("one", "local", "1.34"))
    mountinfo = tmp_path / "mountinfo"
    mountinfo.write_text(f"1 2 0:3 / {registry.folder('one')}/disk rw - ext4 /dev/vdb rw\n")
    monkeypatch.setattr(registry, "MOUNTS", mountinfo)
    with pytest.raises(ClusterError, match="unmount"):
        registry.remove("one")
    assert registry.read("one") is not None


def test_removing_what_is_not_there_is_no_error() -> None:
    registry.remove("nobody")


def test_a_broken_record_names_its_file_and_the_cure() -> None:
    registry.write(Record("one", "local", "1.34"))
    (registry.folder("one") / "cluster.json").write_text("{")
    with pytest.raises(ClusterError, match=r"cluster\.json cannot be read .* remove "):
        registry.read("one")
