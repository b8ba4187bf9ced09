"""What CloudNativePG says of the backups that it makes itself of a bank's own servers.

Whether it makes any is said in its Cluster, by whoever looks after that: of the Cluster's spec only
what a bank's spec says is ours, so `backup` and `plugins` stay as somebody has put them there.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.status import ServersBackupStatus
from memorybank_operator.reconcile.jobs import line_of
from memorybank_operator.reconcile.observed import KubeObject, Observed
from memorybank_operator.resources import names
from memorybank_operator.status.verdict import Verdict, find

ARCHIVING, SUCCEEDED = "ContinuousArchiving", "LastBackupSucceeded"
"""Types of its conditions."""
STARTED = "BackupStarted"
"""Why the latter is False while a backup is made."""
KINDS = ("barmanObjectStore", "volumeSnapshot")
"""Entries of the Cluster's `spec.backup`, each of which asks for backups."""


def servers_backup(bank: MemoryBank, observed: Observed) -> ServersBackupStatus | None:
    """Return what is known of those backups; None for servers without, and where there are none."""
    live = _live(bank, observed)
    if live is None:
        return None
    status = live.get("status") or {}
    conditions = status.get("conditions")
    archiving = find(conditions, ARCHIVING) if _archives(live["spec"]) else None
    return ServersBackupStatus(
        archiving=None if archiving is None else archiving.get("status") == "True",
        last_backup_time=_newest(status, "lastSuccessfulBackup", max),
        recoverable_from=_newest(status, "firstRecoverabilityPoint", min),
    )


def judge_servers(bank: MemoryBank, observed: Observed) -> Verdict | None:
    """Judge those backups by its own conditions; None where it makes none."""
    live = _live(bank, observed)
    if live is None:
        return None
    conditions = (live.get("status") or {}).get("conditions")
    archiving, last = find(conditions, ARCHIVING) or {}, find(conditions, SUCCEEDED) or {}
    if _archives(live["spec"]) and archiving.get("status") == "False":
        said = f"CloudNativePG does not archive what is written: {_words(archiving)}."
        return Verdict("False", Reason.BACKUP_FAILING, said)
    if last.get("status") == "False" and last.get("reason") != STARTED:
        said = f"The last backup by CloudNativePG has failed: {_words(last)}."
        return Verdict("False", Reason.BACKUP_FAILING, said)
    known = servers_backup(bank, observed)
    if last.get("status") == "True" or (known is not None and known.last_backup_time is not None):
        said = "CloudNativePG makes backups of the bank's servers."
        return Verdict("True", Reason.SERVERS_BACKED_UP, said)
    said = "CloudNativePG has made no backup of the bank's servers yet."
    return Verdict("Unknown", Reason.BACKUP_UNKNOWN, said)


def _live(bank: MemoryBank, observed: Observed) -> KubeObject | None:
    """Return the Cluster of which backups are to be made."""
    if bank.spec.storage.cluster is None:
        return None
    live = observed.children.get(names.postgres_cluster(bank))
    if live is None or not (_archives(live["spec"]) or _asked_for(live["spec"])):
        return None
    return live


def _asked_for(spec: Mapping[str, Any]) -> bool:
    wanted = spec.get("backup") or {}
    return any(wanted.get(kind) is not None for kind in KINDS)


def _archives(spec: Mapping[str, Any]) -> bool:
    """Tell whether the log is archived: by CloudNativePG itself, or by a plugin."""
    plugins: Iterable[Mapping[str, Any]] = spec.get("plugins") or ()
    by_plugin = (each.get("isWALArchiver") and each.get("enabled", True) for each in plugins)
    return any(by_plugin) or (spec.get("backup") or {}).get(KINDS[0]) is not None


def _newest(status: Mapping[str, Any], field: str, choose: Any) -> datetime | None:
    """Return a moment that is told for each way of making backups, or once."""
    told = [*(status.get(f"{field}ByMethod") or {}).values(), status.get(field)]
    moments = [moment for each in told if (moment := _moment(each)) is not None]
    return choose(moments) if moments else None


def _moment(text: object) -> datetime | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo is not None else None


def _words(condition: Mapping[str, Any]) -> str:
    said = line_of(
        str(condition.get("message") or condition.get("reason") or "it does not say why")
    )
    return said.rstrip(".")
