"""One namespace of the real API server, as its users see it, and an operator that serves it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
from typing_extensions import override

from memorybank_operator import constants, runtime
from memorybank_operator.canary import Door, Prober, Proof, Target
from memorybank_operator.kube import kinds
from memorybank_operator.kube.client import KubeClient, with_status
from memorybank_operator.kube.connection import Connection
from memorybank_operator.kube.kinds import ApiKind
from memorybank_operator.readings import Outlook, Reader
from memorybank_operator.reconcile.keyring import utc_now
from memorybank_operator.reconcile.observed import Reading
from memorybank_operator.runtime import Operator
from memorybank_operator.settings import Settings
from tests.integration.operator.node import Node

Object = dict[str, Any]
POLL_SECONDS = 0.02
WAIT_SECONDS = 60.0
"""Far above what anything takes: a busy machine must not make a test fail."""
TRIES = 10
"""As many attempts may be slowed down by what else the machine does."""
WRITES = {"create", "update", "patch", "delete", "deletecollection"}
CHILDREN = {
    "ServiceAccount": "agents",
    "ConfigMap": "agents-config",
    "Secret": "agents-key",
    "PersistentVolumeClaim": "agents-data",
    "Service": "agents",
    "Deployment": "agents",
}

OPTIONAL = {
    **dict.fromkeys(
        (
            "NetworkPolicy",
            "PodDisruptionBudget",
            "Ingress",
            "HTTPRoute",
            "HorizontalPodAutoscaler",
            "ServiceMonitor",
            "PrometheusRule",
        ),
        "agents",
    ),
    "StatefulSet": "agents-chroma",
    "Cluster": "agents-postgres",
}
"""What a bank has only if its spec asks for it; of each kind one."""


class NodeProber(Prober):
    """The real probe, that reaches a bank on the node instead of through a Service's address."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self.told = 0
        """How often banks were told their keys."""
        self.passed = 0
        """How many probes passed."""
        self.proven: tuple[int, str] | None = None
        """Generation and revision that the last probe proved, None when it failed. A probe that
        is under way changes nothing yet: what the operator says meanwhile is by the one before.
        """

    @override
    async def probe(self, target: Target) -> Proof:
        name = target.url.removeprefix("http://").partition(".")[0]
        running = self._node.running.get(name)
        address = running.address if running is not None else "http://127.0.0.1:1"
        proven = None
        try:
            proof = await super().probe(replace(target, connect_to=address))
            proven = (target.generation, target.revision)
            self.passed += 1
        finally:
            self.proven = proven
        return proof

    @override
    async def set_keys(
        self, door: Door, keys: Sequence[Mapping[str, Any]]
    ) -> Sequence[Mapping[str, Any]]:
        name = door.url.removeprefix("http://").partition(".")[0]
        running = self._node.running.get(name)
        address = running.address if running is not None else "http://127.0.0.1:1"
        answers = await super().set_keys(replace(door, connect_to=address), keys)
        self.told += 1
        return answers


class ToldReader(Reader):
    """Says of a pod what a test wants it to say; nothing before. No pod here has a disk."""

    said: Reading | None = None

    @override
    async def read(self, outlook: Outlook) -> Reading | None:
        return self.said


