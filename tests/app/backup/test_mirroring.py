"""In which order a backup is copied so that every part of the copy can be restored, and what is
removed from a copy.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank.backup.bringing import SourceMoved
from memorybank.backup.chain import Origin
from memorybank.backup.fence import Fence, Fences
from memorybank.backup.mirroring import Mirror, Pass, compare
from memorybank.backup.objects import Bucket, Content, Folder, Objects
from memorybank.backup.point import Point
from memorybank.backup.sides import File, Side
from memorybank.errors import ConfigurationError
from memorybank.server.backups import lift_fence, remove_point
from memorybank.server.destinations import backup_of, copies_of, place_of
from tests.app.backup.conftest import MakePod
from tests.support.mirrored import (
    KEEP,
    NEW,
    NOW,
    OLD,
    OWN,
    copies,
    file,
    paths_at,
    put,
)
from tests.support.replication import write


def there(*paths: str, size: int = 10, days: float = 0) -> dict[str, Content]:
    """What is at a place, written so many days ago."""
    return dict.fromkeys(paths, Content(size, NOW - timedelta(days=days)))


def compared(target: dict[str, Content], source: dict[str, Content]) -> Pass:
    return compare(target, source, keep=KEEP)


def test_records_come_first_and_a_point_when_its_file_is_there() -> None:
    point = ("points/one.json", "points/one/9c01f7d2/memory_bank.db")
    source = there(
        *point,
        file(NEW, 0, 1, 1),
        f"epochs/{NEW}.json",
        file(OLD, 9, 1, 4),
        f"epochs/{OLD}.json",
    )
    assert compared({}, source).bring == (
        f"epochs/{OLD}.json", f"epochs/{NEW}.json", file(OLD, 9, 1, 4), file(NEW, 0, 1, 1),
        *reversed(point),
    )  # fmt: skip


def test_what_is_there_already_is_not_brought_again_unless_a_part_is_missing() -> None:
    source = there(file(NEW, 0, 1, 1), file(NEW, 0, 2, 2), f"{NEW}/reached", "fence.json")
    assert compared(dict(source), source).bring == ()
    cut = there(file(NEW, 0, 2, 2), size=9)
    assert compared({**source, **cut}, source).bring == (file(NEW, 0, 2, 2),)


def test_nothing_is_removed_because_the_first_destination_has_lost_it() -> None:
    copy = there(
        f"epochs/{OLD}.json", file(OLD, 9, 1, 4), file(OLD, 1, 5, 9), file(OLD, 0, 10, 10),
        "points/one.json", "points/one/9c01f7d2/memory_bank.db",
        "of-somebody-else", days=29,
    )  # fmt: skip
    copy |= there(file(NEW, 0, 1, 1))
    assert compared(copy, {}) == Pass((), (), ("one",))
    assert compared(copy, there(file(NEW, 0, 2, 2))).remove == ()


def test_what_a_copy_alone_has_goes_when_it_is_too_old() -> None:
    copy = there(
        f"epochs/{OLD}.json", file(OLD, 9, 1, 4), file(OLD, 1, 5, 9), "of-somebody-else", days=31
    )
    copy |= there(f"epochs/{NEW}.json", file(NEW, 9, 1, 1), days=31) | there(file(NEW, 1, 2, 3))
    # A copy of a whole that others go on from stays where the first destination has it still.
    source = there(f"epochs/{NEW}.json", file(NEW, 9, 1, 1), file(NEW, 1, 2, 3))
    assert compared(copy, source).remove == (
        file(OLD, 1, 5, 9), file(OLD, 9, 1, 4), f"epochs/{OLD}.json",
    )  # fmt: skip


def test_a_record_stays_as_long_as_anything_of_its_epoch() -> None:
    copy = there(f"epochs/{OLD}.json", days=31) | there(file(OLD, 9, 1, 4))
    assert compared(copy, {}).remove == ()


def test_single_syncs_go_when_they_are_part_of_something_that_is_kept() -> None:
    copy = there(*(file(NEW, 0, each, each) for each in range(1, 7)), file(NEW, 9, 1, 6))
    source = there(file(NEW, 1, 2, 3), file(NEW, 2, 1, 4), file(NEW, 0, 6, 6), file(NEW, 9, 1, 6))
    # A whole copy has the last state, and not those in between.
    assert compared(copy, source).remove == tuple(file(NEW, 0, each, each) for each in (4, 3, 2, 1))
    assert compared(copy, there(file(OLD, 1, 1, 6))).remove == ()


@pytest.mark.parametrize("copy", [True, False])
@given(
    st.integers(1, 40),
    st.lists(st.tuples(st.integers(1, 3), st.integers(1, 40), st.integers(0, 12))),
    st.integers(0, 40),
)
def test_every_part_of_an_epoch_goes_on_from_its_beginning(
    copy: bool, syncs: int, compacted: list[tuple[int, int, int]], kept_from: int
) -> None:
    """Single syncs, of which the first are gone where something was put together of them."""
    files = [(0, at, at) for at in range(1, syncs + 1)]
    files += [
        (level, first, min(first + more, syncs))
        for level, first, more in compacted
        if first <= syncs
    ]
    if copy and kept_from:
        whole = min(kept_from, syncs)
        files = [each for each in files if each[2] >= whole] + [(9, 1, whole)]
    brought = compared({}, there(*(file(NEW, *each) for each in files))).bring
    reached = 0
    for path in brought:
        found = File.at(path)
        assert found is not None
        assert found.first <= reached + 1, brought
        reached = max(reached, found.last)
    assert reached == syncs


def test_a_file_is_the_same_in_a_bucket_and_in_a_folder(tmp_path: Path) -> None:
    path = file(NEW, 9, 1, 255)
    folder = Side(Folder(tmp_path), "the copy")
    bucket = Side(Bucket(bucket="backups", path=OWN, region="us-east-1"), "the copy")
    assert bucket.own(path) == path
    assert folder.own(path) == f"{NEW}/ltx/9/{1:016x}-{255:016x}.ltx"
    assert File.at(folder.own(path)) == File.at(path)
    assert folder.own("points/one.json") == "points/one.json"
    assert File.at(path.replace(NEW, "of-somebody-else")) is None


def mirrored(tmp_path: Path) -> tuple[Folder, Folder, Mirror]:
    first, copy = Folder(tmp_path / "first"), Folder(tmp_path / "copy")
    sides = Side(first, "the first destination"), Side(copy, "the copy far-away")
    return first, copy, Mirror(*sides, NEW, keep=KEEP)


def test_between_two_whole_comparisons_only_what_is_new_is_brought(tmp_path: Path) -> None:
    first, copy, mirror = mirrored(tmp_path)
    put(first, f"epochs/{NEW}.json", file(NEW, 9, 1, 1), file(NEW, 0, 2, 2))
    asyncio.run(mirror.whole())
    assert mirror.waiting_bytes == 0
    put(first, file(NEW, 0, 3, 3), file(NEW, 1, 2, 3), "points/one.json")
    assert asyncio.run(mirror.recent(syncs_only=True)) == (file(NEW, 0, 3, 3),)
    found = asyncio.run(mirror.recent(syncs_only=False))
    assert found == (file(NEW, 1, 2, 3), "points/one.json")
    assert asyncio.run(mirror.recent(syncs_only=False)) == ()
    assert paths_at(copy) == paths_at(first)


def test_all_is_compared_when_something_in_between_is_gone(tmp_path: Path) -> None:
    first, copy, mirror = mirrored(tmp_path)
    put(first, file(NEW, 9, 1, 1))
    asyncio.run(mirror.whole())
    put(first, file(NEW, 1, 2, 8), file(NEW, 0, 9, 9))
    with pytest.raises(SourceMoved):
        asyncio.run(mirror.recent(syncs_only=True))
    assert file(NEW, 0, 9, 9) not in paths_at(copy)
    assert asyncio.run(mirror.whole()).bring == (file(NEW, 1, 2, 8), file(NEW, 0, 9, 9))


def test_a_bank_that_was_promoted_from_a_copy_fences_the_former_one(tmp_path: Path) -> None:
    first, copy, mirror = mirrored(tmp_path)
    fence = Fence(by="agents/promoted/9c5e7e0e", at=NOW)
    asyncio.run(Fences(copy).put(fence))
    asyncio.run(mirror.whole())
    assert Fences(first).find() == fence


def test_a_fence_of_the_first_destination_is_not_brought_to_a_copy(tmp_path: Path) -> None:
    first, copy, mirror = mirrored(tmp_path)
    asyncio.run(Fences(first).put(Fence(by="agents/promoted/9c5e7e0e", at=NOW)))
    asyncio.run(mirror.whole())
    assert Fences(copy).find() is None


def test_a_fence_is_lifted_at_the_copies_too(make_pod: MakePod, tmp_path: Path) -> None:
    pod = make_pod({"volume": {"path": str(tmp_path / "backups")}}, **copies(tmp_path))
    backup = backup_of(pod.settings)
    places = (place_of(backup), *copies_of(backup).values())
    fence = Fence(by="agents/promoted/9c5e7e0e", at=NOW)
    for place in places:
        asyncio.run(Fences(place).put(fence))
    assert lift_fence(pod.settings) == fence
    assert [Fences(each).find() for each in places] == [None, None]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"copies": [{"name": "a"}]}, "either s3 or volume"),
        (
            {"copies": [{"name": each, "volume": {"path": "/copies"}} for each in "ab"]},
            "at other places",
        ),
        ({"copies": [{"name": "a", "volume": {"path": "/backups"}}]}, "at other places"),
        (
            {"copies": [{"name": "a", "volume": {"path": f"/copies/{each}"}} for each in "12"]},
            "different names",
        ),
        (
            {"copies": [{"name": each, "volume": {"path": f"/{each}"}} for each in "abcd"]},
            "at most 3",
        ),
    ],
)
def test_copies_that_cannot_be_are_refused(
    changes: dict[str, Any], words: str, make_pod: MakePod
) -> None:
    with pytest.raises(ConfigurationError, match=words) as refused:
        make_pod({"volume": {"path": "/backups"}}, **changes).settings  # noqa: B018
    assert str(refused.value.field).startswith("backup")


def test_a_point_that_expired_goes_and_one_that_the_first_destination_lost_stays(
    tmp_path: Path,
) -> None:
    _, copy, mirror = mirrored(tmp_path)
    for name, expires in (("gone", NOW - timedelta(days=9)), ("kept", None)):
        point = Point(
            name=name, object=f"points/{name}/9c01f7d2/memory_bank.db", bank="a/b/c",
            taken_at=NOW - timedelta(days=99), expires_at=expires, change=1, memories=1,
            tenants=1, keys=1, bytes=9, sha256="0" * 64, service_version="1", schema_version=1,
        )  # fmt: skip
        put(copy, point.object)
        put(copy, f"points/{name}.json", content=point.model_dump_json().encode())
    asyncio.run(mirror.whole())
    assert paths_at(copy) == {"points/kept.json", "points/kept/9c01f7d2/memory_bank.db"}


def test_a_point_is_removed_from_the_copies_too(make_pod: MakePod, tmp_path: Path) -> None:
    pod = make_pod({"volume": {"path": str(tmp_path / "backups")}}, **copies(tmp_path))
    backup = backup_of(pod.settings)
    places = (place_of(backup), *copies_of(backup).values())
    for place in places:
        assert isinstance(place, Folder)
        put(place, "points/one.json", "points/one/9c01f7d2/memory_bank.db")
    assert remove_point(pod.settings, "one")
    assert [asyncio.run(Side(each, "").contents()) for each in places] == [{}, {}]
    assert not remove_point(pod.settings, "one")


def test_a_fault_of_the_source_is_told_to_who_writes(tmp_path: Path) -> None:
    first, copy = Objects(Folder(tmp_path / "first")), Objects(Folder(tmp_path / "copy"))

    class Found:
        meta: ClassVar = {"size": 10 << 20}

        def stream(self, **_: object) -> Iterator[bytes]:
            yield b"a part"
            raise RuntimeError("nobody thought of this")

    with (
        mock.patch("memorybank.backup.objects.obstore.get", return_value=Found()),
        pytest.raises(Exception, match="nobody thought of this"),
    ):
        asyncio.run(asyncio.wait_for(first.copy("a", copy, "a"), 30))


@pytest.mark.slow
def test_each_part_of_a_copy_of_a_bank_comes_back(make_pod: MakePod, tmp_path: Path) -> None:
    destination = {"volume": {"path": str(tmp_path / "backups")}}
    for pods in range(2):
        pod = make_pod(destination)
        epoch = pod.prepare().epoch.name
        with pod.writing() as connection:
            pod.replicate()
            for number in range(100 * pods, 100 * pods + 100):
                write(connection, number)
            pod.wait_until_synced()
            pod.kill()
    source = Side(place_of(backup_of(pod.settings)), "the first destination")
    copy = tmp_path / "copy"
    bank = Side(Folder(copy / OWN), "the copy")
    found = asyncio.run(Mirror(source, bank, epoch, keep=KEEP).whole())
    assert found.bring
    assert asyncio.run(Mirror(source, bank, epoch, keep=KEEP).whole()).bring == ()
    data = [each for each in found.bring if File.at(each)]
    rows = -1
    for count in range(1, len(data) + 1):
        part = tmp_path / f"part-{count}"
        shutil.copytree(copy, part)
        for path in data[count:]:
            (part / OWN / bank.own(path)).unlink()
        other = make_pod({"volume": {"path": str(part)}})
        assert other.prepare().epoch.origin is Origin.BACKUP
        came = other.rows()
        assert came == list(range(len(came)))
        assert len(came) >= rows
        rows = len(came)
    assert rows == 200
