"""Puts the parts of an operator together, starts them in order and stops them in order.

The order matters: first everything that exists is learned, then work begins, so that a restart
writes nothing; but for banks that are new, which are begun as soon as all banks are known. At the
end running work finishes while the watches still feed it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterable
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import aiohttp
import kopf
from aiohttp import web

from memorybank_operator import constants, health
from memorybank_operator.api.defaults import NO_DEFAULTS
from memorybank_operator.canary import Canaries, Prober
from memorybank_operator.defaults import DefaultsKeeper
from memorybank_operator.engine.cache import BankKey, Cache
from memorybank_operator.engine.queue import KeyedQueue, Priority
from memorybank_operator.engine.streams import Streams
from memorybank_operator.engine.waves import Waves
from memorybank_operator.engine.workers import Outcome, Workers
from memorybank_operator.events import Events
from memorybank_operator.handlers import watching
from memorybank_operator.handlers.intake import Intake, is_new
from memorybank_operator.handlers.relisting import Relisting
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.kube.connection import Connection
from memorybank_operator.kube.discovery import served
from memorybank_operator.kube.kinds import ApiKind
from memorybank_operator.kube.watching import WatchObserver, streams, typed
from memorybank_operator.leadership import Alone, Candidate, Leadership
from memorybank_operator.metrics import Metrics
from memorybank_operator.readings import Reader, Readings
from memorybank_operator.reconcile.backups import Backups
from memorybank_operator.reconcile.keyring import Keyring, utc_now
from memorybank_operator.reconcile.memorybank import Means, Reconciler, underway
from memorybank_operator.reconcile.proof import Connect
from memorybank_operator.reconcile.restoring import Restoring
from memorybank_operator.resources.context import RenderSettings
from memorybank_operator.settings import Settings

KINDS = frozenset(kinds.OURS_ALONE)
KIND_POLL_SECONDS = 2.0
INSTALLED_SECONDS = 30.0
"""How often to look whether another project's kind was installed. Nothing but a bank that waits for
it asks for more, and a minute is what it waits at most.
"""
CANARY_WORKERS = 16
READING_WORKERS = 16
WATCH_STOP_SECONDS = 10.0
SERVER_STOP_SECONDS = 1.0

logger = logging.getLogger(__name__)


class Ended(Exception):
    """The operator cannot go on; a fresh start may."""


class WatchFailed(Ended):
    """A watch ended for good, for example because the kind it watches was removed."""


class KindInstalled(Ended):
    """The API server serves a kind that it did not serve at the start: a fresh start watches it."""


class LeadershipLost(Ended):
    """Another operator may be writing."""


@asynccontextmanager
async def operator(
    settings: Settings,
    connection: Connection,
    *,
    prober: Prober | None = None,
    now: Callable[[], datetime] = utc_now,
    reader: Reader | None = None,
) -> AsyncIterator[Operator]:
    """Put an operator together; it does nothing until it is run. Keys are rotated, and schedules
    kept, by `now`.
    """
    async with connection.session() as session:
        yield Operator(
            settings, connection, session,
            prober=prober or Prober(), reader=reader or Reader(), now=now,
        )  # fmt: skip


class Operator:
    """One operator on one API server."""

    def __init__(
        self,
        settings: Settings,
        connection: Connection,
        session: aiohttp.ClientSession,
        *,
        prober: Prober,
        now: Callable[[], datetime],
        reader: Reader,
    ) -> None:
        self._settings = settings
        self._connection = connection
        self.metrics = Metrics()
        self.cache = Cache()
        self.port = 0
        """Where /healthz, /readyz and /metrics are served, once they are."""
        self._leadership = self._stand(session)
        self.metrics.leader.set_function(self._leadership.leading.is_set)
        self._client = KubeClient(
            session, connection.server,
            field_manager=constants.FIELD_MANAGER, on_write=self.metrics.write,
            on_answer=self.metrics.answer, write_seconds=self._leadership.write_seconds,
        )  # fmt: skip
        self._events = Events(self._client, clock=time.monotonic, instance=socket.gethostname())
        self._installed: frozenset[ApiKind] = frozenset()
        """The optional kinds that were served when the watches began."""
        self._expected = streams(kinds.watched(()), settings.namespaces)
        self._streams = Streams(
            self._expected, cache=self.cache, affected=self._look_at, clock=time.monotonic
        )
        self._canaries = Canaries(
            prober,
            interval=settings.canary_interval,
            clock=time.monotonic,
            metrics=self.metrics,
            changed=lambda bank: self._look_at({bank}),
            count=CANARY_WORKERS,
        )
        self._readings = Readings(
            reader,
            interval=settings.canary_interval,
            changed=lambda bank: self._look_at({bank}),
            clock=time.monotonic,
            count=READING_WORKERS,
        )
        self._waves = Waves(
            settings.update_wave,
            wake=lambda bank: self._look_at({bank}),
            underway=lambda: underway(self.cache),
        )
        self._defaults = DefaultsKeeper(
            self._client, settings.defaults,
            events=self._events, metrics=self.metrics, changed=self._look_at_all,
        ) if settings.defaults else None  # fmt: skip
        self._held: dict[BankKey, Priority] = {}
        """What is to be looked at once everything is known."""
        self._opened = asyncio.Event()
        """Everything is known, and no bank waits for it any more."""
        self._reconcile = self._reconciler()
        queue: KeyedQueue[BankKey] = KeyedQueue(time.monotonic)
        self._banks = Workers(queue, self._look, count=settings.workers, name="bank")
        self._keys: Workers[BankKey] = Workers(
            KeyedQueue(time.monotonic),
            Keyring(
                self.cache, self._client, prober, events=self._events, metrics=self.metrics,
                connect=Connect(settings.canary_connect), clock=time.monotonic, now=now,
            ),
            count=settings.workers, name="keys",
        )  # fmt: skip
        self._backups: Workers[BankKey] = Workers(
            KeyedQueue(time.monotonic),
            Backups(
                self.cache, self._client, events=self._events, now=now,
                changed=lambda bank: self._look_at({bank}),
            ),
            count=settings.workers, name="backups",
        )  # fmt: skip
        self._restores: Workers[BankKey] = Workers(
            KeyedQueue(time.monotonic),
            Restoring(
                self.cache, self._client, events=self._events, now=now,
                changed=lambda bank: self._look_at({bank}),
            ),
            count=settings.workers, name="restores",
        )  # fmt: skip
        self._intake = Intake(
            self.cache, self._streams, self._enqueue,
            begin=lambda bank: self._banks.add(bank, Priority.USER),
        )  # fmt: skip
        self._observer = WatchObserver(
            connection.server, self._expected, self._streams, self._intake.take
        )
        queues = {
            "banks": queue,
            "canaries": self._canaries.workers.queue,
            "readings": self._readings.workers.queue,
            "keys": self._keys.queue,
            "backups": self._backups.queue,
            "restores": self._restores.queue,
        }
        self.metrics.observe(
            queues, self._streams, self._waves, leads=self._leadership.leading.is_set
        )
        self._server = web.AppRunner(
            health.application(
                health.Health(
                    self._streams, queues,
                    is_working=self._is_working, lacking=self._lacking,
                ),
                self.metrics.registry,
            ),
            access_log=None, shutdown_timeout=SERVER_STOP_SECONDS,
        )  # fmt: skip

    def _stand(self, session: aiohttp.ClientSession) -> Leadership:
        if not self._settings.lease_namespace:
            return Alone()
        return Candidate(
            KubeClient(session, self._connection.server, field_manager=constants.FIELD_MANAGER),
            namespace=self._settings.lease_namespace,
            # A restarted container is somebody else than the one before.
            identity=f"{socket.gethostname()}_{secrets.token_hex(4)}",
            seconds=self._settings.lease_seconds,
        )

    def _reconciler(self) -> Reconciler:
        settings = self._settings
        return Reconciler(
            Means(
                cache=self.cache,
                client=self._client,
                canaries=self._canaries,
                readings=self._readings,
                events=self._events,
                metrics=self.metrics,
                render=self._render,
                connect=Connect(settings.canary_connect),
                progress_deadline=timedelta(seconds=settings.progress_deadline),
                resync_interval=settings.resync_interval,
                clock=time.monotonic,
                waves=self._waves,
            )
        )

    def _render(self) -> RenderSettings:
        settings, defaults = self._settings, self._defaults
        in_force = defaults.in_force if defaults else NO_DEFAULTS
        return RenderSettings(
            settings.app_image,
            settings.cluster_domain,
            in_force,
            settings.own_namespace,
            settings.chroma_image,
            settings.ollama_image,
            frozenset(kind.kind for kind in self._installed),
        )

    def _lacking(self) -> str:
        return self._defaults.lacking if self._defaults else ""

    def _look_at_all(self) -> None:
        for bank in self.cache.banks():
            self._enqueue(bank, Priority.RESYNC)

    def _look_at(self, banks: Iterable[BankKey]) -> None:
        for bank in banks:
            self._enqueue(bank, Priority.CHILD)

    def _enqueue(self, bank: BankKey, priority: Priority) -> None:
        """Have a bank looked at, its keys and its recovery points: whatever happened may concern
        each. As soon as everything is known, that is.
        """
        if self._opened.is_set():
            self._banks.add(bank, priority)
            self._keys.add(bank, priority)
            self._backups.add(bank, priority)
            self._restores.add(bank, priority)
        else:
            self._held[bank] = min(priority, self._held.get(bank, priority))

    async def _look(self, bank: BankKey) -> Outcome:
        """Reconcile a bank; as long as not everything is known, only if it is new indeed: a bank
        that was looked at before may have pods that nobody has told of yet.
        """
        if not self._opened.is_set():
            try:
                listing = await self._client.named(kinds.MEMORY_BANK, *bank)
            except errors.KubeError as error:
                logger.warning("%s", error)
                return Outcome(failed=True)
            bodies = [typed(kinds.MEMORY_BANK, each) for each in listing.get("items") or ()]
            if not bodies or not is_new(bodies[0]):
                return Outcome()
            self.cache.put(bodies[0])
        before = self.cache.bank(bank)
        outcome = await self._reconcile(bank)
        if self.cache.bank(bank) != before:
            # What we write ourselves no event tells, and its recovery points may wait for it.
            self._backups.add(bank, Priority.CHILD)
            self._restores.add(bank, Priority.CHILD)
        return outcome

    def _is_working(self) -> bool:
        return self._leadership.leading.is_set() and self._opened.is_set()

    async def run(
        self, stop: asyncio.Event, *, on_watching: Callable[[], None] = lambda: None
    ) -> None:
        """Run until `stop` is set, then let running reconciles finish.

        `on_watching` is called when kopf has started, which takes signal handlers for itself.
        Raises Ended when it cannot go on.
        """
        try:
            await self._serve()
            if await self._wait_for_kinds(stop):
                await self._work(stop, on_watching)
        finally:
            await self._server.cleanup()

    async def _serve(self) -> None:
        await self._server.setup()
        site = web.TCPSite(self._server, self._settings.http_host, self._settings.http_port)
        await site.start()
        self.port = self._server.addresses[0][1]

    async def _wait_for_kinds(self, stop: asyncio.Event) -> bool:
        """Wait until the API server serves our kinds, and learn which others it serves; return
        False when asked to stop before.
        """
        while not stop.is_set():
            try:
                found = await served(self._client, KINDS | kinds.OPTIONAL)
                missing = KINDS - found
                if not missing:
                    self._expect(found & kinds.OPTIONAL)
                    return True
                named = " and ".join(sorted(kind.kind for kind in missing))
                logger.warning("%s: the CRD is not installed yet; it comes with the chart", named)
            except errors.KubeError as error:
                logger.warning("%s", error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(KIND_POLL_SECONDS):
                    await stop.wait()
        return False

    def _expect(self, installed: frozenset[ApiKind]) -> None:
        """Have these optional kinds watched as well."""
        self._installed = installed
        more = streams(sorted(installed, key=str), self._settings.namespaces)
        self._expected += more
        self._streams.expect(more)
        self._observer.expect(more)

    async def _more_installed(self) -> None:
        """Return when an optional kind is served that is not watched. One that is not served any
        more is told by its stream.
        """
        while True:
            await asyncio.sleep(INSTALLED_SECONDS)
            try:
                if await served(self._client, kinds.OPTIONAL - self._installed):
                    return
            except errors.KubeError as error:
                logger.warning("%s", error)

    async def _work(self, stop: asyncio.Event, on_watching: Callable[[], None]) -> None:
        watches = await self._watch()
        on_watching()
        relist = Relisting(self._client, self._intake.take, self._streams)
        stopped = asyncio.create_task(stop.wait())
        gone = asyncio.create_task(self._streams.wait_gone())
        installed = asyncio.create_task(self._more_installed())
        relisting = asyncio.create_task(
            relist.run(self._expected, interval=self._settings.resync_interval)
        )
        # Whoever leads must know what to begin with, so it stands for election only then.
        elected = asyncio.create_task(self._elected())
        ends = (stopped, gone, installed, elected, *watches)
        try:
            await _first(*ends)
            if gone.done():
                raise WatchFailed(f"{gone.result()}: the API server does not serve this any more")
            if installed.done():
                raise KindInstalled("an optional kind was installed: beginning anew, to watch it")
            if elected.done():
                await elected
                raise LeadershipLost("the Lease was lost: another operator may be leading")
            for task in watches:
                if task.done():
                    raise WatchFailed(f"{task.get_name()} ended") from _cause(task)
        finally:
            await self._finish(watches, elected)
            for task in (stopped, gone, installed, relisting):
                task.cancel()

    async def _elected(self) -> None:
        """Work as soon as this operator leads; return when it is lost."""
        async with asyncio.TaskGroup() as group:
            tasks = []
            if self._defaults:
                tasks.append(group.create_task(self._defaults.follow()))
                await self._defaults.known()
            await self._streams.wait_begun()
            tasks += [group.create_task(self._open()), group.create_task(self._lead())]
            await self._leadership.run()
            for task in tasks:
                task.cancel()

    async def _open(self) -> None:
        """Have everything looked at that was held back, once everything is known."""
        await self._streams.wait_complete()
        logger.info("%d objects known", len(self.cache))
        self._opened.set()
        for bank, priority in self._held.items():
            self._enqueue(bank, priority)
        self._held.clear()

    async def _lead(self) -> None:
        """Begin with new banks, and go on with all others as soon as everything is known."""
        await self._leadership.leading.wait()
        async with asyncio.TaskGroup() as group:
            if self._defaults:
                group.create_task(self._defaults.keep())
                await self._defaults.settled()
            self._banks.start()
            await self._opened.wait()
            logger.info("reconciling begins")
            self._keys.start()
            self._backups.start()
            self._restores.start()
            self._canaries.workers.start()
            self._readings.workers.start()

    async def _watch(self) -> Collection[asyncio.Task[Any]]:
        """Start kopf; its tasks run until they are cancelled, or until one fails for good.

        kopf.operator() would do more: at its end it cancels every task of this event loop.
        """
        namespaces = self._settings.namespaces
        self._streams.begin()
        return await kopf.spawn_tasks(
            registry=watching.registry(
                self._connection.server,
                session=lambda: self._connection.session(self._observer, connections=0),
                watched=kinds.watched(self._installed),
            ),
            settings=watching.settings(),
            identity=watching.IDENTITY,
            standalone=True,
            clusterwide=not namespaces,
            namespaces=namespaces,
        )

    async def _finish(
        self, watches: Collection[asyncio.Task[Any]], elected: asyncio.Task[None]
    ) -> None:
        """Let running work finish, which the Lease is held for; at once when that is lost."""
        logger.info("stopping")
        grace = 0.0 if elected.done() else self._settings.shutdown_grace
        await self._canaries.workers.stop(0.0)
        await self._readings.workers.stop(0.0)
        stopped = await asyncio.gather(
            *(each.stop(grace) for each in (self._banks, self._keys, self._backups, self._restores))
        )
        if not all(stopped):
            logger.warning("reconciles were cut off after %g s", grace)
        elected.cancel()
        await asyncio.wait([elected])  # it would take back what is released
        await self._leadership.release()
        self._observer.abort()
        for task in watches:
            task.cancel()
        _, pending = await asyncio.wait(watches, timeout=WATCH_STOP_SECONDS)
        if pending:
            logger.warning("the watches did not stop within %g s", WATCH_STOP_SECONDS)


def _cause(task: asyncio.Task[Any]) -> BaseException | None:
    return None if task.cancelled() else task.exception()


async def _first(*tasks: asyncio.Task[Any]) -> None:
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
