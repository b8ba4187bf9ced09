"""What the status says of a bank that follows another one, and of one that was replaced by it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from memorybank_operator.reconcile.observed import BackupReading, FollowReading
from memorybank_operator.reconcile.report import backup, following
from memorybank_operator.reconcile.steps import Note
from tests.operator.world import BACKED_UP, FOLLOWING, NOW, World, bank, running, unready

PLACE = "s3://memories/production/notes"
EPOCH = "00000002-1a2b3c4d"
WELL = FollowReading(EPOCH, 0.7, NOW)
AWAY = replace(WELL, problem="the destination does not answer")


def saying(said: FollowReading | None, spec: dict[str, Any] = FOLLOWING) -> World:
    world = running(bank(spec))
    world.follow = said
    return world


def status(
    said: FollowReading | None,
    spec: dict[str, Any] = FOLLOWING,
    *,
    before: dict[str, Any] | None = None,
) -> dict[str, Any]:
    return saying(said, spec).status(bank(spec, status=before))


def condition(of: dict[str, Any], kind: str = "Following") -> dict[str, Any]:
    return next((each for each in of["conditions"] if each["type"] == kind), {})


def stand(of: dict[str, Any]) -> tuple[str, str]:
    found = condition(of)
    return found.get("status", ""), found.get("reason", "")


def late(seconds: float) -> FollowReading:
    return replace(WELL, lag_seconds=seconds)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (WELL, ("True", "Following")),
        (late(60.0), ("True", "Following")),
        (late(61.0), ("False", "FollowingLate")),
        (AWAY, ("False", "SourceUnreachable")),
        (replace(AWAY, lag_seconds=None), ("False", "SourceUnreachable")),
        (replace(WELL, lag_seconds=None), ("Unknown", "FollowingUnknown")),
        (None, ("Unknown", "FollowingUnknown")),
    ],
)
def test_a_standby_says_whether_it_keeps_up(
    said: FollowReading | None, expected: tuple[str, str]
) -> None:
    told = status(said)
    assert stand(told) == expected
    assert not condition(told, "BackupHealthy")
    assert "backup" not in told


def test_a_standby_is_ready_by_what_it_can_do() -> None:
    told = condition(status(WELL), "Ready")
    assert (told["status"], told["reason"]) == ("True", "Following")
    assert "takes no writes until spec.standby.enabled is false" in told["message"]


def test_the_status_stays_the_same_while_the_standby_keeps_up() -> None:
    first = status(late(0.4))
    assert first["standby"] == {"source": PLACE, "epoch": EPOCH, "lagSeconds": 5}
    assert status(late(4.9), before=first) == first
    assert status(late(7), before=first)["standby"]["lagSeconds"] == 10
    assert status(late(1e9), before=first)["standby"]["lagSeconds"] == 86400


def test_of_what_is_served_the_moment_is_told_when_nothing_new_comes() -> None:
    told = status(AWAY)
    assert told["standby"]["moment"].startswith(NOW.isoformat()[:19])
    assert f"Nothing new comes from {PLACE}: the destination" in condition(told)["message"]
    assert NOW.strftime("of %Y-%m-%dT") in condition(told)["message"]


def test_an_operator_that_was_restarted_repeats_what_was_known() -> None:
    known = status(AWAY)
    again = status(None, before=known)
    assert (stand(again), again["standby"]) == (stand(known), known["standby"])
    elsewhere = {**FOLLOWING, "standby": {"fromBank": {"name": "other"}}}
    assert status(None, elsewhere, before=known)["standby"] == {
        "source": "s3://memories/team/other"
    }


def test_a_sleeping_standby_says_nothing_of_it() -> None:
    assert not condition(status(WELL, FOLLOWING | {"hibernate": True}))


def test_a_promoted_standby_says_where_it_came_from_and_that_once() -> None:
    before = status(WELL)
    spec = {**FOLLOWING, "standby": FOLLOWING["standby"] | {"enabled": False}}
    world = saying(None, spec)
    promoted = world.status(bank(spec, status=before))
    assert promoted["standby"] == {"source": PLACE, "epoch": EPOCH, "promoted": True}
    assert not condition(promoted)
    assert list(backup(before, promoted)) == []
    world.backup = BackupReading("00000001-aaaaaaaa", "restored", NOW)
    replicated = world.status(bank(spec, status=promoted))
    told = [each for each in backup(promoted, replicated) if each.reason == "Promoted"]
    assert [PLACE in each.message for each in told] == [True]
    assert "Promoted" not in {each.reason for each in backup(replicated, replicated)}


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        (WELL, AWAY, [("SourceUnreachable", True)]),
        (AWAY, WELL, [("Following", False)]),
        (None, WELL, [("Following", False)]),
        (WELL, late(100.0), [("FollowingLate", True)]),
        (WELL, WELL, []),
        (AWAY, AWAY, []),
    ],
)
def test_a_change_is_an_event(
    before: FollowReading | None, after: FollowReading, reasons: list[tuple[str, bool]]
) -> None:
    told: list[Note] = list(following(status(before), status(after)))
    assert [(each.reason, each.warning) for each in told] == reasons


def test_a_fenced_bank_names_who_was_promoted_and_the_way_out() -> None:
    world = running(bank(BACKED_UP))
    unready(world.pods[0], {"running": {}})
    world.deployment(bank(BACKED_UP))["status"].update(availableReplicas=0, readyReplicas=0)
    world.backup = BackupReading(EPOCH, "volume", NOW, NOW, fenced="elsewhere/second/uid-9")
    told = condition(world.status(bank(BACKED_UP)), "Ready")
    assert (told["status"], told["reason"]) == ("False", "Fenced")
    assert "elsewhere/second/uid-9 was promoted" in told["message"]
    assert "kubectl -n team exec deploy/agents" in told["message"]
    assert "lift-fence" in told["message"]


def test_how_late_a_standby_is_is_told_in_steps() -> None:
    assert [late(each).lag_at_most for each in (0.0, 5.0, 5.1, 61, 3601)] == [5, 5, 10, 120, 21600]
    assert replace(WELL, lag_seconds=None).lag_at_most is None
    assert WELL.is_well
    assert not AWAY.is_well


def test_a_promotion_waits_for_no_approval_and_anything_else_does() -> None:
    supervised = FOLLOWING | {"updatePolicy": {"mode": "Supervised"}}
    follows = bank(supervised)
    world = running(follows)
    status = world.status(follows)
    promoted = {**supervised, "standby": FOLLOWING["standby"] | {"enabled": False}}
    assert world.plan(bank(promoted, status=status, generation=2)).held is None
    other = {**supervised, "standby": FOLLOWING["standby"] | {"maxLag": "30s"}}
    held = world.plan(bank(other, status=status, generation=2)).held
    assert held is not None
    assert held.reason == "AwaitingApproval"
