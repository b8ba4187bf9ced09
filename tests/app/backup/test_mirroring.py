"""In which order a backup is copied so that every part of the copy can be restored, what is removed
from a copy, and the process that does it.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typing_extensions import override

from memorybank.backup.chain import Origin
from memorybank.backup.copies import Copied, Told, known
from memorybank.backup.fence import Fence, Fences
from memorybank.backup.mirroring import File, Mirror, Pass, Side, SourceMoved, compare
from memorybank.backup.objects import Bucket, Content, Folder, Objects
from memorybank.backup.point import Point
from memorybank.errors import ConfigurationError
from memorybank.server.backups import backup_of, copies_of, lift_fence, place_of, remove_point
from memorybank.server.mirrors import Keeper
from tests.app.backup.conftest import MakePod
from tests.support.replication import UID, Pod, write
from tests.support.s3_server import S3, without_aws

OLD, NEW = "00000001-aaaaaaaa", "00000002-bbbbbbbb"
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)
KEEP = timedelta(days=30)
OWN = f"agents/team-memory/{UID}"
_PATIENCE_SECONDS = 60.0


def file(epoch: str, level: int, first: int, last: int) -> str:
    return f"{epoch}/{level:04x}/{first:016x}-{last:016x}.ltx"


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


def put(place: Folder, *paths: str, content: bytes = b"something") -> None:
    for each in paths:
        target = place.path / Side(place, "").own(each)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


def mirrored(tmp_path: Path) -> tuple[Folder, Folder, Mirror]:
    first, copy = Folder(tmp_path / "first"), Folder(tmp_path / "copy")
    sides = Side(first, "the first destination"), Side(copy, "the copy far-away")
    return first, copy, Mirror(*sides, NEW, keep=KEEP)


def paths_at(place: Folder) -> set[str]:
    return set(asyncio.run(Side(place, "").contents()))


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


def copies(tmp_path: Path) -> dict[str, Any]:
    return {
        "copies": [{"name": "far-away", "volume": {"path": str(tmp_path / "copy")}}],
        "copy_seconds": 1,
    }


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


def test_a_process_that_says_nothing_is_a_problem_after_a_while() -> None:
    well = Copied(name="far-away", copied_at=NOW)
    told = Told(at=NOW, copies=(well,))
    begun = NOW - timedelta(hours=1)

    def said(told: Told | None, *, since: datetime, seconds: float) -> list[Copied]:
        now = NOW + timedelta(seconds=seconds)
        return list(known(told, ["far-away"], since=since, now=now))

    assert said(told, since=begun, seconds=30) == [well]
    (late,) = said(told, since=begun, seconds=61)
    assert late.problem == "the process that copies the backups does not run"
    assert (late.problem_since, late.copied_at) == (NOW, NOW)
    assert said(None, since=NOW, seconds=30) == [Copied(name="far-away")]
    assert said(None, since=NOW, seconds=61)[0].problem_since == NOW


def test_a_copy_that_is_far_behind_is_a_problem() -> None:
    told = Told(at=NOW, copies=(Copied(name="far-away", copied_at=NOW - timedelta(minutes=6)),))
    (late,) = known(told, ["far-away"], since=NOW, now=NOW)
    assert late.problem.startswith("it is late")
    assert late.problem_since == late.copied_at
    first = Told(at=NOW, copies=(Copied(name="far-away"),))
    (begun,) = known(first, ["far-away"], since=NOW - timedelta(days=1), now=NOW)
    assert not begun.problem, "the first copy takes as long as it takes"


def two_places(kinds: Iterable[str], s3: Callable[[], S3], tmp_path: Path) -> list[dict[str, Any]]:
    return [
        {"s3": s3().settings(tmp_path / "secrets") | {"path": name}}
        if kind == "s3"
        else {"volume": {"path": str(tmp_path / name)}}
        for kind, name in zip(kinds, ("first", "copy"), strict=True)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("kinds", [("s3", "volume"), ("volume", "s3"), ("s3", "s3")])
def test_a_copy_of_another_kind_comes_back(
    kinds: tuple[str, str], make_pod: MakePod, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    first, copy = two_places(kinds, lambda: request.getfixturevalue("s3"), tmp_path)
    pod = make_pod(first, copies=[{"name": "far-away", **copy}], copy_seconds=1)
    pod.prepare()
    with pod.writing() as connection:
        pod.replicate()
        with mirroring(pod) as process:
            wait_until(lambda: seen(pod).copied_at is not None)
            for number in range(50):
                write(connection, number)
            pod.wait_until_synced()
            written = datetime.now(UTC)
            wait_until(lambda: (at := seen(pod).copied_at) is not None and at > written)
            for number in range(50, 60):
                write(connection, number)
            pod.stop()  # the rest is brought by the last pass
            process.terminate()
            assert process.wait(_PATIENCE_SECONDS) == 0
    assert not seen(pod).problem
    other = make_pod(copy)
    assert other.prepare().epoch.origin is Origin.BACKUP
    assert other.rows() == list(range(60))


@pytest.mark.slow
def test_a_copy_that_cannot_be_written_says_which_and_goes_on_later(
    make_pod: MakePod, tmp_path: Path
) -> None:
    (tmp_path / "copy").write_text("no folder")
    pod = make_pod({"volume": {"path": str(tmp_path / "backups")}}, **copies(tmp_path))
    pod.prepare()
    with pod.writing() as connection:
        write(connection, 0)
        pod.replicate()
        with mirroring(pod):
            wait_until(lambda: bool(seen(pod).problem))
            assert seen(pod).problem.startswith("the copy far-away: ")
            (tmp_path / "copy").unlink()
            wait_until(lambda: not seen(pod).problem and seen(pod).copied_at is not None)


class mirroring:  # noqa: N801  # a context
    """The process that copies, beside a pod."""

    def __init__(self, pod: Pod) -> None:
        self._pod = pod

    def __enter__(self) -> subprocess.Popen[bytes]:
        arguments = ["-m", "memorybank", "backup", "mirror", "--config", str(self._pod.config)]
        self._process = subprocess.Popen([sys.executable, *arguments], env=without_aws())
        return self._process

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()


class Broken(Mirror):
    """One with a fault that nobody thought of."""

    @override
    async def whole(self) -> Pass:
        raise RuntimeError("nobody thought of this")


def test_a_fault_that_nobody_thought_of_is_told_and_ends_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first = Side(Folder(tmp_path / "first"), "the first destination")
    copy = Side(Folder(tmp_path / "copy"), "the copy far-away")
    broken = Broken(first, copy, NEW, keep=KEEP)
    keeper = Keeper(lambda: broken, Copied(name="far-away"), pause=1)
    asyncio.run(keeper.look())
    assert keeper.seen.problem == "copying failed unexpectedly, see the log of what copies"
    assert "nobody thought of this" in caplog.text


def test_a_copy_whose_key_cannot_be_read_is_told_and_goes_on_when_it_can(tmp_path: Path) -> None:
    first = Side(Folder(tmp_path / "first"), "the first destination")
    copy = Side(Folder(tmp_path / "copy"), "the copy far-away")
    made: list[Mirror] = []

    def make() -> Mirror:
        if not made:
            raise ConfigurationError("the key is empty", field="backup.copies[0]", hint="write one")
        return made[0]

    keeper = Keeper(make, Copied(name="far-away"), pause=1)
    asyncio.run(keeper.look())
    assert "the key is empty" in keeper.seen.problem
    made.append(Mirror(first, copy, NEW, keep=KEEP))
    asyncio.run(keeper.look())
    assert keeper.seen.problem == ""
    assert keeper.seen.copied_at is not None


def test_a_copy_that_is_away_for_days_is_tried_each_minute() -> None:
    def fail() -> Mirror:
        raise ConfigurationError("no", field="backup.copies[0]", hint="write one")

    keeper = Keeper(fail, Copied(name="far-away"), pause=10.0)
    rests = []
    for _ in range(1_100):
        rests.append(keeper.rest)
        asyncio.run(keeper.look())
    assert rests[:3] == [10, 20, 40]
    assert set(rests[3:]) == {60}


def test_a_fault_of_the_source_is_told_to_who_writes(tmp_path: Path) -> None:
    first, copy = Objects(Folder(tmp_path / "first")), Objects(Folder(tmp_path / "copy"))

    class Found:
        def stream(self, **_: object) -> Iterator[bytes]:
            yield b"a part"
            raise RuntimeError("nobody thought of this")

    with (
        mock.patch("memorybank.backup.objects.obstore.get", return_value=Found()),
        pytest.raises(Exception, match="nobody thought of this"),
    ):
        asyncio.run(asyncio.wait_for(first.copy("a", copy, "a"), 30))


def seen(pod: Pod) -> Copied:
    told = Told.load(pod.run_dir)
    return Copied(name="far-away") if told is None else told.copies[0]


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


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
