"""What is told of a drill fits where a kubelet looks, as a whole; any damage of a copy shows."""

from __future__ import annotations

import asyncio
import json
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank.backup.objects import Folder
from memorybank.backup.point import Point
from memorybank.backup.points import Points
from memorybank.backup.report import MOST_BYTES, Check, Failure, Report
from memorybank.errors import BackupDamaged
from memorybank.schemas.backups import BackupMark

NOW = datetime(2026, 11, 22, 15, 0, 0, 123456, tzinfo=UTC)
words = st.text(st.characters(codec="utf-8"), max_size=3_000)


@given(said=st.lists(words, min_size=6, max_size=6), keys=st.integers(0, 200))
def test_a_report_is_whole_in_a_termination_message(said: list[str], keys: int) -> None:
    report = Report(
        operation="verify",
        name="n" * 63,
        bank="b" * 575,
        epoch="00000001-00000000",
        txid="f" * 16,
        moment=NOW,
        taken_at=NOW,
        expires_at=NOW,
        restore_seconds=86_399.999,
        ready_seconds=86_399.999,
        data_loss_seconds=86_399.999,
        memories=10**12,
        tenants=10**9,
        keys=10**9,
        bytes=10**15,
        schema_version=10**3,
        key_ids=tuple(f"{number:063}" for number in range(keys)),
        sha256="f" * 64,
        source=BackupMark(
            at=NOW, epoch="00000001-00000000", txid="f" * 16, change=10**15, changed_at=NOW,
            memories=10**12, tenants=10**9, keys=10**9, schema_version=10**3,
        ),
        checks=[
            Check.of("integrity", said[0]),
            Check.of("counts", said[1]),
            Check.of("keys", said[2]),
            Check.of("recall", said[3]),
        ],
        error=Failure(code="configuration_error", message=said[4], hint=said[5]),
    )  # fmt: skip
    content = report.text().encode()
    assert len(content) <= MOST_BYTES
    told = json.loads(content)
    assert told["error"]["message"] == said[4][: len(told["error"]["message"])]
    assert len(told["error"]["message"]) >= min(40, len(said[4]))
    assert b"\n" not in content


def a_point(copy: str, size: int, sha256: str) -> Point:
    return Point(
        name="p", object=copy, bank="a/b/c", epoch="00000001-00000000", taken_at=NOW, change=1,
        memories=1, tenants=1, keys=1, bytes=size, sha256=sha256, service_version="0",
        schema_version=9,
    )  # fmt: skip


@given(
    content=st.binary(min_size=1, max_size=2_000),
    place=st.floats(0, 1, exclude_max=True),
    harm=st.one_of(st.integers(1, 255), st.sampled_from(["cut", "grown"])),
)
def test_any_damage_of_a_copy_is_noticed(content: bytes, place: float, harm: int | str) -> None:
    async def tried(folder: Path) -> None:
        points = Points(Folder(folder / "backups"))
        (folder / "file").write_bytes(content)
        copy = await points.upload("p", folder / "file")
        point = a_point(copy.object, copy.bytes, copy.sha256)
        assert await points.is_sound(point)
        await points.fetch(point, folder / "good")
        assert (folder / "good").read_bytes() == content
        stored = folder / "backups" / copy.object
        at = int(place * len(content))
        if harm == "cut":
            stored.write_bytes(content[:at])
        elif harm == "grown":
            stored.write_bytes(content + b"\0")
        else:
            assert isinstance(harm, int)
            stored.write_bytes(content[:at] + bytes([content[at] ^ harm]) + content[at + 1 :])
        assert not await points.is_sound(point)
        with pytest.raises(BackupDamaged):
            await points.fetch(point, folder / "bad")
        assert sorted(each.name for each in folder.iterdir()) == ["backups", "file", "good"]

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(tried(Path(folder)))
