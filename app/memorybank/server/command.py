"""`memorybank serve`."""

from __future__ import annotations

import argparse
import logging
from functools import partial
from typing import Any

from memorybank import logs
from memorybank.configuration import config_file, load, unused

_logger = logging.getLogger(__name__)


def serve(arguments: argparse.Namespace) -> int:
    """Run the service until it is told to stop."""
    read = partial(load, file=arguments.config, overrides=_overrides(arguments))
    settings = read()
    logs.configure(settings.logging.level, settings.logging.format)
    for said in unused(file=arguments.config):
        _logger.warning("%s", said)
    # Only now: it takes a second, and a wrong setting should be told at once.
    from memorybank.server.process import run

    run(settings, read, file=config_file(arguments.config))
    return 0


def _overrides(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments that were given, in the shape of the configuration file."""
    server = {
        "host": arguments.host,
        "port": arguments.port,
        "metrics_port": arguments.metrics_port,
    }
    logging = {"level": arguments.log_level, "format": arguments.log_format}
    overrides: dict[str, Any] = {"server": _given(server), "logging": _given(logging)}
    return overrides | _given({"data": arguments.data})


def _given(values: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}
