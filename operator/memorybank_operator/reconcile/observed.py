"""What one reconcile knows of the world: a frozen snapshot, taken before anything is decided."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

KubeObject = Mapping[str, Any]
"""A Kubernetes object as JSON, never changed once it is observed."""


class ChildKey(NamedTuple):
    """Names a child object within the bank's namespace."""

    kind: str
    name: str


@dataclass(frozen=True, slots=True)
class CanaryResult:
    """What the functional probe through the bank's Service said last.

    It proves one pod of one revision for one generation: a result for another says nothing.
    """

    ok: bool
    generation: int
    revision: str
    serving: str
    """Who served when the probe ran: `status.serving.serving(observed.pods)` of that moment. A pod
    that restarted or was replaced has to prove itself anew.
    """
    checked_at: datetime
    resync: str = ""
    """The re-sync that this probe was made for, or after."""
    configuration: str = ""
    """Fingerprint of the configuration that it was about."""
    pending: bool = False
    """Whether it failed only because the pod has still to read what changed."""
    takes_changes: bool | None = None
    """Whether the service takes changed settings and Secrets while it runs; None when it did not
    say.
    """
    version: str = ""
    """Version of the memory service, as the answering pod said; empty when it said nothing."""
    schema_version: int = 0
    """Schema of its database, likewise, even if the probe failed; 0 when it said nothing."""
    way_back: int = 0
    """Schema that an older version can put it back to without losing anything, likewise; 0 for
    none.
    """
    degraded: tuple[tuple[str, str], ...] = ()
    """What the service can be without for a while and does not have now, even if the probe failed:
    names of its checks and why, for people. The first one matters most.
    """
    message: str = ""
    """Why it failed, for people; holds no secret and no memory's content."""


@dataclass(frozen=True, slots=True)
class Disk:
    """How full a bank's disk is, as its pod said, in bytes."""

    total: int
    """What is used and what is free."""
    free: int

    @property
    def used_percent(self) -> int:
        """Used share, rounded down; a disk without a free byte is full."""
        return 100 if self.free <= 0 else 100 * (self.total - self.free) // max(self.total, 1)


@dataclass(frozen=True, slots=True)
class CopyReading:
    """What a pod said of a copy of its backups."""

    name: str
    copied_at: datetime | None = None
    """What was at the first destination then is there; None before that is known."""
    problem: str = ""
    """Why it does not go on, for people; holds no secret. Empty when it does."""


@dataclass(frozen=True, slots=True)
class BackupReading:
    """What a pod said of the replica of its database."""

    epoch: str
    origin: str
    """Where the database came from: volume, backup or nothing."""
    synced_at: datetime | None = None
    """When everything that was written then was last known to be at the destination; None before
    it ever was.
    """
    recoverable_from: datetime | None = None
    """From when on every moment can be restored; None while that is not known."""
    problem: str = ""
    """Why nothing arrives there, for people; holds no secret. Empty when all does."""

    fenced: str = ""
    """Which bank was promoted in the place of this one; empty when none was."""
    copies: tuple[CopyReading, ...] = ()

    @property
    def is_known(self) -> bool:
        """Whether the pod knows already how it stands."""
        return bool(self.problem) or self.synced_at is not None

    @property
    def is_well(self) -> bool:
        """Whether everything arrives, at the copies, too."""
        return self.is_known and not self.problem and not any(each.problem for each in self.copies)


_LAGS = (5, 10, 20, 30, 60, 120, 300, 600, 1800, 3600, 21600, 86400)


@dataclass(frozen=True, slots=True)
class FollowReading:
    """What a pod said of the bank that it follows."""

    epoch: str
    lag_seconds: float | None = None
    """What had arrived so long ago is there, at the most; None before that was ever known."""
    moment: datetime | None = None
    """When the newest change that is there was replicated."""
    problem: str = ""
    """Why nothing more comes, for people; holds no secret. Empty when it does."""

    @property
    def is_well(self) -> bool:
        """Whether it is known how far behind it is, and more comes."""
        return self.lag_seconds is not None and not self.problem

    @property
    def lag_at_most(self) -> int | None:
        """How far behind it is at the most, in a few steps: what changes all the time is written
        nowhere.
        """
        lag = self.lag_seconds
        return None if lag is None else next((each for each in _LAGS if lag <= each), _LAGS[-1])


@dataclass(frozen=True, slots=True)
class Reading:
    """What a pod said of itself."""

    disk: Disk | None = None
    """None when nobody said anything yet, and of a bank without a volume."""
    complaint: str = ""
    """What keeps it from its job, for people; holds no secret and no memory's content. Empty when
    it does it, or did not say.
    """
    degraded: tuple[tuple[str, str], ...] = ()
    """As in CanaryResult."""
    backup: BackupReading | None = None
    """None when nobody said anything yet, and of a bank without backups."""
    follow: FollowReading | None = None
    """None when nobody said anything yet, and of a bank that follows none."""
    readers: FollowReading | None = None
    """What the read replica said that is furthest behind; None when none said how far it is."""


@dataclass(frozen=True, slots=True)
class Observed:
    """The bank's children and surroundings at one moment."""

    children: Mapping[ChildKey, KubeObject] = field(default_factory=dict)
    """Live objects in the bank's namespace that carry one of its names or its label."""
    pods: tuple[KubeObject, ...] = ()
    storage_classes: Mapping[str, KubeObject] = field(default_factory=dict)
    admin_key_secret: KubeObject | None = None
    """The Secret that spec.auth.adminKeySecretRef names, None when it does not exist or none is
    named.
    """
    named_secrets: Mapping[str, KubeObject] = field(default_factory=dict)
    """By name, the other Secrets that the spec names, as far as they exist."""
    tls_secret: KubeObject | None = None
    """The Secret with the certificate of the bank's host, None when it does not exist or none is
    asked for.
    """
    canary: CanaryResult | None = None
    disk: Disk | None = None
    complaint: str = ""
    """As in Reading, as the pod said last."""
    degraded: tuple[tuple[str, str], ...] = ()
    """Likewise."""
    backup: BackupReading | None = None
    """Likewise."""
    follow: FollowReading | None = None
    """Likewise."""
    readers: FollowReading | None = None
    """Likewise."""
    growth_refused: str = ""
    """What the API server said when it was just asked for a larger volume, which it refused."""
    jobs: Mapping[str, KubeObject] = field(default_factory=dict)
    """By name, those that work on the bank's backups."""
    job_pods: tuple[KubeObject, ...] = ()
    """Their pods, which are none of the bank's."""
    read_pods: tuple[KubeObject, ...] = ()
    """Those of the read replicas, which are none of the bank's either."""
    backups: tuple[KubeObject, ...] = ()
    """The MemoryBankBackups of the bank."""
    halted: str = ""
    """Why the bank is to have no pod though its spec asks for one; empty when it may have it."""
    turn: bool = False
    """Whether it is the bank's turn to be updated by the operator itself."""
