"""Being told to stop."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable


class Signals:
    """The first and the second request to stop, by SIGTERM or SIGINT."""

    def __init__(self) -> None:
        self.first = asyncio.Event()
        self.second = asyncio.Event()
        self._hurry: Callable[[], None] = lambda: None
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._received)

    def on_second(self, hurry: Callable[[], None]) -> None:
        """Call this when the second request comes."""
        self._hurry = hurry

    def _received(self) -> None:
        if self.first.is_set():
            self.second.set()
            self._hurry()
        self.first.set()
