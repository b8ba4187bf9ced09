"""The memory service that is tested, as other versions of itself."""

from __future__ import annotations

import tempfile
from pathlib import Path

from e2e.images import engines
from e2e.images.engines import Build
from e2e.stack import IMAGES, Stack, run_module

_DOCKERFILE = """
FROM {image}
USER 0
RUN sed -i 's/^Version: .*/Version: {version}/' \
    /opt/memorybank/lib/python3*/site-packages/memorybank-*.dist-info/METADATA
USER 65532:65532
"""


def load(stack: Stack, *versions: str) -> list[str]:
    """Have an image of each of these versions on the cluster's nodes; return their names."""
    images = [f"{IMAGES[0]}:{version}" for version in versions]
    with tempfile.TemporaryDirectory() as folder:
        for version, image in zip(versions, images, strict=True):
            dockerfile = Path(folder) / f"Dockerfile.{version}"
            dockerfile.write_text(
                _DOCKERFILE.format(image=f"{IMAGES[0]}:{stack.tag}", version=version)
            )
            build = Build(
                image=image, dockerfile=dockerfile, context=Path(folder), arguments={},
                labels={}, secrets={}, epoch=0,
            )  # fmt: skip
            engines.find().build(build, log=Path(folder) / "build.log")
    run_module("e2e.cluster", "load", "--name", stack.cluster, *images)
    return images
