"""The identity of the bank's pod. It may do nothing: the memory service never calls the API
server.
"""

from __future__ import annotations

from typing import Any

from memorybank_operator.resources import names
from memorybank_operator.resources.context import BuildContext
from memorybank_operator.resources.labels import metadata


def build_service_account(ctx: BuildContext) -> dict[str, Any]:
    """Build the ServiceAccount."""
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": metadata(
            ctx.bank,
            names.service_account(ctx.bank),
            annotations=ctx.bank.spec.service_account.annotations,
        ),
        "automountServiceAccountToken": False,
    }
