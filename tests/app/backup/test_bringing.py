"""What becomes of the others when an object cannot be brought to a copy."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorybank.backup.bringing import Bringer, Reach, SourceMoved
from memorybank.backup.copies import Copied
from memorybank.backup.mirroring import Mirror, compare
from memorybank.backup.objects import Content, Folder
from memorybank.backup.sides import File, Side
from memorybank.errors import BackupUnavailable
from memorybank.server.mirrors import Keeper
from tests.support.mirrored import KEEP, NEW, NOW, OLD, file, paths_at, put

POINT = ("points/one/9c01f7d2/memory_bank.db", "points/one.json")


def mirrored(tmp_path: Path) -> tuple[Folder, Folder, Mirror]:
    first, copy = Folder(tmp_path / "first"), Folder(tmp_path / "copy")
    sides = Side(first, "the first destination"), Side(copy, "the copy far-away")
    return first, copy, Mirror(*sides, NEW, keep=KEEP)


def obstruct(place: Folder, path: str) -> Path:
    """Put a folder where an object is to be written, so that it cannot be."""
    inside = place.path / Side(place, "").own(path) / "in-the-way"
    inside.parent.mkdir(parents=True)
    inside.touch()
    return inside


def let_go(inside: Path) -> None:
    inside.unlink()
    inside.parent.rmdir()


def brought(place: Folder) -> set[str]:
    return {each for each in paths_at(place) if not each.endswith("in-the-way")}


def test_what_cannot_be_brought_keeps_nothing_back_but_what_goes_on_from_it(
    tmp_path: Path,
) -> None:
    first, copy, mirror = mirrored(tmp_path)
    own = [file(NEW, 9, 1, 1), *(file(NEW, 0, each, each) for each in (2, 3, 4))]
    other = [f"epochs/{OLD}.json", file(OLD, 9, 1, 4), *POINT]
    put(first, *own, *other)
    way = obstruct(copy, own[2])
    asyncio.run(mirror.whole())
    assert brought(copy) == {*own[:2], *other}
    assert mirror.problem.startswith(f"{own[2]}: the copy far-away: ")
    assert mirror.waiting_bytes == 2 * len(b"something")
    put(first, new := file(NEW, 0, 5, 5))
    asyncio.run(mirror.recent(syncs_only=True))
    assert brought(copy) == {*own[:2], *other}
    let_go(way)
    with pytest.raises(SourceMoved):  # what waited for it is brought at once
        asyncio.run(mirror.recent(syncs_only=True))
    asyncio.run(mirror.whole())
    assert brought(copy) == {*own, *other, new}
    assert (mirror.problem, mirror.waiting_bytes) == ("", 0)


def test_a_larger_file_that_has_what_is_missing_lets_an_epoch_go_on(tmp_path: Path) -> None:
    first, copy, mirror = mirrored(tmp_path)
    put(first, file(NEW, 9, 1, 1), *(file(NEW, 0, each, each) for each in range(2, 6)))
    way = obstruct(copy, file(NEW, 0, 3, 3))
    asyncio.run(mirror.whole())
    put(first, file(NEW, 1, 2, 4))
    asyncio.run(mirror.whole())
    assert file(NEW, 0, 5, 5) in brought(copy)
    assert mirror.problem.startswith(file(NEW, 0, 3, 3))
    put(first, new := file(NEW, 0, 6, 6))
    assert asyncio.run(mirror.recent(syncs_only=True)) == (new,)
    assert mirror.problem
    (first.path / Side(first, "").own(file(NEW, 0, 3, 3))).unlink()
    let_go(way)
    asyncio.run(mirror.whole())
    assert mirror.problem == ""


def test_single_syncs_stay_while_what_was_made_of_them_is_not_there(tmp_path: Path) -> None:
    first, copy, mirror = mirrored(tmp_path)
    syncs = [file(NEW, 0, each, each) for each in range(1, 4)]
    put(first, *syncs)
    asyncio.run(mirror.whole())
    for each in syncs:
        (first.path / Side(first, "").own(each)).unlink()
    put(first, made := file(NEW, 1, 1, 3))
    way = obstruct(copy, made)
    asyncio.run(mirror.whole())
    assert brought(copy) == set(syncs)
    put(first, new := file(NEW, 0, 4, 4))
    asyncio.run(mirror.recent(syncs_only=True))
    assert new in brought(copy)
    let_go(way)
    asyncio.run(mirror.whole())
    assert brought(copy) == {made, new}


def test_a_point_is_not_recorded_while_its_file_is_missing(tmp_path: Path) -> None:
    first, copy, mirror = mirrored(tmp_path)
    put(first, *POINT)
    way = obstruct(copy, POINT[0])
    asyncio.run(mirror.whole())
    assert brought(copy) == set()
    let_go(way)
    with pytest.raises(SourceMoved):
        asyncio.run(mirror.whole())
    asyncio.run(mirror.whole())
    assert brought(copy) == set(POINT)


def test_a_place_that_takes_nothing_is_told_after_three_objects(tmp_path: Path) -> None:
    first, copy, mirror = mirrored(tmp_path)
    records = [f"epochs/0000000{number}-aaaaaaaa.json" for number in range(1, 9)]
    put(first, *records)
    ways = [obstruct(copy, each) for each in records]
    with pytest.raises(BackupUnavailable, match="the copy far-away"):
        asyncio.run(mirror.whole())
    for each in ways[2:]:  # those which failed alone do not keep the others back from now on
        let_go(each)
    asyncio.run(mirror.whole())
    assert brought(copy) == set(records[2:])
    assert all(each in mirror.problem for each in records[:2])


def test_what_is_listed_and_is_not_there_is_looked_for_twice(tmp_path: Path) -> None:
    first, copy, _ = mirrored(tmp_path)
    put(first, file(NEW, 9, 1, 1), *POINT)
    contents = asyncio.run(Side(first, "").contents())
    (first.path / POINT[0]).unlink()
    found = compare({}, contents, keep=KEEP)
    bringer = Bringer(Side(first, "the first destination"), Side(copy, "the copy"))
    with pytest.raises(SourceMoved):
        asyncio.run(bringer.bring(found.bring, contents, Reach(())))
    missing = asyncio.run(bringer.bring(found.bring, contents, Reach(())))
    assert missing == set(POINT)
    assert bringer.problem == f"{POINT[0]}: the first destination lists it and has it not"


def test_a_copy_without_one_object_is_told_and_goes_on(tmp_path: Path) -> None:
    first, copy, mirror = mirrored(tmp_path)
    put(first, file(NEW, 9, 1, 1), *POINT)
    way = obstruct(copy, POINT[0])
    keeper = Keeper(lambda: mirror, Copied(name="far-away"), pause=10.0)
    asyncio.run(keeper.look())
    assert keeper.seen.problem.startswith(f"{POINT[0]}: the copy far-away: ")
    assert keeper.seen.copied_at is None
    assert keeper.rest == 10.0, "the rest is copied as fast as ever"
    since = keeper.seen.problem_since
    put(first, file(NEW, 0, 2, 2))
    asyncio.run(keeper.look())
    assert file(NEW, 0, 2, 2) in brought(copy)
    assert keeper.seen.problem_since == since
    let_go(way)
    keeper._compared -= timedelta(minutes=2).total_seconds()
    asyncio.run(keeper.look())
    assert keeper.seen.problem == ""
    assert keeper.seen.copied_at is not None
    assert brought(copy) == paths_at(first)


FILES = st.lists(
    st.tuples(st.integers(0, 3), st.integers(1, 20), st.integers(0, 6)), min_size=1, unique=True
)


@given(FILES, FILES, st.sets(st.integers(0, 60)))
def test_no_file_comes_before_what_it_goes_on_from_whatever_fails(
    there: list[tuple[int, int, int]], new: list[tuple[int, int, int]], failing: set[int]
) -> None:
    """Of what is without a gap until 20 at the source, each from 1 on."""
    at_place = [file(NEW, level, first, first + more) for level, first, more in there]
    source = {file(NEW, 0, each, each) for each in range(1, 21)}
    source |= {file(NEW, level, first, first + more) for level, first, more in new}
    reach = Reach(at_place)
    has = [found for path in at_place if (found := File.at(path)) is not None]
    failed = False
    for number, path in enumerate(
        compare({}, dict.fromkeys(source, Content(9, NOW)), keep=KEEP).bring
    ):
        found = File.at(path)
        assert found is not None
        if number in failing:
            reach.ends_before(path)
            failed = True
        elif not reach.has_to_wait(path):
            if failed:
                assert found.first <= _without_gap(has) + 1
            has.append(found)
            reach.goes_on_by(path)
    if failed:
        assert reach.until(NEW) == _without_gap(has)


def _without_gap(files: list[File]) -> int:
    reached = 0
    for each in sorted(files, key=lambda each: each.first):
        if each.first <= reached + 1:
            reached = max(reached, each.last)
    return reached
