"""A bank behind a URL, by the standard library's HTTP client."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.client import HTTPException, HTTPResponse

from memorybank.cli.bank import Answer, Query
from memorybank.errors import ConfigurationError, Unavailable

_TIMEOUT_SECONDS = 60
_IMPORT_TIMEOUT_SECONDS = 600
"""A part of a file without vectors takes as long as embedding it."""
_PIECE = 1 << 16


class RemoteBank:
    """Calls the REST interface."""

    def __init__(self, url: str, key: str | None) -> None:
        try:
            parts = urllib.parse.urlsplit(url)
            usable = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            usable = False
        if not usable or not (key or "").isascii() or not (key or "x").isprintable():
            raise ConfigurationError(
                "the URL or the key cannot be used", hint="a URL looks like http://127.0.0.1:8080"
            )
        self.name = url.rstrip("/")
        self._headers = {} if key is None else {"Authorization": f"Bearer {key}"}
        self._opener = _opener()

    def request(
        self, method: str, path: str, *, query: Query | None = None, body: object = None
    ) -> Answer:
        """See Bank."""
        content = None if body is None else json.dumps(body).encode()
        if method != "GET" and content is None:
            content = b""
        headers = {} if content is None else {"Content-Type": "application/json"}
        return self._answer(self._asked(method, path, query, content, headers), _TIMEOUT_SECONDS)

    def send(self, path: str, content: bytes, *, query: Query) -> Answer:
        """See Bank."""
        headers = {"Content-Type": "application/x-ndjson"}
        request = self._asked("POST", path, query, content, headers)
        return self._answer(request, _IMPORT_TIMEOUT_SECONDS)

    def fetch(self, path: str, *, query: Query) -> Iterator[bytes]:
        """See Bank."""
        with self._open(self._asked("GET", path, query, None, {}), _TIMEOUT_SECONDS) as response:
            if response.status != 200:
                Answer(response.status, response.read()).value(self.name)
            while True:
                try:
                    piece = response.read(_PIECE)
                except (OSError, HTTPException) as error:
                    raise self._silent(error) from error
                if not piece:
                    return
                yield piece

    def _asked(
        self,
        method: str,
        path: str,
        query: Query | None,
        content: bytes | None,
        headers: dict[str, str],
    ) -> urllib.request.Request:
        url = f"{self.name}{path}{encoded(query)}"
        everything = self._headers | headers | {"Accept": "*/*"}
        return urllib.request.Request(  # noqa: S310  # the scheme was checked
            url, data=content, headers=everything, method=method
        )

    def _answer(self, request: urllib.request.Request, seconds: int) -> Answer:
        with self._open(request, seconds) as response:
            try:
                return Answer(response.status, response.read())
            except (OSError, HTTPException) as error:
                raise self._silent(error) from error

    def _open(self, request: urllib.request.Request, seconds: int) -> HTTPResponse:
        try:
            response: HTTPResponse | None = self._opener.open(request, timeout=seconds)
        except (OSError, HTTPException, ValueError) as error:
            raise self._silent(error) from error
        assert response is not None  # noqa: S101  # only for schemes that no handler knows
        return response

    def _silent(self, error: Exception) -> Unavailable:
        reason = error.reason if isinstance(error, urllib.error.URLError) else error
        return Unavailable(
            f"no answer from {self.name}: {reason or type(error).__name__}",
            hint="start the service, or name another one by --url",
        )


def _opener() -> urllib.request.OpenerDirector:
    """Return a client that hands over every answer as it is.

    It follows no redirect: no bank sends one, and the key is for the bank alone.
    """
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(),
    ):
        opener.add_handler(handler)
    return opener


def encoded(query: Query | None) -> str:
    """Return the parameters as the end of a URL."""
    given = {
        name: [_text(each) for each in value] if isinstance(value, list | tuple) else _text(value)
        for name, value in (query or {}).items()
        if value is not None
    }
    return f"?{urllib.parse.urlencode(given, doseq=True)}" if given else ""


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
