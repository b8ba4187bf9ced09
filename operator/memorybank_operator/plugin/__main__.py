"""`kubectl memorybank`, which kubectl finds as `kubectl-memorybank` on the PATH."""

from __future__ import annotations

import asyncio
import sys
from argparse import Namespace
from collections.abc import Sequence

from memorybank_operator.kube import errors
from memorybank_operator.kube.connection import ConnectionConfigError
from memorybank_operator.plugin import access, parser, reading
from memorybank_operator.plugin.problems import NOT_READY, REFUSED, Problem


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return the exit code."""
    asked = parser.build().parse_args(arguments)
    try:
        return asyncio.run(_run(asked))
    except Problem as problem:
        return _ended(str(problem), problem.code)
    except ConnectionConfigError as error:
        return _ended(str(error), REFUSED)
    except errors.KubeError as error:
        return _ended(explained(error), REFUSED)
    except KeyboardInterrupt:
        return _ended("interrupted; what was asked for goes on in the cluster", NOT_READY)


def explained(error: errors.KubeError) -> str:
    """Return what an error of the API server means, with what helps."""
    hints: dict[type[errors.KubeError], str] = {
        errors.Unreachable: "the API server does not answer; see `kubectl cluster-info`",
        errors.Unauthorized: "the API server does not accept who you are; log in again",
        errors.Forbidden: "you lack this right; ask whoever gives rights in this namespace",
    }
    hint = next((text for kind, text in hints.items() if isinstance(error, kind)), "")
    return f"{error} ({hint})" if hint else str(error)


async def _run(asked: Namespace) -> int:
    found = access.find(asked.kubeconfig, asked.context)
    asked.namespace = asked.namespace or found.namespace
    async with reading.opened(found) as api:
        code: int = await asked.command(asked, api)
        return code


def _ended(message: str, code: int) -> int:
    print(f"kubectl memorybank: {message}", file=sys.stderr)  # noqa: T201 - what a user reads
    return code


if __name__ == "__main__":
    sys.exit(main())
