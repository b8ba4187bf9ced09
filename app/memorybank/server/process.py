"""The process: listens, serves, and stops without losing what it has accepted.

Stopping on SIGTERM or SIGINT: unready at once; still accepting for `drain_seconds`, until load
balancers know; then no new connections, and requests in flight finish; at last the backends close.
A second signal skips the waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING

import uvloop

from memorybank.allocation import keep_large_arrays_apart
from memorybank.auth.bootstrap import establish_admin_key
from memorybank.configuration import ADMIN_KEY_VARIABLE
from memorybank.ports import AccessStore
from memorybank.server.engine import Engine, open_engine
from memorybank.server.footprint import settle
from memorybank.server.listener import Listener, bound
from memorybank.server.metrics import MetricsApp
from memorybank.server.otlp import open_tracer
from memorybank.server.parts import ServiceParts
from memorybank.server.reload import Reloader
from memorybank.server.signals import Signals
from memorybank.settings import Settings
from memorybank.telemetry import Telemetry
from memorybank.tracing import Tracer
from memorybank.version import VERSION

if TYPE_CHECKING:
    from memorybank.server.app import Application
    from memorybank.server.backups import Backups
    from memorybank.server.following import Followed

    Build = Callable[
        [Engine, Settings, Telemetry, Tracer, Backups | None],
        Awaitable[Application],
    ]

_logger = logging.getLogger(__name__)

_REPLACE = f"{ADMIN_KEY_VARIABLE} replaces it"
_METRICS_GRACE_SECONDS = 1

_SWITCH_SECONDS = 0.0005
"""How long a thread may keep the interpreter while others want it. With Python's 5 ms the event
loop, which has 0.2 ms of work at a time, waits behind whole searches: with 16 clients it then
answered 63 searches and 34 new memories a second, with this 79 and 39, in turns on a busy
machine, for the same processor time per request."""


def run(settings: Settings, read_again: Callable[[], Settings], *, file: Path | None) -> None:
    """Serve until a signal to stop. The settings are read again on SIGHUP, and when `file`, which
    they come from, or one that holds a secret changes.

    Raises ConfigurationError and StoreUnavailable.
    """
    sys.setswitchinterval(_SWITCH_SECONDS)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(_serve(settings, read_again, file))


async def _serve(settings: Settings, read_again: Callable[[], Settings], file: Path | None) -> None:
    keep_large_arrays_apart()
    stopping = Signals()
    telemetry = Telemetry(version=VERSION, revision=settings.revision)
    server = settings.server
    async with contextlib.AsyncExitStack() as stack:
        # First the ports: nothing is opened when they are taken, and early clients wait in line.
        http = stack.enter_context(bound(server.host, server.port, "server.port"))
        metrics = stack.enter_context(
            bound(server.host, server.metrics_port, "server.metrics_port")
        )
        # Imports hold the interpreter, loading the model does not: side by side they take the time
        # of one.
        importing = asyncio.create_task(asyncio.to_thread(_import_app))
        stack.push_async_callback(asyncio.wait, [importing])
        tracer = stack.enter_context(
            open_tracer(
                endpoint=settings.monitoring.otlp_endpoint,
                sample_ratio=settings.monitoring.otlp_sample_ratio,
                environment=settings.environment,
                version=VERSION,
            )
        )
        backups = _open_backups(settings, telemetry) if settings.is_replicated else None
        followed = await stack.enter_async_context(_followed(settings))
        engine = await stack.enter_async_context(
            open_engine(
                settings,
                counted=telemetry.embedded,
                replication=None if backups is None else backups.guard,
                followed=followed,
            )
        )
        await _establish_key(engine.store.access, settings)
        build_application = await importing
        application = await build_application(engine, settings, telemetry, tracer, backups)
        if backups is not None:
            await stack.enter_async_context(backups.running())
        if followed is not None:
            await stack.enter_async_context(followed.running(application.behind))
        reloader = Reloader(
            settings,
            read_again,
            ServiceParts(application, engine),
            application.configuration,
            file=file,
        )
        await stack.enter_async_context(reloader.watching())
        if not sys.stdin or not sys.stdin.isatty():  # a terminal that closes means to stop
            asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reloader.ask)
        metrics_app = MetricsApp(telemetry, engine.store, engine.index)
        await stack.enter_async_context(
            Listener(metrics_app, metrics, grace_seconds=_METRICS_GRACE_SECONDS)
        )
        listener = await stack.enter_async_context(
            Listener(application.asgi, http, grace_seconds=server.shutdown_seconds)
        )
        _log_start(settings, http, metrics)
        await _settle_when_loaded(application, stopping.first)
        await stopping.first.wait()
        _logger.info("stopping")
        application.readiness.drain()
        stopping.on_second(listener.hurry)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.second.wait(), server.drain_seconds)
    _logger.info("stopped")


def _open_backups(settings: Settings, telemetry: Telemetry) -> Backups:
    # Loaded here: a bank without backups needs none of the megabytes that a bucket takes.
    from memorybank.server.backups import open_backups

    return open_backups(settings, telemetry)


@contextlib.asynccontextmanager
async def _followed(settings: Settings) -> AsyncIterator[Followed | None]:
    if settings.follow is None:
        yield None
        return
    from memorybank.server.following import followed  # as with backups

    async with followed(settings) as bank:
        yield bank


def _import_app() -> Build:
    from memorybank.server.app import build_application

    return build_application


async def _settle_when_loaded(application: Application, stopping: asyncio.Event) -> None:
    """Wait until everything is loaded, or the process is told to stop; then shrink it."""
    loaded = asyncio.ensure_future(application.mcp.loaded())
    stopped = asyncio.ensure_future(stopping.wait())
    await asyncio.wait([loaded, stopped], return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if loaded.done() and loaded.exception() is None:
        settle()
    else:
        loaded.cancel()


async def _establish_key(store: AccessStore, settings: Settings) -> None:
    configured = None if settings.admin_key is None else settings.admin_key.get_secret_value()
    made = await establish_admin_key(store, configured)
    if made is not None:
        sys.stdout.write(f"The admin key of this bank, shown only now ({_REPLACE}):\n{made}\n")
        sys.stdout.flush()


def _log_start(settings: Settings, http: socket.socket, metrics: socket.socket) -> None:
    details = {
        "url": _url(http),
        "mcp": f"{_url(http)}/mcp",
        "metrics": f"{_url(metrics)}/metrics",
        "database": settings.database_path
        if settings.database.engine == "sqlite"
        else settings.database.engine,
        "environment": settings.environment,
        "version": VERSION,
    }
    _logger.info("listening", extra={"details": details})


def _url(bound: socket.socket) -> str:
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
