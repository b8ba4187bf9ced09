"""The programs a cluster is made of, built once from pinned Go modules into the cache.

Each folder under modules/ is a Go module of its own whose go.mod and go.sum pin everything that
goes into its programs; `go build` checks the sources against go.sum. A cache entry is named after
all that decides its content: a changed pin, flag or Go version gives a new entry.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from e2e.cluster import headers, paths
from e2e.cluster.console import say, step
from e2e.cluster.errors import ClusterError
from e2e.cluster.golang import Toolchain, find_toolchain

DEFAULT_KUBERNETES = "1.34"
KUBERNETES_PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)
# Other programs: name -> (folder under modules/, package with its main function)
PROGRAMS = {
    "argocd": ("argo-cd", "github.com/argoproj/argo-cd/v3/cmd"),
    "etcd": ("etcd", "go.etcd.io/etcd/server/v3"),
    "coredns": ("coredns", "github.com/coredns/coredns"),
    "distribution": ("distribution", "."),
    "helm": ("helm", "helm.sh/helm/v3/cmd/helm"),
    "kind": ("kind", "sigs.k8s.io/kind"),
    "kstatus": ("kstatus", "."),
    "kube-state-metrics": ("kube-state-metrics", "k8s.io/kube-state-metrics/v2"),
    "kubeconform": ("kubeconform", "github.com/yannh/kubeconform/cmd/kubeconform"),
    "kwok": ("kwok", "sigs.k8s.io/kwok/cmd/kwok"),
    "metrics-server": ("metrics-server", "sigs.k8s.io/metrics-server/cmd/metrics-server"),
    "ollama": ("ollama", "github.com/ollama/ollama"),
    "minio": ("minio", "github.com/minio/minio"),
    "pause": ("pause", "."),
    "prometheus": ("prometheus", "github.com/prometheus/prometheus/cmd/prometheus"),
    "promtool": ("prometheus", "github.com/prometheus/prometheus/cmd/promtool"),
    "prometheus-config-reloader": (
        "prometheus-operator",
        "github.com/prometheus-operator/prometheus-operator/cmd/prometheus-config-reloader",
    ),
    "prometheus-operator": (
        "prometheus-operator",
        "github.com/prometheus-operator/prometheus-operator/cmd/operator",
    ),
    "testpod": ("testpod", "."),
    "traefik": ("traefik", "github.com/traefik/traefik/v3/cmd/traefik"),
    "versitygw": ("versitygw", "github.com/versity/versitygw/cmd/versitygw"),
}
NAMES = (*KUBERNETES_PROGRAMS, *PROGRAMS)
FLAGS = ("-trimpath", "-buildvcs=false", "-mod=readonly")
# CGO_ENABLED=0: static programs, which also run in an image without a C library.
BUILD_ENVIRONMENT = {"CGO_ENABLED": "0", "GOWORK": "off", "GOTOOLCHAIN": "local"}
# Programs that are C++ for the most part, and need its library where they run.
WITH_CGO = {"ollama"}
# Build tags. The clients of two dozen clouds are most of both, and nobody looks for anything there.
TAGS = {"promtool": "remove_all_sd", "prometheus": "remove_all_sd,enable_kubernetes_sd"}


@dataclass(frozen=True)
class Program:
    """One program: where its pins are, its main package, what the linker writes into it."""

    name: str
    module: Path
    package: str
    ldflags: str

    @property
    def environment(self) -> dict[str, str]:
        """What decides the result beside the flags."""
        cgo = {"CGO_ENABLED": "1"} if self.name in WITH_CGO else {}
        return BUILD_ENVIRONMENT | cgo

    @property
    def flags(self) -> tuple[str, ...]:
        """What `go build` is told beside the linker's flags."""
        return (*FLAGS, "-tags", TAGS[self.name]) if self.name in TAGS else FLAGS

    def key(self, toolchain: Toolchain) -> str:
        """Name all that decides the content of the built file."""
        digest = hashlib.sha256()
        for file in sorted(self.module.iterdir()):
            digest.update(f"{file.name}\0{file.read_text()}\0".encode())
        for word in (toolchain.version, self.package, self.ldflags, *self.flags, *os.uname()[4:]):
            digest.update(f"{word}\0".encode())
        for variable, value in sorted(self.environment.items()):
            digest.update(f"{variable}={value}\0".encode())
        return digest.hexdigest()[:16]


def kubernetes_versions() -> dict[str, str]:
    """Return what --kubernetes may say and the exact version it stands for: 1.34 -> v1.34.4."""
    return {
        folder.name.removeprefix("kubernetes-"): pinned_version(folder, "k8s.io/kubernetes")
        for folder in sorted(paths.MODULES.glob("kubernetes-*"), reverse=True)
    }


def pinned_version(module: Path, requirement: str) -> str:
    """Return the version that a go.mod pins for a requirement, such as v1.34.4."""
    found = re.search(
        rf"^\s*(?:require )?{re.escape(requirement)} (v\S+)",
        (module / "go.mod").read_text(),
        re.MULTILINE,
    )
    if found is None:
        raise ValueError(f"{module / 'go.mod'} does not require {requirement}")
    return found.group(1)


