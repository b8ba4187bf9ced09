"""What a command tells of itself to whoever started it in a Job: JSON that fits a termination
message, without a secret and without a memory's content.
"""

from __future__ import annotations

import json
from typing import Literal, Self

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from memorybank.backup.point import Point
from memorybank.errors import MemoryBankError
from memorybank.schemas.backups import BackupMark

MOST_BYTES = 4_096
"""What a kubelet reads of a termination message."""
_MOST_WORDS = (400, 200, 100, 40)
"""Characters of what is told of one thing: as many as all of it leaves room for."""
_MOST_KEYS = 10
_WORDS = {"detail", "message", "hint"}

Operation = Literal["take", "verify", "rewind", "undo"]


class Check(BaseModel):
    """One thing that was tried on what was restored."""

    model_config = ConfigDict(frozen=True)

    name: Literal["integrity", "counts", "keys", "recall"]
    ok: bool
    detail: str = ""

    @classmethod
    def of(cls, name: Literal["integrity", "counts", "keys", "recall"], problem: str) -> Self:
        """Return a check that found a problem, or none."""
        return cls(name=name, ok=not problem, detail=problem)


class Exported(BaseModel):
    """The export of a point."""

    model_config = ConfigDict(frozen=True)

    memories: int
    bytes: int
    sha256: str


class Failure(BaseModel):
    """Why something was not done."""

    model_config = ConfigDict(frozen=True)

    code: str
    message: str
    hint: str | None = None

    @classmethod
    def of(cls, error: MemoryBankError) -> Self:
        """Show an error."""
        return cls(code=error.code, message=error.message, hint=error.hint)


class Report(BaseModel):
    """What was done, as far as it got."""

    model_config = ConfigDict(validate_assignment=True)

    operation: Operation
    result: Literal["ok", "failed"] = "failed"
    name: str | None = None
    """Of the recovery point, or the id of the rewind."""
    bank: str
    """Namespace, name and uid."""
    already: bool = False
    """Whether it was done before, by the same name or id."""
    epoch: str | None = None
    """That was restored."""
    txid: str | None = None
    moment: AwareDatetime | None = None
    """When the newest memory, tenant or key in it was made or changed."""
    taken_at: AwareDatetime | None = None
    """When this began; of a point, when it was taken."""
    expires_at: AwareDatetime | None = None
    restore_seconds: float | None = None
    """Until the bytes were there and checked."""
    ready_seconds: float | None = None
    """Until searches of it answered, the restore included."""
    data_loss_seconds: float | None = None
    """How much older the newest change in it is than that of the bank which serves."""
    memories: int | None = None
    tenants: int | None = None
    keys: int | None = None
    bytes: int | None = None
    schema_version: int | None = None
    key_ids: tuple[str, ...] = ()
    sha256: str | None = None
    export: Exported | None = None
    """Of a point that was taken with one."""
    source: BackupMark | None = None
    """What the bank said of itself; None when it was not asked, or did not serve."""
    checks: list[Check] = Field(default_factory=list)
    error: Failure | None = None

    def tell_point(self, point: Point) -> None:
        """Take over what is written down of a point."""
        self.name = point.name
        self.epoch, self.txid, self.moment = point.epoch, point.txid, point.moment
        self.taken_at, self.expires_at = point.taken_at, point.expires_at
        self.memories, self.tenants, self.keys = point.memories, point.tenants, point.keys
        self.bytes, self.sha256 = point.bytes, point.sha256
        self.schema_version, self.key_ids = point.schema_version, point.key_ids
        if point.export is not None:
            self.export = Exported(**point.export.model_dump(include={*Exported.model_fields}))

    def text(self) -> str:
        """Return it as a line of JSON, as a whole."""
        return next(text for text in map(self._cut, _MOST_WORDS) if self._fits(text))

    def _cut(self, words: int) -> str:
        told = self.model_dump(mode="json")
        told["key_ids"] = told["key_ids"][:_MOST_KEYS]
        for each in (*told["checks"], told["error"] or {}):
            for field in _WORDS & each.keys():
                each[field] = each[field] and each[field][:words]
        return json.dumps(told, ensure_ascii=False, separators=(",", ":"))

    def _fits(self, text: str) -> bool:
        return len(text.encode(errors="replace")) <= MOST_BYTES
