"""Settings that change while the service runs, on SIGHUP."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from memorybank import logs
from memorybank.errors import ConfigurationError
from memorybank.settings import Settings

_logger = logging.getLogger(__name__)

_AT_ONCE = ("logging.", "limits.", "cors.", "security.allowed_hosts")
"""Beginnings of the settings that need no restart."""


class Surroundings:
    """What surrounds the application, replaced as a whole when settings change.

    Requests under way keep what they came in through. Counts of the rate limits start anew.
    """

    def __init__(self, make: Callable[[Settings], ASGIApp], settings: Settings) -> None:
        self._make = make
        self._app = make(settings)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        await self._app(scope, receive, send)

    def apply(self, settings: Settings) -> None:
        """Let the next request come in by these settings."""
        self._app = self._make(settings)


class Reloader:
    """Reads the settings again, and applies those that can be."""

    def __init__(
        self, settings: Settings, read: Callable[[], Settings], surroundings: Surroundings
    ) -> None:
        self._settings = settings
        self._read = read
        self._surroundings = surroundings

    def reload(self) -> None:
        """Apply what changed; never raises. A wrong configuration is logged and changes nothing."""
        try:
            new = self._read()
        except ConfigurationError as error:
            _logger.error(
                "the configuration was not reloaded: %s; %s", error.message, error.hint or ""
            )
            return
        changed = sorted(differing(self._settings, new))
        waiting = [path for path in changed if not path.startswith(_AT_ONCE)]
        logs.configure(new.logging.level, new.logging.format)
        self._surroundings.apply(new)
        # Kept as they are until the restart, so that the next reload tells of them again.
        hosts = {"allowed_hosts": new.security.allowed_hosts}
        self._settings = self._settings.model_copy(
            update={
                "logging": new.logging,
                "limits": new.limits,
                "cors": new.cors,
                "security": self._settings.security.model_copy(update=hosts),
            }
        )
        _logger.info(
            "the configuration was reloaded",
            extra={
                "details": {
                    "applied": ", ".join(path for path in changed if path not in waiting) or "-",
                    "needs_restart": ", ".join(waiting) or "-",
                }
            },
        )


def differing(one: BaseModel, other: BaseModel, above: str = "") -> Iterator[str]:
    """Yield the paths of the settings that differ."""
    for name in type(one).model_fields:
        before, after = getattr(one, name), getattr(other, name)
        if before == after:
            continue
        if isinstance(before, BaseModel) and isinstance(after, BaseModel):
            yield from differing(before, after, f"{above}{name}.")
        else:
            yield f"{above}{name}"
