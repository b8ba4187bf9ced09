"""Keeps the cluster-wide defaults: reads them while they change, and remembers the last good ones.

What is in force is written down in a ConfigMap beside the one that people write, before anything
is done by it. So a document that somebody breaks changes nothing, not even over a restart of the
operator. An operator that finds a broken document, and nothing written down, does not begin: it
cannot know what the banks are to be, and whoever led before goes on leading.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from memorybank_operator import constants
from memorybank_operator.api.defaults import FILE, NO_DEFAULTS, Defaults, parse
from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.errors import InvalidDefaults
from memorybank_operator.events import Events
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import KubeClient, Object
from memorybank_operator.kube.watching import typed
from memorybank_operator.metrics import Metrics
from memorybank_operator.reconcile.steps import Note

RECORD_SUFFIX = "-in-force"
REFUSED = "refused"
"""Key of the record that says why the document is refused; absent while it is not."""
BACKOFF_MAX = 30.0
AGAIN_SECONDS = 1.0
"""Between two watches that ended in order, so that a server that ends them at once is not
flooded."""

Answer = TypeVar("Answer")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """What is known of the ConfigMap that people write."""

    body: Object | None
    """The ConfigMap, None while there is none."""
    defaults: Defaults | None
    """What it says; None when that is refused."""
    problem: str = ""
    """Why it is refused: the key and the cure."""


class DefaultsKeeper:
    """Follows the document in every operator; puts it in force where that one leads."""

    def __init__(
        self,
        client: KubeClient,
        where: str,
        *,
        events: Events,
        metrics: Metrics,
        changed: Callable[[], None],
    ) -> None:
        """`where` is <namespace>/<name>. `changed` is told when others are in force than before."""
        self._client = client
        self._namespace, _, self._name = where.partition("/")
        self._events = events
        self._metrics = metrics
        self._changed = changed
        self._found: Found | None = None
        self._good: Defaults | None = None
        """The last good ones: as written down, or as read since."""
        self._written: Object = {}
        """The data of the record, as it is."""
        self._news = asyncio.Event()
        self._known = asyncio.Event()
        self._settled = asyncio.Event()
        self.in_force = NO_DEFAULTS
        """What banks are rendered with. Nothing may be before `settled`."""

    @property
    def lacking(self) -> str:
        """Say what is not known yet without which work cannot begin; empty for nothing."""
        if self._known.is_set():
            return ""
        if self._found is None:
            return f"not read yet: ConfigMap {self._namespace}/{self._name} (defaults)"
        return f"{self._found.problem}. No defaults were in force before, so nothing begins"

    async def known(self) -> None:
        """Wait until there are defaults to work by: the document's, or those before it."""
        await self._known.wait()

    async def settled(self) -> None:
        """Wait until `keep` has put the first defaults in force."""
        await self._settled.wait()

    async def follow(self) -> None:
        """Read the record, then the document and each change of it, until cancelled."""
        await self._read_record()
        async for body in self._versions():
            self._take(body)

    async def keep(self) -> None:
        """Put each good document in force, and tell of each bad one, until cancelled. For whoever
        leads: it writes.
        """
        await self._read_record()
        while True:
            self._news.clear()
            await self._settle()
            await self._news.wait()

    async def _versions(self) -> AsyncIterator[Object | None]:
        pause = AGAIN_SECONDS
        while True:
            try:
                listing = await self._client.named(kinds.CONFIG_MAP, self._namespace, self._name)
                items = [typed(kinds.CONFIG_MAP, each) for each in listing.get("items") or ()]
                yield items[0] if items else None
                pause = AGAIN_SECONDS
                async for event in self._client.watch_named(
                    kinds.CONFIG_MAP, self._namespace, self._name,
                    since=listing["metadata"]["resourceVersion"],
                ):  # fmt: skip
                    if event["type"] != "BOOKMARK":
                        yield None if event["type"] == "DELETED" else event["object"]
            except errors.KubeError as error:
                logger.warning("%s", error)
                pause = min(BACKOFF_MAX, pause * 2)
            await _breathe(pause)

    def _take(self, body: Object | None) -> None:
        found = self._judge(body)
        before = self._found
        self._found = found
        if before is None or (before.defaults, before.problem) != (found.defaults, found.problem):
            if found.defaults is None:
                logger.error("%s: %s", Reason.DEFAULTS_REFUSED, found.problem)
            self._metrics.defaults_refused.set(found.defaults is None)
        self._good = found.defaults or self._good
        if self._good is not None:
            self._known.set()
        self._news.set()

    def _judge(self, body: Object | None) -> Found:
        where = f"ConfigMap {self._namespace}/{self._name}"
        if body is None:
            return Found(
                None, None, f"{where} does not exist: create it; without data it means no defaults"
            )
        try:
            if body.get("binaryData"):
                raise InvalidDefaults(FILE, "write it as text, into data")
            return Found(body, parse(body.get("data") or {}))
        except InvalidDefaults as error:
            return Found(body, None, f"{where}: {error}")

    async def _settle(self) -> None:
        """Write down what is to be in force, then let it be."""
        if self._found is None:
            return
        wanted = await _until_answered(self._write_down, "the defaults are not in force yet: %s")
        if wanted is None:
            return
        differs = wanted != self.in_force
        self.in_force = wanted
        if differs and self._settled.is_set():
            self._changed()
        self._settled.set()

    async def _write_down(self) -> Defaults | None:
        """Return what is to be in force as of now, once the record says so; None for nothing."""
        found = self._found
        wanted = (found.defaults if found else None) or self._good
        if found and wanted is not None and await self._record(wanted, found.problem):
            await self._tell(found)
        return wanted

    async def _record(self, wanted: Defaults, problem: str) -> bool:
        """Write the record if it would say anything else; return whether it did."""
        data = {FILE: wanted.text} | ({REFUSED: problem} if problem else {})
        if data == self._written:
            return False
        answer = await self._client.apply(
            {
                "apiVersion": "v1",
                "kind": "ConfigMap",
                "metadata": {
                    "name": f"{self._name}{RECORD_SUFFIX}",
                    "namespace": self._namespace,
                    "labels": {constants.LABEL_NAME: constants.FIELD_MANAGER},
                    "annotations": {
                        "description": "Written by the operator: the cluster-wide defaults that "
                        f"are in force. Change {self._name} instead."
                    },
                },
                "data": data,
            }
        )
        self._written = answer.get("data") or {}
        return True

    async def _tell(self, found: Found) -> None:
        if found.defaults is not None:
            keys = sorted(found.defaults.model_dump(exclude_defaults=True))
            shown = ", ".join(keys) or "no defaults, but what is built in"
            note = Note(Reason.DEFAULTS_ACCEPTED, f"In force from now on: {shown}.")
            logger.info("%s: %s", note.reason, note.message)
        else:
            note = Note(
                Reason.DEFAULTS_REFUSED,
                f"{found.problem}. What was in force before stays so, see the ConfigMap "
                f"{self._name}{RECORD_SUFFIX}.",
                warning=True,
            )
        if found.body is not None:
            await self._events.tell(found.body, note)

    async def _read_record(self) -> None:
        """Learn what was in force before. A record that this version cannot read is none."""
        name = f"{self._name}{RECORD_SUFFIX}"
        body = await _until_answered(
            partial(self._client.get, kinds.CONFIG_MAP, self._namespace, name), "%s"
        )
        self._written = (body or {}).get("data") or {}
        text = self._written.get(FILE)
        if text is not None:
            try:
                self._good = parse({FILE: text})
            except InvalidDefaults as error:
                logger.warning("ConfigMap %s/%s: %s", self._namespace, name, error)


async def _until_answered(request: Callable[[], Awaitable[Answer]], problem: str) -> Answer:
    """Repeat a request, ever more slowly, until the API server does what it asks for.

    `problem` is what is logged of each failure, with a place for its words.
    """
    pause = AGAIN_SECONDS
    while True:
        try:
            return await request()
        except errors.KubeError as error:
            logger.warning(problem, error)
        await _breathe(pause)
        pause = min(BACKOFF_MAX, pause * 2)


async def _breathe(seconds: float) -> None:
    await asyncio.sleep(seconds * random.uniform(0.5, 1.0))  # noqa: S311 - spreads requests
