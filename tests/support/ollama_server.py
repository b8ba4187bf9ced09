"""An HTTP server that brings models in as Ollama does, with the built-in model behind each.

What it answers was measured with Ollama 0.17.4; e2e/test_ollama.py runs that itself. Real sockets,
so that it can be cut off at any step and come back with what it had stored.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from itertools import chain
from typing import Any

from typing_extensions import override

from tests.support.embedding_server import KeptServer
from tests.support.memory_model import builtin_embedder

REGISTRY = ("all-minilm",)
"""Models that can be pulled."""


class OllamaServer(KeptServer):
    """What it has stays while it is stopped."""

    def __init__(self) -> None:
        """See KeptServer."""
        super().__init__()
        self.requests: list[str] = []
        """Method and path of each."""
        self.asked: list[dict[str, Any]] = []
        """Bodies of /api/embed."""
        self.models: set[str] = set()
        self.blobs: dict[str, bytes] = {}
        self.memory: set[str] = set()
        """Models that are in memory."""
        self.dies_at: str | None = None
        """Status of a pull or creation at which the connection ends, once; or a method and path."""
        self.fails: dict[str, tuple[int, str]] = {}
        """By path: status and error to answer instead."""

    def start(self) -> None:
        """Listen; on the same port each time. Nothing is in memory then."""
        self.memory = set()
        self.listen(type("Handler", (_Handler,), {"served": self}))

    def dies(self, step: str) -> bool:
        """Tell whether it is to end at this step; it does once."""
        if self.dies_at != step:
            return False
        self.dies_at = None
        return True

    def pull(self, model: str) -> Iterator[dict[str, Any]]:
        """Yield what is told of a pull."""
        yield {"status": "pulling manifest"}
        if model not in REGISTRY:
            yield {"error": "pull model manifest: file does not exist"}
            return
        total = 46_000_000
        for completed in (0, total // 2, total):
            yield {"status": "pulling 797b70c4edf8", "total": total, "completed": completed}
        yield {"status": "writing manifest"}
        self.models.add(model)
        yield {"status": "success"}

    def create(self, model: str, files: dict[str, str]) -> Iterator[dict[str, Any]]:
        """Yield what is told of a creation."""
        [digest] = files.values()
        if digest not in self.blobs:
            yield {"error": "blob not found"}
            return
        yield {"status": "parsing GGUF"}
        yield {"status": "writing manifest"}
        self.models.add(model)
        yield {"status": "success"}

    def embed(self, body: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        """Answer /api/embed."""
        self.asked.append(body)
        if body["model"] not in self.models:
            return 404, {"error": f"model '{body['model']}' not found"}
        if not _is_duration(body["keep_alive"]):
            return 400, {"error": f'time: missing unit in duration "{body["keep_alive"]}"'}
        self.memory.add(body["model"])
        vectors = asyncio.run(builtin_embedder().embed(body["input"])).tolist()
        return 200, {"model": body["model"], "embeddings": vectors}


def _is_duration(keep_alive: str | int) -> bool:
    """Tell whether Go reads it as a duration: a text has a unit."""
    return isinstance(keep_alive, int) or keep_alive.endswith(("s", "m", "h"))


class _Handler(BaseHTTPRequestHandler):
    """Answers for one server. Speaks HTTP/1.0: a kept connection would outlive a server that is
    stopped.
    """

    served: OllamaServer

    def do_HEAD(self) -> None:
        if self._is_served():
            self._send(200 if self.path.rpartition("/")[2] in self.served.blobs else 404)

    def do_GET(self) -> None:
        if not self._is_served():
            return
        if self.path == "/api/tags":
            self._send(200, {"models": [{"name": f"{each}:latest"} for each in self.served.models]})
        else:
            self._send(404, {"error": "not found"})

    def do_POST(self) -> None:
        if not self._is_served():
            return
        if self.path.startswith("/api/blobs/"):
            self._take_blob(self.path.rpartition("/")[2])
            return
        body = json.loads(self._body())
        match self.path:
            case "/api/embed":
                self._send(*self.served.embed(body))
            case "/api/pull":
                self._stream(self.served.pull(body["model"]))
            case "/api/create":
                self._stream(self.served.create(body["model"], body["files"]))
            case _:
                self._send(404, {"error": "not found"})

    def _is_served(self) -> bool:
        what = f"{self.command} {self.path}"
        self.served.requests.append(what)
        if self.served.dies(what):
            return False
        if self.path in self.served.fails:
            status, error = self.served.fails[self.path]
            self._send(status, {"error": error})
            return False
        return True

    def _take_blob(self, digest: str) -> None:
        if digest in self.served.blobs:
            return  # it reads nothing, and the connection ends
        content = self._body()
        if f"sha256:{hashlib.sha256(content).hexdigest()}" != digest:
            self._send(400, {"error": "digest mismatch"})
            return
        self.served.blobs[digest] = content
        self._send(201)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(int(self.headers["Content-Length"]))
        pieces = []
        while size := int(self.rfile.readline(), 16):
            pieces.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(pieces)

    def _stream(self, progress: Iterator[dict[str, Any]]) -> None:
        first = next(progress)
        if "error" in first:
            self._send(500, first)
            return
        self.send_response(200)
        self.end_headers()
        for each in chain([first], progress):
            if self.served.dies(each.get("status", "")):
                return
            self.wfile.write(json.dumps(each).encode() + b"\n")

    def _send(self, status: int, body: dict[str, Any] | None = None) -> None:
        content = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    @override
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def ollama_server() -> Iterator[OllamaServer]:
    """Run one."""
    server = OllamaServer()
    try:
        server.start()
        yield server
    finally:
        server.close()
