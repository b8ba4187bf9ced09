"""kopf's part: watch streams that reconnect, one per kind; what they tell is read on its way by
kube/watching.py.

No change-detection handlers, daemons, timers, peering, annotations or finalizers: kopf writes
nothing here.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import Any, cast

import aiohttp
import kopf
from typing_extensions import override

from memorybank_operator import constants
from memorybank_operator.kube import kinds
from memorybank_operator.kube.client import PAGE
from memorybank_operator.kube.connection import CONNECT_SECONDS
from memorybank_operator.kube.kinds import ApiKind

INACTIVITY_SECONDS = 70.0
"""API servers send a bookmark each minute: a stream without one is dead and gets renewed."""
REQUEST_SECONDS = 30.0
IDLE_SECONDS = 1.0
RELOGIN_SECONDS = 5.0
BACKOFF_MAX = 30.0


# kopf would otherwise ask the DNS for a name of this host, which may take long; it is used nowhere.
IDENTITY = cast(Any, constants.FIELD_MANAGER)


class Backoffs:
    """Seconds between attempts of a watch's requests: growing, never ending.

    The streams survive an outage of any length; /healthz tells when it gets long.
    """

    def __iter__(self) -> Iterator[float]:
        delay = 0.5
        while True:
            yield delay * random.uniform(0.5, 1.0)  # noqa: S311 - spreads requests, hides nothing
            delay = min(BACKOFF_MAX, delay * 2)


class NothingStored(kopf.DiffBaseStorage):
    """Has kopf compare nothing and keep nothing: it would copy each object several times for a
    comparison that no handler of ours asks for, which was half of its time.
    """

    @override
    def build(self, **_: object) -> kopf.BodyEssence:
        return kopf.BodyEssence({})

    @override
    def fetch(self, **_: object) -> None:
        return None

    @override
    def store(self, **_: object) -> None:
        raise NotImplementedError("kopf writes nothing in this operator")


def registry(
    server: str, session: Callable[[], aiohttp.ClientSession], watched: Iterable[ApiKind]
) -> kopf.OperatorRegistry:
    """Return kopf's handlers: log in with our own session, and watch these kinds."""
    handlers = kopf.OperatorRegistry()
    kopf.on.login(registry=handlers)(_login(server, session))
    for kind in watched:
        kopf.on.event(
            group=kind.group, version=kind.version, plural=kind.plural,
            id=kind.plural, registry=handlers,
        )(_on_event)  # fmt: skip
    return handlers


async def _on_event(**_: object) -> None:
    """kopf watches what it has handlers for; objects are taken before they get here."""


def _login(
    server: str, session: Callable[[], aiohttp.ClientSession]
) -> Callable[..., Awaitable[kopf.AiohttpSession]]:
    again = False

    async def on_login(**_: object) -> kopf.AiohttpSession:
        nonlocal again
        if again:  # after a 401: the next answer may be the same
            await asyncio.sleep(RELOGIN_SECONDS)
        again = True
        return kopf.AiohttpSession(server=server, aiohttp_session=session())

    return on_login


def settings() -> kopf.OperatorSettings:
    """Return kopf's settings: read only, everything bounded, outages survived."""
    chosen = kopf.OperatorSettings()
    chosen.posting.enabled = False
    chosen.peering.standalone = True
    chosen.scanning.disabled = True
    chosen.persistence.diffbase_storage = NothingStored()
    chosen.process.ultimate_exiting_timeout = None
    chosen.queueing.idle_timeout = IDLE_SECONDS
    chosen.networking.request_timeout = REQUEST_SECONDS
    chosen.networking.connect_timeout = CONNECT_SECONDS
    chosen.networking.error_backoffs = Backoffs()
    chosen.networking.enforce_retry_after = True
    chosen.watching.inactivity_timeout = INACTIVITY_SECONDS
    chosen.watching.chunk_size = PAGE
    for kind in kinds.WATCHED:
        if kinds.selector(kind):
            chosen.watching.label_selectors[_selects(kind)] = kinds.selector(kind)
    return chosen


def _selects(kind: ApiKind) -> Callable[[kopf.Resource], bool]:
    return lambda resource: (resource.group, resource.plural) == (kind.group, kind.plural)
