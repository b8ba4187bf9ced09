"""Images of this machine's stores, as archives that a node can import."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from e2e.cluster.errors import ClusterError

TOOLS = ("buildah", "podman", "docker")


@dataclass(frozen=True)
class StoredImage:
    """An image in a local store: which tool finds it, and its content's id there."""

    reference: str
    tool: str
    identity: str

    @contextmanager
    def archive(self) -> Iterator[Path]:
        """Write the image as a `docker save` archive that exists while the context lasts."""
        with TemporaryDirectory(prefix="memorybank-image-") as directory:
            file = Path(directory) / "image.tar"
            if self.tool == "docker":
                command = ["docker", "save", "--output", str(file), self.reference]
            else:
                target = f"docker-archive:{file}:{self.reference}"
                command = [self.tool, "push", "--quiet", self.reference, target]
            done = _run(command)
            if done.returncode != 0:
                raise ClusterError(f"{self.reference} cannot be exported: {done.stderr.strip()}")
            yield file


def find(reference: str) -> StoredImage:
    """Find an image in the stores of buildah, podman and docker, in this order.

    Raises ClusterError when none of them has it.
    """
    tools = [tool for tool in TOOLS if shutil.which(tool)]
    for tool in tools:
        template = "{{.FromImageID}}" if tool == "buildah" else "{{.Id}}"
        kind = ["--type", "image"]
        done = _run([tool, "inspect", *kind, "--format", template, reference])
        if done.returncode == 0:
            return StoredImage(reference, tool, done.stdout.strip())
    looked = f"{', '.join(tools)} {'has' if len(tools) == 1 else 'have'} no such image"
    raise ClusterError(
        f"{reference} cannot be loaded: {looked if tools else 'no image tool is installed'}; "
        "build it first, or give an archive (FILE.tar)"
    )


def _run(command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, env=os.environ, stdin=subprocess.DEVNULL, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
