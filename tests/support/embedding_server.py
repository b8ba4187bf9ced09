"""An HTTP server that speaks as Ollama and as OpenAI do, with the built-in model behind it.

Real sockets, so that it can be slow, broken, or gone.
"""

from __future__ import annotations

import asyncio
import json
import socket
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


class Listening(ThreadingHTTPServer):
    allow_reuse_port = True
    daemon_threads = True


def kept_port(host: str = "127.0.0.1", port: int = 0) -> socket.socket:
    """Return a socket that keeps a port for servers of ours, which come and go: nobody else gets
    it, and connections are refused while none of them listens."""
    kept = socket.socket()
    kept.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    kept.bind((host, port))
    return kept


class KeptServer:
    """A server that listens on one port whenever it is started, which nobody else gets meanwhile.
    Threads of this process answer.
    """

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """Keep a port, one of its own unless one is given; nothing listens yet."""
        self._server: Listening | None = None
        self._host = host
        self._kept = kept_port(host, port)
        self.port: int = self._kept.getsockname()[1]

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def listen(self, handler: type[BaseHTTPRequestHandler]) -> None:
        """Answer requests by this handler."""
        builtin_embedder()  # loaded before anybody waits for an answer
        self._server = Listening((self._host, self.port), handler)
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        """Refuse connections until the next start."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def close(self) -> None:
        """Stop, and give the port up."""
        self.stop()
        self._kept.close()


class EmbeddingServer(KeptServer):
    """What it answers can be changed while it runs."""

    def __init__(self, port: int = 0, host: str = "127.0.0.1") -> None:
        """See KeptServer."""
        super().__init__(port, host)
        self.requests: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.status = 200
        self.failures_left = 0
        """So many requests fail first."""
        self.failing = 503
        """The status of these."""
        self.accepted: frozenset[str] | None = None
        """Keys that are taken, any when None."""
        self.complaint = "no"
        """What is wrong, where the status is not 200."""
        self.deadly: str | None = None
        """A text of which requests are answered as if the status were not 200."""
        self.broke_down = 0
        """So many were."""
        self.raw: bytes | None = None
        self.hold: threading.Event | None = None
        """Requests wait for it."""

    def start(self) -> None:
        """Listen; on the same port each time."""
        self.listen(_handler(self))

    def answer(self, path: str, body: dict[str, Any]) -> tuple[int, bytes]:
        self.requests.append(body)
        if self.hold is not None:
            self.hold.wait(60)
        if self.failures_left:
            self.failures_left -= 1
            return self.failing, self._complaint(path)
        if self.status != 200:
            return self.status, self._complaint(path)
        if self.deadly is not None and self.deadly in body["input"]:
            self.broke_down += 1
            return 400, self._complaint(path)
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

    def _complaint(self, path: str) -> bytes:
        error: Any = self.complaint
        if path == "/v1/embeddings":
            error = {"message": self.complaint, "type": "invalid_request_error", "code": None}
        return json.dumps({"error": error}).encode()


def _handler(server: EmbeddingServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        # HTTP/1.0: a kept connection would outlive the server that is stopped.
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            key = self.headers["Authorization"]
            server.keys.append(key)
            if server.accepted is not None and key not in server.accepted:
                self._send(401, b'{"error": "no such key"}')
            else:
                self._send(*server.answer(self.path, body))

        def do_PUT(self) -> None:
            """Take these keys alone from now on: a JSON list to /accepted."""
            keys = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            server.accepted = frozenset(f"Bearer {each}" for each in keys)
            self._send(204, b"")

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
    try:
        server.start()
        yield server
    finally:
        server.close()


class EmbeddingProcess:
    """The server as a process of its own, which can be killed and started again."""

    def __init__(self) -> None:
        self._kept = kept_port()
        self._port: int = self._kept.getsockname()[1]
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        """Return when it listens; always on the same port."""
        command = [sys.executable, "-m", "tests.support.embedding_server", str(self._port)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)  # noqa: S603  # our own
        assert self._process.stdout is not None
        assert b"listening\n" in iter(self._process.stdout.readline, b""), "it ended"

    def kill(self) -> None:
        """End it as a crash does (SIGKILL); requests under way are cut off."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def close(self) -> None:
        """Kill it, and give the port up."""
        self.kill()
        self._kept.close()


@contextmanager
def embedding_process() -> Iterator[EmbeddingProcess]:
    """Run one until the block ends."""
    process = EmbeddingProcess()
    try:
        process.start()
        yield process
    finally:
        process.close()


if __name__ == "__main__":
    EmbeddingServer(int(sys.argv[1]), *sys.argv[2:]).start()
    print("listening", flush=True)  # noqa: T201  # what the parent waits for
    threading.Event().wait()
