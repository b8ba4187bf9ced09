"""A day of a platform team, on a cluster of its own that has nothing of ours at first: the commands
of docs/day.md, beside the real Prometheus Operator and a real server of S3.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from e2e import pages, prometheus, versions
from e2e.backups import BUCKET
from e2e.cluster.paths import ROOT
from e2e.object_store import ObjectStore
from e2e.stack import IMAGES, Stack, run_module

pytestmark = pytest.mark.full

CLUSTER = "memorybank-day"
PAGE = ROOT / "docs/day.md"
SECONDS = 3600
NEXT = "0.1.1"
"""Follows the version of the chart, within its minor version."""


@pytest.fixture(scope="module")
def stack() -> Iterator[Stack]:
    """A cluster with the images and Prometheus, and without the operator."""
    try:
        stack = Stack.up(CLUSTER)
        prometheus.install(stack)
        yield stack
    finally:
        run_module("e2e.cluster", "down", "--name", CLUSTER)


@pytest.fixture
def site(stack: Stack, tmp_path: Path) -> Path:
    """A folder with the files that the page calls the site's own."""
    [following] = versions.load(stack, NEXT)
    made: dict[str, dict[str, Any]] = {
        "site.yaml": {
            "image": {"repository": IMAGES[1], "tag": stack.tag},
            "appImage": f"{IMAGES[0]}:{stack.tag}",
        },
        "next.yaml": {"appImage": following},
    }
    for name, values in made.items():
        (tmp_path / name).write_text(yaml.safe_dump(values))
    return tmp_path


@pytest.fixture
def bucket(site: Path, store: ObjectStore) -> None:
    """A bucket, which the site's files tell of."""
    s3 = {"bucket": BUCKET, "endpoint": store.endpoint, "region": store.region}
    values = {"spec": {"backup": {"destination": {"s3": s3}}}}
    (site / "site-bucket.yaml").write_text(yaml.safe_dump(values))
    (site / "bucket.env").write_text(
        f"accessKeyId={store.access_key}\nsecretAccessKey={store.secret_key}\n"
    )


@pytest.mark.usefixtures("bucket")
def test_a_day_of_a_platform_team(stack: Stack, site: Path) -> None:
    """Its page tells what is to be seen, and its commands fail where it is not."""
    assert not pages.run(PAGE, stack, site, namespace="default", seconds=SECONDS)
