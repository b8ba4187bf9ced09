"""Waiting for an API server, over TLS with the cluster's own authority."""

from __future__ import annotations

import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable

from e2e.cluster.errors import ClusterError

POLL_SECONDS = 0.1


def wait_ready(
    url: str, authority: bytes, *, seconds: float, check_alive: Callable[[], None]
) -> None:
    """Return when GET /readyz answers 200.

    `check_alive` is called before every attempt and raises when waiting has become pointless.
    Raises ClusterError, with the last answer, when the time is over.
    """
    deadline = time.monotonic() + seconds
    while True:
        check_alive()
        answer = unready(url, authority)
        if answer is None:
            return
        if time.monotonic() > deadline:
            raise ClusterError(f"{url} was not ready within {seconds:g} s: {answer}")
        time.sleep(POLL_SECONDS)


def unready(url: str, authority: bytes) -> str | None:
    """Ask once; return None from a ready server, else what it (or the network) answered."""
    opener = urllib.request.build_opener(
        urllib.request.HTTPSHandler(context=ssl.create_default_context(cadata=authority.decode())),
        urllib.request.ProxyHandler({}),  # the server is on this machine
    )
    try:
        with opener.open(f"{url}/readyz", timeout=5) as answer:
            answer.read()
    except urllib.error.HTTPError as refusal:
        with refusal:
            return refusal.read().decode(errors="replace")
    except OSError as error:
        return str(error)
    return None
