"""Answers in the place of a thousand memory services, on the addresses of their Services.

    python -m benchmarks.operator.standins KUBECONFIG

The Services' range has to be within 127.0.0.0/8, where every address leads to this machine. What
the operator asks a bank is answered as the service does, from a dictionary: this measures the
operator, not the service.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import sys
import uuid
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from memorybank_operator import constants
from memorybank_operator.configfiles.checksum import text_checksum
from memorybank_operator.configfiles.in_effect import ADMIN_KEY, secret_checksum
from memorybank_operator.kube import kinds
from memorybank_operator.kube.connection import Connection, from_kubeconfig
from memorybank_operator.resources.config_map import FILE
from memorybank_operator.resources.key_secret import TOKEN

LINE_BYTES = 2**22
BACKLOG = 16

Take = Callable[[dict[str, Any]], Awaitable[None]]


class StandIns:
    """One server behind all addresses; the address says which bank is meant."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._banks: dict[str, str] = {}
        """By address."""
        self._revisions: dict[str, str] = {}
        self._files: dict[str, str] = {}
        """Fingerprints of the configurations."""
        self._keys: dict[str, str] = {}
        """Fingerprints of the admin keys."""
        self._memories: dict[str, dict[str, dict[str, Any]]] = {}
        app = web.Application()
        app.router.add_get("/ready", self._ready)
        app.router.add_get("/v1/admin/configuration", self._configuration)
        app.router.add_put("/v1/admin/keys/managed", self._keep_keys)
        app.router.add_get("/v1/memories", self._list)
        app.router.add_post("/v1/memories", self._add)
        app.router.add_post("/v1/search", self._search)
        app.router.add_delete("/v1/memories/{id}", self._delete)
        self._runner = web.AppRunner(app, access_log=None)

    async def run(self) -> None:
        """Serve until cancelled."""
        await self._runner.setup()
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(kinds.SERVICE, self._take_service))
            group.create_task(self._follow(kinds.DEPLOYMENT, self._take_deployment))
            group.create_task(self._follow(kinds.CONFIG_MAP, self._take_config_map))
            group.create_task(self._follow(kinds.SECRET, self._take_secret))

    async def _follow(self, kind: kinds.ApiKind, take: Take) -> None:
        # The server ends a watch whose events are taken too slowly. The next begins with all again.
        async with self._connection.session() as session:
            while True:
                with contextlib.suppress(aiohttp.ClientError):
                    await self._watch(session, kind, take)

    async def _watch(self, session: aiohttp.ClientSession, kind: kinds.ApiKind, take: Take) -> None:
        query = {"watch": "true", "labelSelector": kinds.selector(kind)}
        async with session.get(
            self._connection.server + kind.collection(), params=query,
            timeout=aiohttp.ClientTimeout(total=None), read_bufsize=LINE_BYTES,
        ) as response:  # fmt: skip
            while line := await response.content.readline():
                event = json.loads(line)
                if event["type"] in ("ADDED", "MODIFIED"):
                    await take(event["object"])

    async def _take_service(self, body: dict[str, Any]) -> None:
        address = body["spec"]["clusterIP"]
        if address in self._banks:
            return
        self._banks[address] = _name(body)
        site = web.TCPSite(self._runner, address, constants.HTTP_PORT, backlog=BACKLOG)
        await site.start()

    async def _take_deployment(self, body: dict[str, Any]) -> None:
        annotations = body["spec"]["template"]["metadata"]["annotations"]
        self._revisions[_name(body)] = annotations[constants.ANNOTATION_REVISION]

    async def _take_config_map(self, body: dict[str, Any]) -> None:
        self._files[_name(body)] = text_checksum(body["data"][FILE])

    async def _take_secret(self, body: dict[str, Any]) -> None:
        token = base64.b64decode(body["data"][TOKEN]).decode()
        self._keys[_name(body)] = secret_checksum(ADMIN_KEY, token)

    def _bank(self, request: web.Request) -> str:
        transport = request.transport
        if transport is None:
            raise web.HTTPServiceUnavailable  # whoever asked is gone
        return self._banks[transport.get_extra_info("sockname")[0]]

    async def _ready(self, request: web.Request) -> web.Response:
        revision = self._revisions.get(self._bank(request))
        return web.json_response(
            {"status": "ready", "checks": [], "revision": revision, "version": "stand-in"}
        )

    async def _configuration(self, request: web.Request) -> web.Response:
        bank = self._bank(request)
        return web.json_response(
            {
                "file": self._files.get(bank, ""),
                "secrets": {ADMIN_KEY: self._keys.get(bank, "")},
                "problem": None,
                "needs_restart": [],
            }
        )

    async def _keep_keys(self, request: web.Request) -> web.Response:
        told = (await request.json())["keys"]
        return web.json_response({"keys": [{"id": each["digest"]} for each in told]})

    async def _list(self, request: web.Request) -> web.Response:
        memories = self._memories.get(self._bank(request), {})
        return web.json_response({"memories": list(memories.values())})

    async def _add(self, request: web.Request) -> web.Response:
        memory = {"id": uuid.uuid4().hex, **await request.json()}
        self._memories.setdefault(self._bank(request), {})[memory["id"]] = memory
        return web.json_response(memory, status=201)

    async def _search(self, request: web.Request) -> web.Response:
        memories = self._memories.get(self._bank(request), {})
        results = [{"memory": each, "score": 1.0} for each in memories.values()]
        return web.json_response({"results": results})

    async def _delete(self, request: web.Request) -> web.Response:
        self._memories.get(self._bank(request), {}).pop(request.match_info["id"], None)
        return web.Response(status=204)


def _name(body: dict[str, Any]) -> str:
    return f"{body['metadata']['namespace']}/{body['metadata']['labels'][constants.LABEL_BANK]}"


if __name__ == "__main__":
    asyncio.run(StandIns(from_kubeconfig(Path(sys.argv[1]))).run())
