"""Entry point: `memorybank COMMAND` and `python -m memorybank COMMAND`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence

from memorybank.cli.parser import build_parser
from memorybank.errors import ConfigurationError, InvalidRequest, MemoryBankError

_FAILED = 1
_MISUSED = 2
_INTERRUPTED = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; no error ever shows a traceback."""
    arguments = build_parser().parse_args(argv)
    try:
        code = _command(arguments.command)(arguments)
        sys.stdout.flush()
    except MemoryBankError as error:
        return _complain(error)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # who read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    return code


def _command(name: str) -> Callable[[argparse.Namespace], int]:
    """Return the function behind a command; what it needs is imported only then."""
    if name == "serve":
        from memorybank.server.command import serve

        return serve
    if name == "audit":
        from memorybank.cli.audit import audit

        return audit
    from memorybank.cli import commands

    found: Callable[[argparse.Namespace], int] = getattr(commands, name)
    return found


def _complain(error: MemoryBankError) -> int:
    lines = [f"memorybank: {error.message}"]
    if error.hint is not None:
        lines.append(f"  {error.hint}")
    sys.stderr.write("\n".join(lines) + "\n")
    return _MISUSED if isinstance(error, ConfigurationError | InvalidRequest) else _FAILED


if __name__ == "__main__":
    raise SystemExit(main())
