"""`memorybank-operator`: reads the settings, runs until SIGTERM or SIGINT, and ends with 0 then.

Ends with 1 when it cannot go on, as when it does not lead any more (a kubelet starts it anew), with
2 for a wrong setting or kubeconfig.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys

from memorybank_operator import __version__, logs, runtime
from memorybank_operator import settings as configuration
from memorybank_operator.kube.connection import Connection, ConnectionConfigError, connect
from memorybank_operator.settings import Settings, SettingsError

FAILED = 1
MISCONFIGURED = 2

logger = logging.getLogger("memorybank_operator")


def main() -> int:
    """Run the operator; return the exit code."""
    try:
        settings = configuration.load()
        logs.setup(settings.log_level, form=settings.log_format)
        connection = connect()
    except (SettingsError, ConnectionConfigError) as error:
        print(f"memorybank-operator: {error}", file=sys.stderr)  # noqa: T201 - before there are logs
        return MISCONFIGURED
    return asyncio.run(_run(settings, connection))


async def _run(settings: Settings, connection: Connection) -> int:
    stop = asyncio.Event()

    def listen() -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)

    listen()
    scope = ", ".join(settings.namespaces) or "all namespaces"
    logger.info("memorybank-operator %s serves %s at %s", __version__, scope, connection.server)
    async with runtime.operator(settings, connection) as operator:
        try:
            await operator.run(stop, on_watching=listen)
        except runtime.Ended as error:
            level = logging.INFO if isinstance(error, runtime.KindInstalled) else logging.ERROR
            logger.log(level, "%s", f"{error}: {error.__cause__}" if error.__cause__ else error)
            # When one of kopf's tasks failed, others may never end: nothing is left to wait for.
            logging.shutdown()
            os._exit(FAILED)
    logger.info("stopped")
    return 0


if __name__ == "__main__":
    sys.exit(main())
