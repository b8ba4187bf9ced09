"""What a server of S3 says, in words."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from typing_extensions import override

from memorybank.backup.destination import Destination
from memorybank.backup.objects import Bucket
from memorybank.errors import BackupUnavailable

REFUSAL = "<Error><Code>{code}</Code><Message>no</Message></Error>"


class Refusing(ThreadingHTTPServer):
    """Refuses each request for one reason."""

    status = 400
    code = ""

    def destination(self) -> Destination:
        """A destination in a bucket of it."""
        bucket = Bucket(
            bucket="memories", path="a", region="eu-central-1", path_style=True,
            endpoint=f"http://127.0.0.1:{self.server_address[1]}",
            access_key_id="id", secret_access_key="no-secret",
        )  # fmt: skip
        return Destination(bucket)


class _Handler(BaseHTTPRequestHandler):
    server: Refusing

    def do_GET(self) -> None:
        content = REFUSAL.format(code=self.server.code).encode()
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    @override
    def log_message(self, format: str, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[Refusing]:
    with Refusing(("127.0.0.1", 0), _Handler) as running:
        thread = threading.Thread(target=running.serve_forever)
        thread.start()
        yield running
        running.shutdown()
        thread.join()


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (400, "AuthorizationHeaderMalformed", "the bucket is in another region"),
        (301, "PermanentRedirect", "the bucket is in another region"),
        (403, "AccessDenied", "the credentials may not do this in the bucket"),
        (403, "SignatureDoesNotMatch", "the secret access key is wrong"),
    ],
)
async def test_a_refusal_is_told_by_its_cause_and_not_by_how_long_was_tried(
    server: Refusing, status: int, code: str, words: str
) -> None:
    server.status, server.code = status, code
    with pytest.raises(BackupUnavailable) as caught:
        await server.destination().begun()
    assert caught.value.message == words


async def test_what_fails_otherwise_is_told_in_its_own_words(server: Refusing) -> None:
    server.code = "Teapot"
    with pytest.raises(BackupUnavailable, match="Teapot"):
        await server.destination().begun()
