"""Settings and secrets that change while the service runs: on SIGHUP, and when their files do.

Kubernetes changes a mounted ConfigMap or Secret by replacing a symbolic link, which no notification
of the file itself tells about: the files are looked at once a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

from pydantic import BaseModel
from starlette.types import ASGIApp, Receive, Scope, Send

from memorybank import logs
from memorybank.domain.configuration import ConfigurationInEffect, ConfigurationReport
from memorybank.encryption import KeyRing
from memorybank.errors import ConfigurationError, MemoryBankError
from memorybank.server.secrets import Fingerprints, Secrets, secret_files
from memorybank.settings import Settings

_logger = logging.getLogger(__name__)

AT_ONCE = (
    "admin_key",
    "consolidation.",
    "cors.",
    "forgetting.",
    "limits.",
    "logging.",
    "security.allowed_hosts",
    "write_gate.",
)
"""Beginnings of the settings that need no restart. The operator has the same table, held to this
one by tests/contract."""

_LOOK_SECONDS = 1.0
_AGAIN_SECONDS = 10.0
"""After a failure that has nothing to do with the files, such as a full disk."""
_STEADY_ATTEMPTS = 5


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


class Parts(Protocol):
    """The parts of the service that take new settings and secrets; no request fails meanwhile."""

    async def use_ring(self, ring: KeyRing) -> None:
        """Wrap by this key ring from now on. Raises ConfigurationError when the bank needs a key
        that is not in it, and changes nothing then.
        """

    async def use_admin_key(self, token: str) -> None:
        """Let this key open the bank, beside the former one for a while."""

    def use_secrets(self, secrets: Secrets) -> None:
        """Take the other secrets."""

    def use_settings(self, settings: Settings) -> None:
        """Take those of AT_ONCE."""


class Reloader:
    """Reads settings and secrets again, and applies those that can be."""

    def __init__(
        self,
        settings: Settings,
        read: Callable[[], Settings],
        parts: Parts,
        in_effect: ConfigurationInEffect,
        *,
        file: Path | None,
    ) -> None:
        """`settings` are those that the parts were made by; `file` is where they come from."""
        self._settings = settings
        self._secrets = Secrets.read(settings)
        self._read = read
        self._parts = parts
        self._in_effect = in_effect
        self._file = file
        # A file that is named otherwise by a new configuration waits for the restart, too.
        self._secret_files = secret_files(settings)
        self._asked = asyncio.Event()
        self._seen: object = None

    def ask(self) -> None:
        """Reload soon, whether or not a file has changed."""
        self._asked.set()

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Reload whenever a file changes or somebody asks, until left."""
        await self.reload()
        task = asyncio.create_task(self._watch())
        try:
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def reload(self) -> bool:
        """Apply what changed; never raises. What is wrong is logged and changes nothing.

        Return whether trying again can help though no file changes.
        """
        self._seen = self._stamps()
        try:
            new, secrets, fingerprints = await asyncio.to_thread(self._read_steadily)
            applied = await self._apply(new, secrets)
        except ConfigurationError as error:
            self._refused(error)
            return False
        except MemoryBankError as error:
            self._refused(error)
            return True
        waiting = tuple(sorted(self._waiting(new)))
        before = self._in_effect.report
        report = ConfigurationReport(
            file=fingerprints.file,
            secrets=fingerprints.secrets,
            needs_restart=waiting,
            loaded_at=datetime.now(UTC),
        )
        first = before.loaded_at is None
        self._in_effect.report = report
        if applied or (waiting and waiting != before.needs_restart) or before.problem:
            _logger.info(
                "the configuration was reloaded",
                extra={
                    "details": {
                        "applied": ", ".join(applied) or "-",
                        "needs_restart": ", ".join(waiting) or "-",
                        "file": fingerprints.file or "-",
                    }
                },
            )
        elif not first:
            _logger.debug("the configuration was read again: nothing changed")
        return False

    async def _watch(self) -> None:
        again = False
        while True:
            try:
                async with asyncio.timeout(_AGAIN_SECONDS if again else _LOOK_SECONDS):
                    await self._asked.wait()
            except TimeoutError:
                if not again and self._stamps() == self._seen:
                    continue
            self._asked.clear()
            again = await self.reload()

    def _read_steadily(self) -> tuple[Settings, Secrets, Fingerprints]:
        """Read all of it, and by which contents it is known; again while somebody writes."""
        fingerprints = Fingerprints.take(self._file, self._secret_files)
        for _ in range(_STEADY_ATTEMPTS):
            settings = self._read()
            secrets = Secrets.read(
                settings.model_copy(
                    update={
                        # What names them waits for the restart, so they are read where they were.
                        "auth": self._settings.auth,
                        "embedding": self._settings.embedding,
                        "encryption": self._settings.encryption,
                    }
                )
            )
            now = Fingerprints.take(self._file, self._secret_files)
            if now == fingerprints:
                break
            fingerprints = now
        return settings, secrets, fingerprints

    async def _apply(self, new: Settings, secrets: Secrets) -> list[str]:
        """Apply what changed and return what it was, sorted. The key ring is first: it alone can be
        refused, by what the bank holds.
        """
        applied = [path for path in differing(self._settings, new) if path.startswith(AT_ONCE)]
        if secrets.ring is not None and secrets.ring != self._secrets.ring:
            await self._parts.use_ring(secrets.ring)
            applied.append("encryption.key_ring_file")
            self._secrets = replace(self._secrets, ring=secrets.ring)
        if "admin_key" in applied and new.admin_key is not None:
            await self._parts.use_admin_key(new.admin_key.get_secret_value())
        if secrets.jwt != self._secrets.jwt:
            applied.append("auth.jwt.secret_file")
        if secrets.embedding_key != self._secrets.embedding_key:
            applied.append("embedding.openai.key_file")
        self._parts.use_secrets(secrets)
        self._secrets = secrets
        if applied:
            self._settings = _with_those_of(new, self._settings)
            logs.configure(new.logging.level, new.logging.format)
            self._parts.use_settings(self._settings)
        return sorted(applied)

    def _waiting(self, new: Settings) -> Iterator[str]:
        """Yield the settings that need a restart. Kept as they are until then, so that each reload
        tells of them again.
        """
        return (path for path in differing(self._settings, new) if not path.startswith(AT_ONCE))

    def _refused(self, error: MemoryBankError) -> None:
        problem = f"{error.message}; {error.hint}" if error.hint else error.message
        self._in_effect.report = replace(self._in_effect.report, problem=problem)
        _logger.error("the configuration was not reloaded: %s", problem)

    def _stamps(self) -> object:
        files = [*([self._file] if self._file else []), *self._secret_files.values()]
        return [_stamp(each) for each in files]


def _with_those_of(new: Settings, old: Settings) -> Settings:
    """Return the old settings with what the new ones say of AT_ONCE."""
    hosts = {"allowed_hosts": new.security.allowed_hosts}
    return old.model_copy(
        update={
            "admin_key": new.admin_key,
            "consolidation": new.consolidation,
            "cors": new.cors,
            "forgetting": new.forgetting,
            "limits": new.limits,
            "logging": new.logging,
            "security": old.security.model_copy(update=hosts),
            "write_gate": new.write_gate,
        }
    )


def _stamp(file: Path) -> tuple[int, ...] | None:
    """Return what changes when a file, or the link to it, is replaced or written."""
    try:
        found = os.stat(file)
    except OSError:
        return None
    return (found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size)


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
