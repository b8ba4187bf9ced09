"""What an object of ours says of itself, in a few words. Pure.

Objects are read as they come, not by the models: a bank of a newer or an older version is shown as
far as it is understood.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from memorybank_operator import constants
from memorybank_operator.plugin import advice

Object = Mapping[str, Any]
NEVER_SEEN = -1
TROUBLES = {
    "Degraded": "True",
    "DiskLow": "True",
    "Available": "False",
    "BackupHealthy": "False",
    "CopiesHealthy": "False",
    "BackupVerified": "False",
    "Following": "False",
}
"""Conditions that somebody should look at though the bank is ready, and their status then."""


@dataclass(frozen=True)
class Verdict:
    """Whether an object is as its spec asks, and what follows."""

    ready: bool
    headline: str
    what: str
    """Why, by reason and message."""
    since: str
    """RFC 3339; empty when it is not known."""
    next: tuple[str, ...]
    """What to do, a sentence each."""


def status_of(resource: Object) -> Mapping[str, Any]:
    """Return the status, empty before there is one."""
    return resource.get("status") or {}


def conditions(resource: Object) -> dict[str, Mapping[str, Any]]:
    """Return the conditions by type."""
    return {each["type"]: each for each in status_of(resource).get("conditions") or ()}


def is_current(resource: Object) -> bool:
    """Tell whether the status is about the newest spec."""
    seen = status_of(resource).get("observedGeneration", NEVER_SEEN)
    return bool(seen >= resource["metadata"].get("generation", 0))


def holds(resource: Object, condition: str) -> bool:
    """Tell whether a condition is True of the newest spec."""
    found = conditions(resource).get(condition, {})
    return is_current(resource) and found.get("status") == "True"


def judge(bank: Object) -> Verdict:
    """Say whether a bank is ready, why, since when and what next."""
    metadata, status = bank["metadata"], status_of(bank)
    named = conditions(bank)
    ready = named.get("Ready", {})
    address = {"name": metadata["name"], "namespace": metadata["namespace"]}
    where = f"{metadata['namespace']}/{metadata['name']}"
    phase = f" ({status['phase']})" if status.get("phase") else ""
    reason, message = ready.get("reason", ""), ready.get("message", "")
    what = ": ".join(each for each in (reason, message) if each)
    since = ready.get("lastTransitionTime", "")
    if not is_current(bank):
        generation = metadata.get("generation", 0)
        seen = status.get("observedGeneration", NEVER_SEEN)
        told = "it was never looked at" if seen < 0 else f"the status is about generation {seen}"
        what = f"generation {generation} was not looked at yet: {told}"
        since = since or metadata.get("creationTimestamp", "")
        return Verdict(False, f"{where} is not ready{phase}", what, since, (advice.OPERATOR_AWAY,))
    if metadata.get("deletionTimestamp"):
        headline = f"{where} is being deleted{phase}"
        return Verdict(False, headline, what, metadata["deletionTimestamp"], (advice.WAIT,))
    troubles = [
        each
        for kind, bad in TROUBLES.items()
        if (each := named.get(kind)) and each.get("status") == bad
    ]
    if ready.get("status") == "True":
        cures = tuple(
            f"{each['type']} is {each['status']}: {advice.cure(each.get('reason', ''), **address)}"
            for each in troubles
        )
        trouble = ", with trouble" if troubles else ""
        headline = f"{where} is ready{trouble}{phase}"
        return Verdict(True, headline, what, since, cures or ("Nothing to do.",))
    if "Stalled" in named:
        reason = named["Stalled"].get("reason") or reason
        steps: tuple[str, ...] = (
            "Act: waiting does not help.",
            advice.cure(reason, **address),
        )
    elif reason in advice.CURES:
        steps = (advice.cure(reason, **address),)
    else:
        steps = (advice.WAIT, advice.cure(reason, **address)) if reason else (advice.WAIT,)
    return Verdict(False, f"{where} is not ready{phase}", what, since, steps)


def facts(bank: Object, keys: Sequence[Object] = ()) -> dict[str, str]:
    """Return what a bank is, by names for people; what is not known is left out."""
    spec, status = bank.get("spec") or {}, status_of(bank)
    endpoints, storage = status.get("endpoints") or {}, status.get("storage") or {}
    backup, rollout = status.get("backup") or {}, status.get("readyReplicas", 0)
    used = f", {storage['usedPercent']} % used" if "usedPercent" in storage else ""
    recoverable = (backup.get("recoverableFrom"), backup.get("recoverableTo"))
    values = {
        "Name": bank["metadata"]["name"],
        "Namespace": bank["metadata"]["namespace"],
        "Made": bank["metadata"].get("creationTimestamp", ""),
        "Phase": status.get("phase", ""),
        "URL": status.get("url", ""),
        "MCP": endpoints.get("mcp", ""),
        "Metrics": endpoints.get("metrics", ""),
        "Admin key": f"Secret {status['binding']['name']}" if status.get("binding") else "",
        "Version": status.get("version", ""),
        "Image": status.get("image", ""),
        "Pods": f"{rollout} of {status.get('replicas', 0)} ready" if status else "",
        "Engine": (spec.get("storage") or {}).get("engine", "sqlite"),
        "Volume": f"{storage['capacity']}{used}" if storage.get("capacity") else "",
        "Embedding": (spec.get("embedding") or {}).get("provider", "builtin"),
        "Encryption": "on" if (spec.get("encryption") or {}).get("enabled") else "off",
        "Backups": backup.get("destination") or "none",
        "Recoverable": " to ".join(recoverable) if all(recoverable) else "",  # type: ignore[arg-type]
        "Last verified": backup.get("lastVerified", ""),
        "On deletion": spec.get("deletionPolicy", "Retain"),
        "Protected": "yes" if spec.get("deletionProtection") else "no",
        "Keys": ", ".join(sorted(each["metadata"]["name"] for each in keys)) or "none",
    }
    return {name: str(value) for name, value in values.items() if value}


def is_of(bank: str, resource: Object) -> bool:
    """Tell whether a key, a recovery point or a restore is of a bank."""
    spec = resource.get("spec") or {}
    return bank in {(spec.get(each) or {}).get("name") for each in ("bank", "bankRef")}


def concerns(bank: str, event: Object) -> bool:
    """Tell whether an event is about a bank or its pods."""
    about = event.get("involvedObject") or {}
    name = str(about.get("name", ""))
    if about.get("kind") == constants.KIND:
        return name == bank
    return about.get("kind") == "Pod" and name.startswith(f"{bank}-")


def moment(event: Object) -> str:
    """Return when an event was last, as RFC 3339."""
    series = event.get("series") or {}
    fields = (series.get("lastObservedTime"), event.get("lastTimestamp"), event.get("eventTime"))
    known = next((each for each in fields if each), None)
    return str(known or event["metadata"].get("creationTimestamp") or "")


def age(since: str, now: datetime) -> str:
    """Return how long ago a moment is, as kubectl writes it; empty for none."""
    if not since:
        return ""
    past = max(now - datetime.fromisoformat(since), timedelta())
    seconds = int(past.total_seconds())
    for unit, size, until in (("s", 1, 120), ("m", 60, 7200), ("h", 3600, 172_800)):
        if seconds < until:
            return f"{seconds // size}{unit}"
    return f"{seconds // 86_400}d"
