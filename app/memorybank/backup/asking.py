"""Asking the Litestream that runs how far it is.

What it answers on its socket was read off version 0.5.17. It has a module of its own, as the
process that runs Litestream asks nothing, and is to be small.
"""

from __future__ import annotations

import contextlib
import json
import socket
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from typing_extensions import override

from memorybank.backup.litestream import cause
from memorybank.errors import BackupUnavailable

_SILENT = "what was written does not arrive at the destination in time"


class Litestream:
    """Asks the process that replicates, on its socket. For threads: a call waits."""

    def __init__(self, socket: Path, database: Path) -> None:
        self._socket = socket
        self._database = str(database)
        self._open: set[_Connection] = set()

    def sync(self, seconds: float) -> str | None:
        """Return when everything that was committed so far is at the destination: the last
        transaction that has arrived, if that is told. Raises BackupUnavailable when that takes
        longer, or when it fails, with the cause.

        Litestream itself waits for a destination that does not answer, and says nothing.
        """
        connection = _Connection(self._socket, seconds)
        self._open.add(connection)
        try:
            body = json.dumps({"path": self._database, "wait": True, "timeout": int(seconds) + 1})
            connection.request("POST", "/sync", body)
            answer = connection.getresponse()
            content = answer.read()
        except TimeoutError:
            raise BackupUnavailable(_SILENT, late=True) from None
        except (OSError, HTTPException):
            raise BackupUnavailable("the process that replicates does not answer") from None
        finally:
            self._open.discard(connection)
            connection.close()
        if answer.status != 200:
            raise BackupUnavailable(cause(_error_of(content)))
        return _transaction_of(content)

    def hang_up(self) -> None:
        """Let nobody wait any longer who waits now."""
        for connection in tuple(self._open):
            connection.hang_up()


class _Connection(HTTPConnection):
    def __init__(self, path: Path, seconds: float) -> None:
        super().__init__("litestream", timeout=seconds)
        self._path = str(path)

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)

    def hang_up(self) -> None:
        """Wake the thread that waits for an answer."""
        with contextlib.suppress(OSError, AttributeError):
            self.sock.shutdown(socket.SHUT_RDWR)


def _transaction_of(content: bytes) -> str | None:
    try:
        return f"{int(json.loads(content)['replicated_txid']):016x}"
    except (ValueError, KeyError, TypeError):
        return None


def _error_of(content: bytes) -> str:
    try:
        return str(json.loads(content)["error"])
    except (ValueError, KeyError, TypeError):
        return content.decode(errors="replace")
