"""An HTTP server that speaks as Ollama and as OpenAI do, with the built-in model behind it.

Real sockets, so that it can be slow, broken, or gone.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from typing_extensions import override

from tests.support.memory_model import builtin_embedder

MODEL = "all-minilm"


class EmbeddingServer:
    """What it answers can be changed while it runs."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.status = 200
        self.failures_left = 0
        """So many requests are answered 503 first."""
        self.raw: bytes | None = None
        self.hold: threading.Event | None = None
        """Requests wait for it."""
        self._server: ThreadingHTTPServer | None = None
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def port(self) -> int:
        return self._port

    def start(self, port: int | None = None) -> None:
        """Listen; on the same port as before, if it was stopped."""
        self._port = self._port if port is None else port
        server = ThreadingHTTPServer(("127.0.0.1", self._port), _handler(self))
        server.daemon_threads = True
        self._server, self._port = server, server.server_address[1]
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        self.requests.append(body)
        if self.hold is not None:
            self.hold.wait(60)
        if self.failures_left:
            self.failures_left -= 1
            return 503, b"busy"
        if self.status != 200:
            return self.status, b'{"error": "no"}'
        if self.raw is not None:
            return 200, self.raw
        if body["model"] != MODEL:
            return 404, b'{"error": "model not found"}'
        texts = [body["input"]] if isinstance(body["input"], str) else body["input"]
        vectors = asyncio.run(builtin_embedder().embed(texts)).tolist()
        vectors = [vector[: body.get("dimensions", 384)] for vector in vectors]
        if path == "/api/embed":
            return 200, json.dumps({"model": MODEL, "embeddings": vectors}).encode()
        if path == "/v1/embeddings":
            data = [{"index": place, "embedding": each} for place, each in enumerate(vectors)]
            return 200, json.dumps({"data": data[::-1]}).encode()  # in any order
        return 404, b"nothing here"


def _handler(server: EmbeddingServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        # HTTP/1.0: a kept connection would outlive the server that is stopped.
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.keys.append(self.headers["Authorization"])
            self._send(*server.answer(self.path, body))

        def do_GET(self) -> None:
            if self.path == "/api/tags":
                self._send(200, json.dumps({"models": [{"name": f"{MODEL}:latest"}]}).encode())
            elif self.path == "/v1/models":
                self._send(200, json.dumps({"data": [{"id": MODEL}]}).encode())
            else:
                self._send(404, b"nothing here")

        @override
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def _send(self, status: int, content: bytes) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    return Handler


@contextmanager
def embedding_server() -> Iterator[EmbeddingServer]:
    """Run one."""
    server = EmbeddingServer()
    server.start()
    try:
        yield server
    finally:
        server.stop()


class EmbeddingProcess:
    """The server as a process of its own, which can be killed and started again."""

    def __init__(self) -> None:
        self._port = 0
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Return when it listens; always on the same port."""
        command = [sys.executable, "-m", "tests.support.embedding_server", str(self._port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603  # our own
        assert self._process.stdout is not None
        self._port = int(self._process.stdout.readline())

    def kill(self) -> None:
        """End it as a crash does (SIGKILL); requests under way are cut off."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None


@contextmanager
def embedding_process() -> Iterator[EmbeddingProcess]:
    """Run one until the block ends."""
    process = EmbeddingProcess()
    process.start()
    try:
        yield process
    finally:
        process.kill()


if __name__ == "__main__":
    alone = EmbeddingServer()
    alone.start(int(sys.argv[1]))
    print(alone.port, flush=True)  # noqa: T201  # what the parent waits for
    threading.Event().wait()
