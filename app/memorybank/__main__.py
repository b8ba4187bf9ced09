"""Entry point: `memorybank COMMAND` and `python -m memorybank COMMAND`."""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Callable, Sequence

from memorybank.cli.parser import build_parser
from memorybank.errors import MemoryBankError, Unavailable

_FAILED = 1
_SILENT = 5
_DAMAGED = 6
_INTERRUPTED = 130
_CODES = {
    "configuration_error": 2,
    "invalid_request": 2,
    "invalid_cursor": 2,
    "invalid_json": 2,
    "body_too_large": 2,
    "not_found": 3,
    "unauthenticated": 4,
    "forbidden": 4,
    "unavailable": _SILENT,
    "store_unavailable": _SILENT,
    "embedder_unavailable": _SILENT,
    "backup_unavailable": _SILENT,
    "rate_limited": _SILENT,
    "backup_damaged": _DAMAGED,
}
"""Exit codes by the code of the error; 1 for all others. docs/service/cli.md tells them."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; no error ever shows a traceback."""
    arguments = build_parser().parse_args(argv)
    try:
        code = _command(arguments.run)(arguments)
        sys.stdout.flush()
    except MemoryBankError as error:
        return _complain(error)
    except KeyboardInterrupt:
        return _INTERRUPTED
    except BrokenPipeError:  # who read the output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return _FAILED
    return code


def _command(run: str) -> Callable[[argparse.Namespace], int]:
    """Return the function behind a command; what it needs is imported only then."""
    if run == "serve":
        from memorybank.server.command import serve

        return serve
    module, _, function = run.partition(":")
    found: Callable[[argparse.Namespace], int] = getattr(
        importlib.import_module(f"memorybank.cli.{module}"), function
    )
    return found


def _complain(error: MemoryBankError) -> int:
    lines = [f"memorybank: {error.message}"]
    if error.hint is not None:
        lines.append(f"  {error.hint}")
    sys.stderr.write("\n".join(lines) + "\n")
    return _CODES.get(error.code, _SILENT if isinstance(error, Unavailable) else _FAILED)


if __name__ == "__main__":
    raise SystemExit(main())