class World:
    """What tests do and look at."""

    def __init__(
        self, client: KubeClient, connection: Connection, *, namespace: str, audit_log: Path
    ) -> None:
        self.client = client
        self.connection = connection
        self.namespace = namespace
        self.pod = ToldReader()
        self.collected: tuple[str, ...] = ()
        """Banks whose belongings somebody deletes once they are gone."""
        self._audit_log = audit_log
        self._audit_read = audit_log.stat().st_size
        """Bytes of the log that are read. Nobody acted in this namespace before."""
        self._written: list[tuple[str, str]] = []
        """User and write, as far as the log is read."""

    def in_namespace(self, namespace: str) -> World:
        """Return the world of another namespace."""
        return World(self.client, self.connection, namespace=namespace, audit_log=self._audit_log)

    def settings(self, **changes: Any) -> Settings:
        """Settings of an operator for this namespace alone."""
        chosen: dict[str, Any] = {
            "namespaces": (self.namespace,),
            "http_host": "127.0.0.1",
            "http_port": 0,
            "canary_interval": 1.0,
            "shutdown_grace": 5.0,
        }
        return Settings(**(chosen | changes))

    @asynccontextmanager
    async def operator(
        self,
        *,
        connection: Connection | None = None,
        prober: Prober | None = None,
        now: Callable[[], datetime] = utc_now,
        **changes: Any,
    ) -> AsyncIterator[Operator]:
        """Run an operator until the block ends; when it ends before, so does the block."""
        stop, block = asyncio.Event(), asyncio.current_task()

        def end_the_block(_: asyncio.Task[None]) -> None:
            if not stop.is_set() and block is not None:
                block.cancel()

        settings = self.settings(**changes)
        async with runtime.operator(
            settings,
            connection or self.connection,
            prober=prober,
            reader=self.pod,
            now=now,
        ) as made:
            running = asyncio.create_task(made.run(stop))
            running.add_done_callback(end_the_block)
            try:
                yield made
            finally:
                stop.set()
                await running

    async def create(self, name: str = "agents", **spec: Any) -> Object:
        """Create a bank."""
        body = {
            "apiVersion": constants.API_VERSION,
            "kind": constants.KIND,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": spec,
        }
        return await self.client.create(body)

    async def create_key(self, name: str = "app", bank: str = "agents", **spec: Any) -> Object:
        """Create a key of a bank."""
        body = {
            "apiVersion": constants.API_VERSION,
            "kind": constants.KEY_KIND,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"bankRef": {"name": bank}, **spec},
        }
        return await self.client.create(body)

    async def create_backup(
        self, name: str = "before-the-move", bank: str = "agents", **spec: Any
    ) -> Object:
        """Ask for a recovery point of a bank."""
        body = {
            "apiVersion": constants.API_VERSION,
            "kind": constants.BACKUP_KIND,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"bank": {"name": bank}, **spec},
        }
        return await self.client.create(body)

    async def create_restore(self, name: str = "back", bank: str = "agents", **spec: Any) -> Object:
        """Ask for a bank to be put back."""
        body = {
            "apiVersion": constants.API_VERSION,
            "kind": constants.RESTORE_KIND,
            "metadata": {"name": name, "namespace": self.namespace},
            "spec": {"bank": {"name": bank}, **spec},
        }
        return await self.client.create(body)

    async def put_secret(self, name: str, **entries: str) -> None:
        """Create somebody's Secret, or give it other entries."""
        await self.client.apply(
            {
                "apiVersion": "v1",
                "kind": "Secret",
                "metadata": {"name": name, "namespace": self.namespace},
                "data": {k: base64.b64encode(v.encode()).decode() for k, v in entries.items()},
            }
        )

    async def change(self, name: str = "agents", **spec: Any) -> Object:
        """Change a bank's spec."""
        return await self.client.merge(
            kinds.MEMORY_BANK, self.namespace, name=name, changes={"spec": spec}
        )

    async def change_key(self, name: str = "app", **spec: Any) -> Object:
        """Change a key's spec."""
        return await self.client.merge(
            kinds.MEMORY_BANK_KEY, self.namespace, name=name, changes={"spec": spec}
        )

    async def get(self, kind: ApiKind | str, name: str) -> Object | None:
        """Return an object of the namespace."""
        kind = kinds.by_kind(kind) if isinstance(kind, str) else kind
        return await self.client.get(kind, self.namespace, name)

    async def must(self, kind: ApiKind | str, name: str) -> Object:
        """Return an object that exists."""
        found = await self.get(kind, name)
        assert found is not None, f"{kind} {name} is missing"
        return found

    async def delete(self, kind: ApiKind | str, name: str) -> Object:
        """Delete an object; return it as it was."""
        found = await self.must(kind, name)
        uid = found["metadata"]["uid"]
        await self.client.delete(kinds.by_kind(found["kind"]), self.namespace, name=name, uid=uid)
        return found

    async def ready(self, name: str = "agents") -> Object:
        """Return a bank's Ready condition for its present generation, empty when there is none."""
        return await self.condition("Ready", name)

    async def condition(self, kind: str, name: str = "agents") -> Object:
        """Return a condition of a bank for its present generation, empty when there is none."""
        bank = await self.must(kinds.MEMORY_BANK, name)
        for each in bank["status"].get("conditions", ()):
            if (
                each["type"] == kind
                and each["observedGeneration"] == bank["metadata"]["generation"]
            ):
                return dict(each)
        return {}

    async def children(self, bank: str = "agents") -> dict[str, Object]:
        """Return those objects of a bank that exist, by kind; all that it may have. Its Service for
        a load balancer is one more kind.
        """
        found = {
            kind: await self.get(kind, bank + name.removeprefix("agents"))
            for kind, name in (CHILDREN | OPTIONAL).items()
        }
        if found["StatefulSet"] is None:
            found["StatefulSet"] = await self.get("StatefulSet", f"{bank}-ollama")
        found["ExternalService"] = await self.get("Service", f"{bank}-external")
        return {kind: body for kind, body in found.items() if body is not None}

    async def give_address(self, bank: str = "agents") -> None:
        """Play the controller of load balancers: say where the bank's one is reached."""
        service = await self.must("Service", f"{bank}-external")
        address = {"ip": "203.0.113.7", "ipMode": "VIP"}
        status = {"loadBalancer": {"ingress": [address]}}
        await self.client.apply_status(with_status(service, status))

    async def ring(self, bank: str = "agents") -> Object | None:
        """Return the Secret with a bank's generated key ring."""
        return await self.get(kinds.SECRET, f"{bank}-key-ring")

    async def watch(self, kind: ApiKind) -> AsyncIterator[Object]:
        """Yield every state of the objects of a kind in the namespace, beginning with those that
        are there.
        """
        async with self.connection.session() as session:
            while True:
                async with session.get(
                    self.connection.server + kind.collection(self.namespace),
                    params={"watch": "true"},
                    timeout=aiohttp.ClientTimeout(total=None),
                ) as stream:
                    if stream.status != 200:  # the kind is so new that its storage is not ready
                        await asyncio.sleep(POLL_SECONDS)
                        continue
                    async for line in stream.content:
                        yield json.loads(line)["object"]

    async def events(self) -> list[Object]:
        """Return the events of the namespace, oldest first."""
        path = kinds.EVENT.collection(self.namespace)
        items: list[Object] = (await self.client.discover(path))["items"]
        return sorted(items, key=lambda each: int(each["metadata"]["resourceVersion"]))

    def writes(self, user: str | None = None) -> list[str]:
        """Return what operators, or one of them, wrote in this namespace so far, as the API
        server's audit says. Leases are left out: they are about the operators themselves.
        """
        with self._audit_log.open("rb") as log:
            log.seek(self._audit_read)
            # A last line that is still being written is read the next time.
            lines, end, _ = log.read().rpartition(b"\n")
        self._audit_read += len(lines) + len(end)
        for line in lines.splitlines():
            # Most lines are about somebody else, and not worth being parsed.
            if self.namespace.encode() in line:
                self._note(json.loads(line))
        return [write for by, write in self._written if user in (None, by)]

    def _note(self, event: Mapping[str, Any]) -> None:
        """Keep an event of the audit if it is a write of an operator."""
        reference = event.get("objectRef", {})
        if (
            event["verb"] in WRITES
            and event["userAgent"].startswith("memorybank-operator")
            and reference.get("namespace") == self.namespace
            and reference["resource"] != "leases"
            and event["stage"] == "ResponseComplete"
        ):
            what = "/".join(filter(None, (reference["resource"], reference.get("subresource"))))
            write = f"{event['verb']} {what} {reference.get('name', '')}".rstrip()
            self._written.append((event["user"]["username"], write))


Worlds = Callable[[], World]
"""Makes worlds, each in a namespace of its own."""


async def until(
    condition: Callable[[], Awaitable[object]],
    *,
    seconds: float = WAIT_SECONDS,
    what: str = "",
    poll: float = POLL_SECONDS,
) -> float:
    """Wait until a condition holds; return how long it took in seconds."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    while not await condition():
        assert loop.time() - started < seconds, f"not within {seconds:g} s: {what or condition}"
        await asyncio.sleep(poll)
    return loop.time() - started


async def succeeds_within(seconds: float, attempt: Callable[[int], Awaitable[float]]) -> None:
    """Fail unless one of some attempts, each of which gets its number, takes less than these
    seconds: what else the machine does only adds to them.
    """
    took: list[float] = []
    while not took or took[-1] >= seconds:
        assert len(took) < TRIES, f"not within {seconds:g} s, but {took}"
        took.append(await attempt(len(took)))
