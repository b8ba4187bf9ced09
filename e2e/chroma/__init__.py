"""An image of a real Chroma server: the server's own library, with the same command as the official
image.
"""

from __future__ import annotations

from pathlib import Path

from e2e import servers
from e2e.stack import Stack
from tests.support.chroma_server import VERSION, library

IMAGE = f"localhost/chroma:{VERSION}"
BINDINGS = "chromadb_rust_bindings"


def load_chroma(stack: Stack) -> str:
    """Have the image on the cluster's nodes; return its name."""
    return servers.load_program(
        stack, IMAGE, Path(__file__).parent, [library() / BINDINGS], version=VERSION
    )
