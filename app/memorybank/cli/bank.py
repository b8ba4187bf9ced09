"""A bank as the commands see it: its REST interface, behind a URL or in a folder of this machine.

Both answer the same requests, so no command knows which it talks to. Nothing here needs more than
the standard library: what asks a server is to be there at once.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from memorybank.errors import ConfigurationError, MemoryBankError, Unavailable

DEFAULT_URL = "http://127.0.0.1:8080"
_PAGE = 200

Query = Mapping[str, Any]
"""Parameters of a request; None leaves one out, a list repeats it."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a bank answered."""

    status: int
    body: bytes

    def value(self, what: str) -> Any:
        """Return the JSON of a success; raises the error that the bank sent.

        `what` names the bank, for an answer that is none of a memory bank.
        """
        if self.status == 204:
            return None
        try:
            content = json.loads(self.body)
            if self.status < 400:
                return content
            detail = content["error"]
            error = MemoryBankError(
                str(detail["message"]), field=detail.get("field"), hint=detail.get("hint")
            )
            error.code = str(detail["code"])
        except (ValueError, LookupError, TypeError):
            raise not_a_bank(what, self.status) from None
        if self.status == 401:
            error.hint = "set MEMORY_BANK_KEY or MEMORY_BANK_KEY_FILE, or give --key"
        raise error


class Bank(Protocol):
    """What the commands need."""

    name: str
    """The URL or the folder."""

    def request(
        self, method: str, path: str, *, query: Query | None = None, body: object = None
    ) -> Answer:
        """Send a request with a JSON body, or none; raises Unavailable without an answer."""

    def send(self, path: str, content: bytes, *, query: Query) -> Answer:
        """POST lines of JSON."""

    def fetch(self, path: str, *, query: Query) -> Iterator[bytes]:
        """GET a stream; raises the error that the bank sent, Unavailable when it is cut."""


def open_bank(arguments: argparse.Namespace) -> AbstractContextManager[Bank]:
    """Return the bank that the arguments and the environment name."""
    if arguments.data is not None:
        return _local(arguments.data)
    url = arguments.url or os.environ.get("MEMORY_BANK_URL")
    key = arguments.key or _key_from_environment("MEMORY_BANK_KEY")
    if url is None and key is None:
        # Beside the server, as in its container. Nobody else is ever sent its own key.
        from memorybank.configuration import ADMIN_KEY_VARIABLE

        key = _key_from_environment(ADMIN_KEY_VARIABLE)
    return _remote(url or DEFAULT_URL, key)


def paged(
    bank: Bank, path: str, name: str, *, query: Query | None = None, limit: int | None = None
) -> tuple[list[dict[str, Any]], int]:
    """Return the items that a list holds under a name, up to a limit, and how many there are."""
    found: list[dict[str, Any]] = []
    cursor, more = None, True
    while more:
        size = _PAGE if limit is None else min(_PAGE, limit - len(found))
        asked = {**(query or {}), "limit": size, "cursor": cursor}
        page = bank.request("GET", path, query=asked).value(bank.name)
        found += page[name]
        cursor = page["next_cursor"]
        more = cursor is not None and (limit is None or len(found) < limit)
    return found, page["total"]


def not_a_bank(name: str, status: int) -> Unavailable:
    """Return the error for an answer that no memory bank gives."""
    return Unavailable(
        f"{name} answered {status}, not as a memory bank does",
        hint="name the URL of a memory bank",
    )


def _key_from_environment(variable: str) -> str | None:
    file = os.environ.get(f"{variable}_FILE")
    if not file:
        return os.environ.get(variable) or None
    try:
        return Path(file).read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it holds no key"
        raise ConfigurationError(
            f"the key file {file} cannot be read: {reason}",
            field=f"{variable}_FILE",
            hint="mount the Secret there, or correct the path",
        ) from None


@contextmanager
def _remote(url: str, key: str | None) -> Iterator[Bank]:
    from memorybank.cli.remote import RemoteBank

    yield RemoteBank(url, key)


@contextmanager
def _local(data: Path) -> Iterator[Bank]:
    # Loaded here: it takes a second, which who asks a URL need not wait.
    from memorybank.cli.local import local_bank

    with local_bank(data) as bank:
        yield bank
