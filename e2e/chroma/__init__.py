"""An image of a real Chroma server: the server's own library, with the same command as the official
image.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from e2e import servers
from e2e.bank import Bank
from e2e.stack import Stack
from tests.support.chroma_server import VERSION, library

IMAGE = f"localhost/chroma:{VERSION}"
BINDINGS = "chromadb_rust_bindings"


def load_chroma(stack: Stack) -> str:
    """Have the image on the cluster's nodes; return its name."""
    return servers.load_program(
        stack, IMAGE, Path(__file__).parent, [library() / BINDINGS], version=VERSION
    )


def _vectors(bank: Bank) -> dict[str, Any]:
    """What the bank says of its vectors; {} while Chroma has them not."""
    with bank.http() as client:
        return dict(client.get("/v1/admin/status").json()["index"]["vectors"] or {})


def wait_for_vectors(bank: Bank) -> None:
    """Wait until Chroma has all vectors, and the bank's status says nothing else."""

    def is_complete() -> bool:
        found = _vectors(bank)
        return (found.get("problem"), found.get("missing"), found.get("lag")) == (None, 0, 0)

    bank.stack.wait("all vectors in Chroma", is_complete, describe=lambda: _vectors(bank))
    bank.stack.wait(
        "no condition Degraded",
        lambda: not bank.condition("Degraded"),
        describe=lambda: bank.condition("Degraded"),
    )
