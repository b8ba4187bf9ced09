"""Compares what the watches told with what there is, by listing each kind again from time to time.

A watch loses nothing by the letter of its protocol. Should one do so all the same, or a handler
fail over an event, the loss lasts one interval at most. What a listing shows goes the way of any
other event.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.kube.watching import Listener, Stream, Take, typed

logger = logging.getLogger(__name__)


class Relisting:
    """Lists one stream after the other, spread over an interval."""

    def __init__(self, client: KubeClient, take: Take, listener: Listener) -> None:
        self._client = client
        self._take = take
        self._listener = listener

    async def run(self, streams: Collection[Stream], *, interval: float) -> None:
        """List each stream once in an interval of seconds, until cancelled."""
        while True:
            for stream in streams:
                await asyncio.sleep(interval / len(streams))
                try:
                    await self._list(stream)
                except errors.KubeError as error:
                    logger.warning("%s", error)

    async def _list(self, stream: Stream) -> None:
        kind, uids, version = stream.kind, set[str](), 0
        async for page in self._client.pages(kind, stream.namespace, selector=kinds.selector(kind)):
            for item in page.get("items") or ():
                uids.add(item["metadata"]["uid"])
                self._take({"type": None, "object": typed(kind, item)})
            version = int(page["metadata"]["resourceVersion"])
        self._listener.listed(stream, frozenset(uids), resource_version=version)
