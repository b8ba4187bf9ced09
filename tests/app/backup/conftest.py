"""Destinations and pods."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.replication import Pod
from tests.support.s3_server import S3, s3_server

MakePod = Callable[..., Pod]


@pytest.fixture(scope="session")
def _s3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    with s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture
def s3(_s3: S3) -> Iterator[S3]:
    """The server, with an empty bucket."""
    yield _s3
    client = _s3.client()
    found = client.list_objects_v2(Bucket=_s3.bucket).get("Contents", [])
    for each in found:
        client.delete_object(Bucket=_s3.bucket, Key=each["Key"])


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
