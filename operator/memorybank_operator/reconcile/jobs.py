"""What became of a Job that works on backups, by the Job and its pods. Pure.

What its pod says of itself is read as strictly as anything from outside: it is the text of a
process that reads what is at the destination, and ends up in a status.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from memorybank_operator.reconcile.observed import KubeObject

MAX_REPORT = 4096
"""Bytes that a kubelet passes on of what a container says at its end."""
MAX_SAID = 400
"""Characters of what is passed on of somebody else's words."""


def line_of(text: str) -> str:
    """Return somebody else's words as one line of bounded length without control characters."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= MAX_SAID else f"{line[: MAX_SAID - 3]}..."


def _whole(value: Any) -> Any:
    """Count in whole numbers only: JSON has true and 1.0 as well."""
    if type(value) is not int:
        raise ValueError("no whole number")
    return value


def _finite(value: Any) -> Any:
    if type(value) not in (int, float) or not math.isfinite(value):
        raise ValueError("no number")
    return value


def _word(text: str) -> str:
    if not text.isprintable():
        raise ValueError("not printable")
    return text


Word = Annotated[str, Field(max_length=128), AfterValidator(_word)]
Line = Annotated[str, AfterValidator(line_of)]
Count = Annotated[int, BeforeValidator(_whole), Field(ge=0, lt=2**53)]
Seconds = Annotated[float, BeforeValidator(_finite), Field(ge=0, lt=1e9)]


class _Said(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Check(_Said):
    """One thing that was looked at."""

    name: Word
    ok: bool
    detail: Line = ""


class ReportedExport(_Said):
    """The export beside a recovery point."""

    memories: Count
    bytes: Count
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class ReportedError(_Said):
    """Why it failed."""

    code: Word = ""
    message: Line = ""
    hint: Line | None = None


class Report(_Said):
    """What a Job's container says at its end. What it does not know is None."""

    operation: Literal["take", "verify", "rewind", "undo"]
    result: Literal["ok", "failed"]
    bank: Word
    name: Word | None = None
    epoch: Word | None = None
    txid: Word | None = None
    moment: AwareDatetime | None = None
    taken_at: AwareDatetime | None = None
    expires_at: AwareDatetime | None = None
    restore_seconds: Seconds | None = None
    ready_seconds: Seconds | None = None
    data_loss_seconds: Seconds | None = None
    memories: Count | None = None
    tenants: Count | None = None
    keys: Count | None = None
    bytes: Count | None = None
    schema_version: Count | None = None
    key_ids: Annotated[tuple[Word, ...], Field(max_length=32)] = ()
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")] | None = None
    export: ReportedExport | None = None
    checks: Annotated[tuple[Check, ...], Field(max_length=32)] = ()
    error: ReportedError | None = None

    def is_about(self, operation: str, bank: str, point: str | None) -> bool:
        """Tell whether it is about this. What failed so early that it did not know its bank says
        none.
        """
        of_bank = self.bank == bank or (not self.bank and self.result == "failed")
        of_point = point is None or self.name == point
        return self.operation == operation and of_bank and of_point

    @property
    def trouble(self) -> str:
        """Why it failed, for people."""
        if self.error is not None and self.error.message:
            hint = f" {self.error.hint}" if self.error.hint else ""
            return f"{self.error.message.rstrip('.')}.{hint}"
        failed = [f"{each.name}: {each.detail}" for each in self.checks if not each.ok]
        return "; ".join(failed)[:MAX_SAID] or "it did not say why"


@dataclass(frozen=True, slots=True)
class Trial:
    """How a Job stands."""

    job: KubeObject
    ended: datetime | None = None
    """When it ended, good or bad; None while it runs."""
    failed: bool = False
    report: Report | None = None
    """What its pod said; None while it did not, or nothing of use."""
    message: str = ""
    """Why it, or the last try while it runs, failed, for people; empty when none did."""
    pods: tuple[KubeObject, ...] = ()

    @property
    def name(self) -> str:
        """Name of the Job."""
        return str(self.job["metadata"]["name"])

    @property
    def good(self) -> Report | None:
        """The report of a Job that did what it is for."""
        is_good = self.ended is not None and not self.failed
        return self.report if is_good and self.report and self.report.result == "ok" else None


def trial(
    job: KubeObject, pods: Iterable[KubeObject], *, operation: str, bank: str, point: str | None
) -> Trial:
    """Tell how a Job stands by its own status, which alone says whether it is tried again. `bank`
    is NAMESPACE/NAME/UID; a report about anything else is none.
    """
    uid = job["metadata"]["uid"]
    own = tuple(sorted(_of(uid, pods), key=lambda each: str(each["metadata"]["creationTimestamp"])))
    end = _end(job)
    said = [text for text in map(_last_words, own) if text]
    reports = [
        each
        for each in map(read_report, said)
        if each is not None and each.is_about(operation, bank, point)
    ]  # fmt: skip
    report = reports[-1] if reports else None
    message = ""
    if report is not None and report.result == "failed":
        message = report.trouble
    elif said and report is None:
        message = f"Its pod said last: {line_of(said[-1])}"
    if end is None:
        return Trial(job, report=report, message=message, pods=own)
    if end["type"] != "Failed":
        return Trial(job, _moment(end), report=report, pods=own)
    why = message or _fate(own) or line_of(f"{end.get('reason')}: {end.get('message')}")
    return Trial(job, _moment(end), failed=True, report=report, message=why, pods=own)


def has_ended(job: KubeObject) -> bool:
    """Tell whether a Job is over, good or bad."""
    return _end(job) is not None


def read_report(text: str) -> Report | None:
    """Read what a container said at its end; None for what is no report."""
    if len(text.encode(errors="replace")) > MAX_REPORT:
        return None
    try:
        document = json.loads(text)
        return Report.model_validate(document)
    except (ValueError, ValidationError, RecursionError):
        return None


def _of(uid: str, pods: Iterable[KubeObject]) -> Iterable[KubeObject]:
    for pod in pods:
        owners = pod["metadata"].get("ownerReferences") or ()
        if any(each["uid"] == uid for each in owners):
            yield pod


def _end(job: KubeObject) -> KubeObject | None:
    conditions = (job.get("status") or {}).get("conditions") or ()
    return next(
        (c for c in conditions if c["type"] in ("Complete", "Failed") and c["status"] == "True"),
        None,
    )


def _last_words(pod: KubeObject) -> str:
    for status in (pod.get("status") or {}).get("containerStatuses") or ():
        ended = (status.get("state") or {}).get("terminated")
        if ended is not None:
            return str(ended.get("message") or "").strip()
    return ""


def _fate(pods: Iterable[KubeObject]) -> str:
    """Say what became of the last pod that was ended before it could say anything."""
    fate = ""
    for pod in pods:
        status = pod.get("status") or {}
        if status.get("reason") == "Evicted":
            fate = f"The node ended its pod: {line_of(str(status.get('message') or 'Evicted'))}"
        for each in status.get("containerStatuses") or ():
            ended = (each.get("state") or {}).get("terminated") or {}
            if ended.get("reason") == "OOMKilled":
                fate = (
                    "Its pod was stopped because it needed more memory than "
                    "spec.resources.limits.memory of the bank: raise that limit"
                )
    return fate


def _moment(condition: KubeObject) -> datetime:
    said = condition.get("lastTransitionTime")
    return datetime.fromisoformat(said) if said else datetime.fromtimestamp(0, UTC)
