"""Following, and what the status says of the bank that a standby follows, by what its pod says.

As with backups nothing here goes on while all is well: an idle bank causes no writes.
"""

from __future__ import annotations

from collections.abc import Iterator

from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.standby import Standby
from memorybank_operator.api.v1alpha1.status import StandbyStatus
from memorybank_operator.configfiles.app_config import named
from memorybank_operator.reconcile.observed import FollowReading, Observed
from memorybank_operator.status.backup import at, folder
from memorybank_operator.status.serving import is_running
from memorybank_operator.status.verdict import Verdict


def judge_following(
    bank: MemoryBank, observed: Observed
) -> Iterator[tuple[ConditionType, Verdict]]:
    """Yield whether a standby keeps up; nothing for a bank of its own, and of one that is to have
    no pod.
    """
    standby = bank.spec.followed
    if standby is None or bank.spec.pods == 0:
        return
    yield ConditionType.FOLLOWING, _judge(bank, standby, observed)


def _judge(bank: MemoryBank, standby: Standby, observed: Observed) -> Verdict:
    place, said = source(bank, standby), observed.follow
    known = bank.status.condition(ConditionType.FOLLOWING)
    if said is None and known is not None and any(map(is_running, observed.pods)):
        # The operator was restarted, and the pod, which runs on, has not spoken to it yet.
        return Verdict(known.status, known.reason, known.message)
    if said is None or (said.lag_seconds is None and not said.problem):
        message = f"No pod has said yet how far behind {place} it is."
        return Verdict("Unknown", Reason.FOLLOWING_UNKNOWN, message)
    if said.problem:
        return Verdict(
            "False",
            Reason.SOURCE_UNREACHABLE,
            f"Nothing new comes from {place}: {said.problem.rstrip('.')}. The standby serves what "
            f"it has{_of(said)}, until spec.standby.maxLag ({standby.max_lag}) is over.",
        )
    if said.lag_seconds is not None and said.lag_seconds > standby.max_lag_seconds:
        return Verdict(
            "False",
            Reason.FOLLOWING_LATE,
            f"The standby is further behind {place} than spec.standby.maxLag ({standby.max_lag}).",
        )
    return Verdict(
        "True",
        Reason.FOLLOWING,
        f"Everything that arrives at {place} is served here within {standby.max_lag}.",
    )


def standby_status(bank: MemoryBank, observed: Observed) -> StandbyStatus | None:
    """Return what is known of the bank that is followed, or was; None for one that never did."""
    standby, said, known = bank.spec.standby, observed.follow, bank.status.standby
    if standby is None:
        return None
    place = source(bank, standby)
    last = known if known is not None and known.source == place else StandbyStatus(source=place)
    if bank.spec.followed is None:
        return StandbyStatus(source=place, epoch=last.epoch, promoted=True)
    if said is None:
        return last
    return StandbyStatus(
        source=place,
        epoch=said.epoch,
        lag_seconds=said.lag_at_most,
        moment=None if said.is_well else said.moment,
    )


def source(bank: MemoryBank, standby: Standby) -> str:
    """Return where the backups of the bank are that is followed, for people."""
    backup = bank.spec.backup
    assert backup is not None  # noqa: S101 - the API server sees to that
    followed = standby.from_bank
    uid = () if followed is None or followed.uid is None else (followed.uid,)
    return folder(standby.destination or backup.destination, named(bank, followed), *uid)


def _of(said: FollowReading) -> str:
    return "" if said.moment is None else f" of {at(said.moment)}"
