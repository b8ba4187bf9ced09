"""`memorybank backup mirror`: copies of what is at the destination of backups."""

from __future__ import annotations

import argparse


def mirror(arguments: argparse.Namespace) -> int:
    """Copy until ended; of a signal, in order."""
    from memorybank import logs
    from memorybank.configuration import load
    from memorybank.server.mirrors import run

    overrides = {} if arguments.data is None else {"data": str(arguments.data)}
    settings = load(file=arguments.config, overrides=overrides)
    logs.configure(settings.logging.level, settings.logging.format)
    return run(settings)
