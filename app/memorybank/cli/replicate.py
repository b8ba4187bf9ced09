"""`memorybank backup replicate`: Litestream, beside the service."""

from __future__ import annotations

import argparse


def replicate(arguments: argparse.Namespace) -> int:
    """Replicate until ended; of a signal, in order."""
    from memorybank import logs
    from memorybank.backup.replicating import Replicator

    logs.configure("info", "json")
    return Replicator(arguments.run_dir).run()
