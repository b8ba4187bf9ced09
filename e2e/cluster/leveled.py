"""What controllers of a local cluster share: any change is a reason to compare everything."""

from __future__ import annotations

import logging
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

from kubernetes.client.exceptions import ApiException
from urllib3.exceptions import HTTPError

WATCH_SECONDS = 300
RETRY_SECONDS = 1.0

# An object of the API as its JSON says it.
Object = dict[str, Any]
Listing = Callable[..., Any]
log = logging.getLogger(__name__)


class Controller(ABC):
    """Compares what is wanted with what is there whenever something changed.

    A missed event or a crash between two steps is made good by the next look.
    """

    settle_seconds = 0.0
    """How long to wait after a change for what comes with it."""

    def __init__(self, listings: tuple[Listing, ...]) -> None:
        self._listings = listings
        self._changed = threading.Event()

    @abstractmethod
    def reconcile(self) -> None:
        """Compare once, and act."""

    def run(self) -> None:
        """Never returns."""
        for listing in self._listings:
            threading.Thread(target=self._watch, args=[listing], daemon=True).start()
        while True:
            self._changed.wait()
            time.sleep(self.settle_seconds)
            self._changed.clear()
            try:
                self.reconcile()
            except (ApiException, HTTPError, OSError, subprocess.CalledProcessError) as error:
                log.warning("trying again: %s", brief(error))
                time.sleep(RETRY_SECONDS)
                self._changed.set()

    def _watch(self, listing: Listing) -> None:
        while True:
            try:
                for _ in self._events(listing):
                    self._changed.set()
            except (ApiException, HTTPError, OSError) as error:
                log.warning("watching again: %s", brief(error))
                time.sleep(RETRY_SECONDS)

    def _events(self, listing: Listing) -> Iterator[bytes]:
        # A watch without a version begins with what is there, so nothing between two is missed.
        answer = listing(watch=True, timeout_seconds=WATCH_SECONDS, _preload_content=False)
        try:
            yield from answer.stream()
        finally:
            answer.release_conn()


def brief(error: Exception) -> str:
    """Return an error on one line: the library's own text has the whole answer in it."""
    return f"{error.status} {error.reason}" if isinstance(error, ApiException) else str(error)
