"""A bank that follows another one, until it is promoted in its place."""

from __future__ import annotations

from pydantic import ConfigDict

from memorybank_operator.api.base import ApiModel, rules
from memorybank_operator.api.duration import parse_duration
from memorybank_operator.api.v1alpha1.backup import Destination, within
from memorybank_operator.api.v1alpha1.bootstrap import FromBank
from memorybank_operator.api.v1alpha1.types import Duration

STANDBY_PATH = "spec.standby"


class Standby(ApiModel):
    """Another bank whose backups this one follows."""

    model_config = ConfigDict(
        json_schema_extra=rules(within("maxLag", "5s", "24h", path=STANDBY_PATH))
    )

    enabled: bool = True
    """While true, the bank serves what the other one's backups say, and takes no writes. False
    promotes it: it begins with the newest state at the destination, takes writes, has backups of
    its own, and the other bank takes no more writes, should it come back. It cannot become true
    again.
    """
    from_bank: FromBank | None = None
    """The bank that is followed, in this cluster or another one. Left out, that of the same
    namespace and name in another cluster.
    """
    destination: Destination | None = None
    """Where its backups are. Left out, at spec.backup.destination."""
    max_lag: Duration = "60s"
    """How far behind what has arrived there the standby may be and be ready: from 5s to 24h."""
    fence: bool = True
    """Whether a promotion keeps the other bank from taking writes, by an object at the destination
    of its backups, which it needs to be able to write. False is for a destination that cannot be
    written to, and a bank that is gone for good.
    """

    @property
    def max_lag_seconds(self) -> int:
        """`max_lag` in seconds."""
        return int(parse_duration(self.max_lag).total_seconds())
