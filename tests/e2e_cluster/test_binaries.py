"""Programs are pinned, and a cached one is used only for exactly what it was built from."""

from __future__ import annotations

import re
import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from e2e.cluster import binaries, paths
from e2e.cluster.binaries import Program
from e2e.cluster.errors import ClusterError
from e2e.cluster.golang import Toolchain, find_toolchain

TOOLCHAIN = Toolchain(Path("/anywhere/go"), "go1.26.6")


@pytest.fixture
def module(tmp_path: Path) -> Program:
    """A copy of our smallest module."""
    shutil.copytree(paths.MODULES / "pause", tmp_path / "module")
    return Program("pause", tmp_path / "module", ".", "-s -w")


def test_both_kubernetes_versions_are_pinned_exactly() -> None:
    versions = binaries.kubernetes_versions()
    assert set(versions) >= {"1.33", "1.34"}
    assert binaries.DEFAULT_KUBERNETES in versions
    for minor, exact in versions.items():
        assert re.fullmatch(rf"v{re.escape(minor)}\.\d+", exact)


def test_every_kubernetes_module_has_one_version_throughout() -> None:
    for minor, exact in binaries.kubernetes_versions().items():
        text = (paths.MODULES / f"kubernetes-{minor}" / "go.mod").read_text()
        staging = set(re.findall(r"=> k8s\.io/\S+ v0(\S+)", text))
        assert staging == {exact.removeprefix("v1")}


def test_kubernetes_programs_name_their_version() -> None:
    flags = binaries.program("kubelet", kubernetes="1.33").ldflags
    exact = binaries.kubernetes_versions()["1.33"]
    assert f"version.gitVersion={exact}" in flags
    assert "version.gitMinor=33" in flags


def test_the_key_follows_all_that_decides_the_result(module: Program) -> None:
    keys = [
        module.key(TOOLCHAIN),
        replace(module, ldflags="-s").key(TOOLCHAIN),
        replace(module, package="./cmd").key(TOOLCHAIN),
        module.key(replace(TOOLCHAIN, version="go1.27.0")),
    ]
    (module.module / "go.mod").write_text("module other\n\ngo 1.24.0\n")
    keys.append(module.key(TOOLCHAIN))
    (module.module / "main.go").write_text("package main\n\nfunc main() {}\n")
    keys.append(module.key(TOOLCHAIN))
    assert len(set(keys)) == len(keys)


def test_the_key_does_not_follow_the_place_of_checkout_or_toolchain(
    module: Program, tmp_path: Path
) -> None:
    moved = replace(module, module=tmp_path / "elsewhere")
    shutil.copytree(module.module, moved.module)
    assert moved.key(replace(TOOLCHAIN, command=Path("/usr/bin/go"))) == module.key(TOOLCHAIN)


def test_concurrent_runs_build_once(
    module: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolchain = find_toolchain()
    # The Go build cache is not below the cache folder that this points elsewhere.
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("GOCACHE", str(Path.home() / ".cache" / "go-build"))
    target = binaries.cached_file(module, toolchain)
    made = []

    def build(number: int) -> None:
        binaries.build(module, target, toolchain, label=str(number))
        made.append(target.stat().st_ino)

    with ThreadPoolExecutor(3) as pool:
        list(pool.map(build, range(3)))
    assert len(made) == 3
    assert len(set(made)) == 1
    assert [file.name for file in target.parent.iterdir()] == ["pause"]


@pytest.mark.slow
def test_a_build_that_fails_says_what_the_compiler_said_and_leaves_nothing(
    module: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toolchain = find_toolchain()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (module.module / "main.go").write_text("package main\n\nfunc main() { undefinedThing() }\n")
    target = binaries.cached_file(module, toolchain)
    with pytest.raises(ClusterError, match="undefined: undefinedThing"):
        binaries.build(module, target, toolchain, label="pause")
    assert list(target.parent.iterdir()) == []


def test_an_unknown_program_or_version_is_refused_with_what_there_is() -> None:
    with pytest.raises(ClusterError, match="kube-apiserver"):
        binaries.program("kubeadm")
    with pytest.raises(ClusterError, match=r"1\.34, 1\.33"):
        binaries.program("kubelet", kubernetes="1.12")