def program(name: str, *, kubernetes: str = DEFAULT_KUBERNETES) -> Program:
    """Describe a program by name. Raises ClusterError for an unknown name or Kubernetes version."""
    if name in KUBERNETES_PROGRAMS:
        versions = kubernetes_versions()
        if kubernetes not in versions:
            raise ClusterError(f"Kubernetes {kubernetes} is not pinned here: {', '.join(versions)}")
        return Program(
            name,
            paths.MODULES / f"kubernetes-{kubernetes}",
            f"k8s.io/kubernetes/cmd/{name}",
            kubernetes_ldflags(versions[kubernetes]),
        )
    if name not in PROGRAMS:
        raise ClusterError(f"{name} is none of the cluster's programs: {', '.join(NAMES)}")
    folder, package = PROGRAMS[name]
    return Program(name, paths.MODULES / folder, package, "-s -w")


def kubernetes_ldflags(version: str) -> str:
    """Return linker flags that make the programs name their version.

    Without them the server calls itself v0.0.0-master, and kubelet and kubectl see version skew.
    """
    major, minor, _ = version.removeprefix("v").split(".", 2)
    variables = {"gitVersion": version, "gitMajor": major, "gitMinor": minor}
    return " ".join(
        ["-s -w", *(f"-X k8s.io/component-base/version.{k}={v}" for k, v in variables.items())]
    )


def ensure(name: str, *, kubernetes: str = DEFAULT_KUBERNETES) -> Path:
    """Return the path of a program; build it first when the cache does not have it.

    Raises ClusterError when it cannot be built.
    """
    return ensure_all([name], kubernetes=kubernetes)[name]


def ensure_all(names: Iterable[str], *, kubernetes: str = DEFAULT_KUBERNETES) -> dict[str, Path]:
    """Return the paths of several programs, built one after the other where needed."""
    toolchain = find_toolchain()
    wanted = {name: program(name, kubernetes=kubernetes) for name in names}
    files = {name: cached_file(item, toolchain) for name, item in wanted.items()}
    missing = [name for name, file in files.items() if not file.exists()]
    if any(name in KUBERNETES_PROGRAMS for name in missing):
        say(
            f"Kubernetes {kubernetes} is built once, from source, into {paths.cache()}: "
            "about ten minutes on two cores"
        )
    for number, name in enumerate(missing, start=1):
        build(wanted[name], files[name], toolchain, label=f"[{number}/{len(missing)}] {name}")
    return files


def source(name: str) -> Path:
    """Return the folder of a program's own Go module, fetched where it is not there.

    Raises ClusterError when it cannot be fetched.
    """
    item, toolchain = program(name), find_toolchain()
    listed = subprocess.run(
        [str(toolchain.command), "list", "-mod=mod", "-f", "{{.Module.Path}}", item.package],
        cwd=item.module, env=build_environment(toolchain),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listed.returncode:
        raise ClusterError(f"the module of {name} cannot be found:\n{listed.stderr}")
    return required(item.module, listed.stdout.strip())


def required(module: Path, path: str) -> Path:
    """Return the folder of a Go module that a folder under modules/ requires, such as for the CRDs
    in it, fetched where it is not there. Raises ClusterError when it cannot be fetched.
    """
    toolchain = find_toolchain()
    fetched = subprocess.run(
        [str(toolchain.command), "mod", "download", "-json", path],
        cwd=module, env=build_environment(toolchain),
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if fetched.returncode:
        raise ClusterError(f"the module {path} cannot be fetched:\n{fetched.stderr}")
    return Path(json.loads(fetched.stdout)["Dir"])


def cached_file(item: Program, toolchain: Toolchain) -> Path:
    """Return where the built program is or will be."""
    return paths.cache() / "binaries" / f"{item.name}-{item.key(toolchain)}" / item.name


def build(item: Program, target: Path, toolchain: Toolchain, *, label: str) -> None:
    """Build a program to a path, unless a concurrent run just did. All or nothing."""
    # One lock per module: two builds of one module would compile the same packages twice.
    with paths.locked(paths.cache() / "binaries" / f".{item.module.name}.lock"):
        if target.exists():
            return
        partial = target.with_name(f".{target.name}.partial")
        target.parent.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()
        environment = build_environment(toolchain, item.environment)
        if item.name in WITH_CGO:
            environment |= headers.environment()
        with step(f"{label}: building from {item.module.name}"):
            done = subprocess.run(
                [
                    str(toolchain.command), "build", *item.flags, "-ldflags", item.ldflags,
                    "-o", str(partial), item.package,
                ],
                cwd=item.module, env=environment,
                capture_output=True, text=True, check=False,
            )  # fmt: skip
        if done.returncode != 0:
            partial.unlink(missing_ok=True)
            tail = "\n".join(done.stderr.strip().splitlines()[-20:])
            raise ClusterError(f"{item.name} could not be built from {item.module}:\n{tail}")
        partial.replace(target)
        megabytes = target.stat().st_size / 1e6
        say(f"{label}: {megabytes:.0f} MB after {time.monotonic() - start:.0f} s, {target}")


def build_environment(
    toolchain: Toolchain, decisive: Mapping[str, str] = BUILD_ENVIRONMENT
) -> dict[str, str]:
    """Return the environment of `go build`: the caller's, with what decides the result set."""
    environment = os.environ | dict(decisive)
    # GOFLAGS could change the result without changing the key: ours are given in full.
    environment.pop("GOFLAGS", None)
    environment["PATH"] = f"{toolchain.command.parent}{os.pathsep}{os.environ['PATH']}"
    return environment
