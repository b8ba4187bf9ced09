"""What an examination finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass

from memorybank_operator.plugin.doctor.snapshot import Snapshot
from memorybank_operator.plugin.summary import Object


@dataclass(frozen=True)
class Finding:
    """A fault, with its cure."""

    what: str
    """The fault, for people: a sentence without a full stop."""
    where: str
    """The object that it is about, by kind and name."""
    seen: str
    """How it shows."""
    cure: str
    """What to do, or the command that does it."""

    def told(self) -> dict[str, str]:
        """Return it for programs."""
        return asdict(self)

    def page(self) -> str:
        """Return it for people."""
        return f"{self.what}\n  where: {self.where}\n  seen:  {self.seen}\n  cure:  {self.cure}"


Check = Callable[[Snapshot], Iterator[Finding]]


def place(resource: Object, kind: str = "") -> str:
    """Name an object by kind, namespace and name."""
    metadata = resource["metadata"]
    return f"{kind or resource['kind']} {metadata['namespace']}/{metadata['name']}"
