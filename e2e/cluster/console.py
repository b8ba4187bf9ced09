"""Progress for the person who waits: one line per step, on standard error.

Standard output is left to results (a path, a kubeconfig), so that scripts can read them.
"""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

HEARTBEAT_SECONDS = 20.0


def say(text: str) -> None:
    """Show one line of progress."""
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


@contextmanager
def step(title: str) -> Iterator[None]:
    """Show that a step begins, that it still runs now and then, and how long it took."""
    say(f"{title} ...")
    start = time.monotonic()
    done = threading.Event()

    def beat() -> None:
        while not done.wait(HEARTBEAT_SECONDS):
            say(f"{title} ... {time.monotonic() - start:.0f} s")

    heartbeat = threading.Thread(target=beat, daemon=True)
    heartbeat.start()
    try:
        yield
    finally:
        done.set()
        heartbeat.join()
    say(f"{title}: done in {time.monotonic() - start:.1f} s")
