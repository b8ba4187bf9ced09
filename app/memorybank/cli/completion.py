"""`memorybank completion SHELL`: a script for the shell to load once."""

from __future__ import annotations

import argparse
import sys


def completion(arguments: argparse.Namespace) -> int:
    """Print the script."""
    import shtab

    from memorybank.cli.parser import build_parser

    sys.stdout.write(shtab.complete(build_parser(), arguments.shell) + "\n")
    return 0
