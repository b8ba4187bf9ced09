"""Closing a connection whose other side still sends, so that it gets the answer.

Data that arrives at a closed socket is answered by a reset, and a reset takes away what the other
side has not read yet: a client that is sending a body too large would see a broken pipe instead of
the refusal. So the answer is followed by the end of the stream, and what still comes is thrown
away, within bounds, until the other side closes (RFC 9112 section 9.6).
"""

from __future__ import annotations

import asyncio
from typing import Any

from typing_extensions import override

LINGER_SECONDS = 10.0
"""How long at most."""

LINGER_BYTES = 67_108_864
"""How much is thrown away at most: as much as the largest body that can be allowed."""


class LingeringTransport(asyncio.Transport):
    """A connection that is closed late while a request is still coming in.

    Its protocol tells it by `request_began` and `request_ended`, and hands what arrives while
    `lingers` to `discard`.
    """

    def __init__(self, inner: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__()
        self._inner = inner
        self._loop = loop
        self._unfinished = False
        self._discarded = 0
        self._deadline: asyncio.TimerHandle | None = None

    @property
    def lingers(self) -> bool:
        """Whether all is said and only the other side's end is waited for."""
        return self._deadline is not None

    def request_began(self) -> None:
        """From here on, closing lets the other side finish what it sends."""
        self._unfinished = True
        self._discarded = 0

    def request_ended(self) -> None:
        """Nothing more comes that nobody wants."""
        self._unfinished = False

    def discard(self, data: bytes) -> None:
        """Throw away what nobody wants; too much of it breaks the connection."""
        self._discarded += len(data)
        if self._discarded > LINGER_BYTES:
            self._inner.abort()

    def lost(self) -> None:
        """Wait for nothing more: the connection is gone."""
        if self._deadline is not None:
            self._deadline.cancel()

    @override
    def close(self) -> None:
        """Close in good manners: now, or when the other side has heard the answer."""
        if self.lingers or not self._unfinished or self._inner.is_closing():
            self._inner.close()
            return
        self._deadline = self._loop.call_later(LINGER_SECONDS, self._inner.abort)
        self._inner.write_eof()
        self._inner.resume_reading()

    @override
    def is_closing(self) -> bool:
        return self.lingers or self._inner.is_closing()

    @override
    def write(self, data: bytes | bytearray | memoryview[Any]) -> None:
        if not self.is_closing():
            self._inner.write(data)

    @override
    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self._inner.get_extra_info(name, default)
