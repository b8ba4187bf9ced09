"""The resources that an operator is given, and how soon it acts on them."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx

from benchmarks.operator.measuring import NAMESPACE, Arrivals, arrivals, post
from benchmarks.operator.subjects import Subject


@dataclass
class Crowd:
    """Resources of one operator, all in one namespace."""

    http: httpx.Client
    subject: Subject
    count: int = 0
    last: Arrivals = field(init=False)

    def __post_init__(self) -> None:
        self.last = arrivals(self.http, self.subject.last)

    def one_by_one(self, count: int) -> list[float]:
        """Seconds until each new resource's last object is there, each waited for."""
        return [self._wait(name, at) for name, at in self._created(count)]

    def at_once(self, count: int) -> float:
        """Seconds from the creation of the first of some to the last one's last object."""
        started = time.perf_counter()
        for name, at in list(self._created(count)):
            self._wait(name, at)
        return time.perf_counter() - started

    def repair(self, number: int, mended: Arrivals) -> float:
        """Seconds until a deleted object is there again."""
        name = self.subject.mended_name.format(self._name(number))
        now = time.perf_counter()
        self.http.delete(self.subject.mended.item(NAMESPACE, name)).raise_for_status()
        return mended.wait(name, after=now)

    def number(self, name: str) -> int:
        """Return the number of the resource that an object is named after, -1 for none."""
        found = re.match(rf"{self.subject.prefix}(\d+)(?!\d)", name)
        return int(found[1]) if found else -1

    def _created(self, count: int) -> Iterator[tuple[str, float]]:
        kind = self.subject.kind
        for _ in range(count):
            name, self.count = self._name(self.count), self.count + 1
            now = time.perf_counter()
            body = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": {"name": name}}
            post(self.http, kind.collection(NAMESPACE), body | {"spec": {}})
            yield name, now

    def _wait(self, name: str, at: float) -> float:
        return self.last.wait(self.subject.last_name.format(name), after=at)

    def _name(self, number: int) -> str:
        return f"{self.subject.prefix}{number}"
