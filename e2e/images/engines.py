"""What builds and keeps images: docker, podman or buildah, told apart here and nowhere else."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import override

from e2e.cluster import packages

from .errors import ImageError


@dataclass(frozen=True)
class Build:
    """One image to build: all that decides it, and the secrets that only the build may see."""

    image: str
    dockerfile: Path
    context: Path
    arguments: Mapping[str, str]
    labels: Mapping[str, str]
    secrets: Mapping[str, Path]
    epoch: int
    """Seconds since 1970 that the image and its files are dated with."""

    def options(self) -> list[str]:
        """The part of the command line that all three engines understand."""
        secrets = {f"id={name},src={file}" for name, file in self.secrets.items()}
        return [
            *flags("--build-arg", (f"{k}={v}" for k, v in self.arguments.items())),
            *flags("--label", (f"{k}={v}" for k, v in self.labels.items())),
            *flags("--secret", sorted(secrets)),
            "--tag", self.image, "--file", str(self.dockerfile), str(self.context),
        ]  # fmt: skip


class Engine:
    """docker, and what is common to all."""

    def __init__(self, name: str, environment: Mapping[str, str]) -> None:
        self.name = name
        self.environment = os.environ | environment

    def works(self) -> bool:
        """Whether it is installed and answers: a docker client without an engine does not."""
        return shutil.which(self.name) is not None and self.call("info").returncode == 0

    def pull(self, image: str) -> bool:
        """Fetch an image; False when no registry gives it."""
        return self.call("pull", image).returncode == 0

    def labels(self, image: str) -> dict[str, str] | None:
        """The labels of an image; None when it is not there."""
        found = self.inspect("image", "inspect", image)
        return None if found is None else dict(found[0]["Config"].get("Labels") or {})

    def size(self, image: str) -> str:
        """The unpacked size of an image that is there, for people."""
        (found,) = self.inspect("image", "inspect", image) or [{"Size": 0}]
        return f"{found['Size'] / 1e6:.0f} MB"

    def build(self, build: Build, *, log: Path) -> None:
        """Build an image; what the engine says goes to `log`. Raises ImageError with its end."""
        with log.open("w") as output:
            done = subprocess.run(
                [self.name, *self.build_command(build.epoch), *build.options()],
                env=self.environment, stdout=output, stderr=subprocess.STDOUT, check=False,
            )  # fmt: skip
        if done.returncode != 0:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-25:])
            raise ImageError(f"{self.name} could not build {build.image}; {log} ends with:\n{tail}")

    def build_command(self, epoch: int) -> list[str]:
        """The subcommand that builds, with what makes equal inputs give equal images."""
        return ["build", "--build-arg", f"SOURCE_DATE_EPOCH={epoch}"]

    def import_tree(self, archive: Path, image: str) -> None:
        """Make an image of one layer from a tar archive of a file system."""
        self.must("import", str(archive), image)

    def push(self, image: str, reference: str, login: Path) -> None:
        """Give an image to a registry of this machine, which speaks HTTP, with the credentials in a
        config.json.
        """
        self.must("tag", image, reference)
        self.must("--config", str(login.parent), "push", reference)

    def run(self, image: str, program: str, *arguments: str) -> str:
        """Run a program of the image as the image's user; return what it printed."""
        return self.must("run", "--rm", "--read-only", "--entrypoint", program, image, *arguments)

    def call(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run one of the engine's commands, whatever comes of it."""
        return subprocess.run(
            [self.name, *arguments],
            env=self.environment, capture_output=True, text=True, check=False,
        )  # fmt: skip

    def must(self, *arguments: str) -> str:
        """Run one of the engine's commands and return what it printed. Raises ImageError."""
        done = self.call(*arguments)
        if done.returncode != 0:
            words = " ".join([self.name, *arguments[:2]])
            raise ImageError(f"{words}: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def inspect(self, *arguments: str) -> Any:
        """Run a command that answers JSON; None when what it asks for is not there."""
        done = self.call(*arguments)
        return json.loads(done.stdout) if done.returncode == 0 else None


class Podman(Engine):
    """podman: docker's command line, buildah's builder."""

    @override
    def pull(self, image: str) -> bool:
        # Without a configuration it knows no default registry; the transport's name stands for one.
        return self.call("pull", f"docker://{image}").returncode == 0

    @override
    def build_command(self, epoch: int) -> list[str]:
        return ["build", "--layers", "--pull=false", "--timestamp", str(epoch)]

    @override
    def push(self, image: str, reference: str, login: Path) -> None:
        self.must(
            "push", "--tls-verify=false", "--authfile", str(login), image, f"docker://{reference}"
        )


class Buildah(Podman):
    """buildah: no daemon and no container runtime; as root it works inside a container too."""

    def __init__(self) -> None:
        # chroot needs neither namespaces nor a runtime.
        super().__init__("buildah", {"BUILDAH_ISOLATION": "chroot"})

    @override
    def labels(self, image: str) -> dict[str, str] | None:
        found = self.inspect("inspect", "--type", "image", image)
        return None if found is None else dict(found["OCIv1"]["config"].get("Labels") or {})

    @override
    def size(self, image: str) -> str:
        return self.must("images", "--format", "{{.Size}}", image).strip()

    @override
    def import_tree(self, archive: Path, image: str) -> None:
        container = self.must("from", "scratch").strip()
        try:
            self.must("add", "--quiet", container, str(archive), "/")
            self.must("commit", "--quiet", container, image)
        finally:
            self.call("rm", container)

    @override
    def run(self, image: str, program: str, *arguments: str) -> str:
        container = self.must("from", "--pull-never", image).strip()
        try:
            return self.must("run", container, "--", program, *arguments)
        finally:
            self.call("rm", container)


NAMES = ("docker", "podman", "buildah")


def find(name: str | None = None) -> Engine:
    """Return the engine of that name, else the first that works, else buildah, installed now.

    Raises ImageError or ClusterError when there is none and none can be installed.
    """
    docker = Engine("docker", {"DOCKER_BUILDKIT": "1"})  # the older builder knows no secrets
    for engine in (docker, Podman("podman", {}), Buildah()):
        if name in (None, engine.name) and engine.works():
            return engine
    if name not in (None, "buildah"):
        raise ImageError(f"{name} is not installed or its engine does not answer (`{name} info`)")
    packages.ensure({"/usr/bin/buildah": "buildah"}, purpose="building images without docker")
    return Buildah()


def flags(name: str, values: Iterable[str]) -> list[str]:
    """Repeat an option for each value."""
    return [word for value in values for word in (name, value)]
