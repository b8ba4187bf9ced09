"""Destinations and pods."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.replication import Pod
from tests.support.s3_server import S3, s3_server

MakePod = Callable[..., Pod]
_numbers = itertools.count(1)


@pytest.fixture(scope="session")
def _s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3(_s3: S3) -> S3:
    """The server, with a bucket of the test's own: a pod may still write when the test is over."""
    server = replace(_s3, bucket=f"backups-{next(_numbers)}")
    server.client().create_bucket(Bucket=server.bucket)
    return server


@pytest.fixture(params=["s3", "volume"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, Any]:
    if request.param == "s3":
        server: S3 = request.getfixturevalue("s3")
        return {"s3": server.settings(tmp_path / "secrets") | {"path": "clusters/one"}}
    return {"volume": {"path": str(tmp_path / "backups")}}


@pytest.fixture
def make_pod(tmp_path: Path) -> Iterator[MakePod]:
    """Make pods whose Litestream ends with the test."""
    made: list[Pod] = []

    def make(destination: dict[str, Any], **changed: Any) -> Pod:
        made.append(Pod(tmp_path / f"pod-{len(made)}", destination, **changed))
        return made[-1]

    yield make
    for each in made:
        each.kill()
