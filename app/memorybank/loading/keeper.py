"""Keeps one model answering: brings it in where it is missing, warms it up, looks at it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Protocol

from memorybank.loading.ollama import NotLoaded, Tell

_logger = logging.getLogger(__name__)

_LOOK_SECONDS = 10.0
_PAUSES = (1.0, 2.0, 5.0, 10.0, 30.0)
"""Seconds until it is tried again, one after the other; then always the last."""


class Model(Protocol):
    """What can be kept. All but `name` raise NotLoaded."""

    name: str

    async def is_there(self) -> bool:
        """Tell whether the server has it."""

    async def bring(self, tell: Tell) -> None:
        """Give it to the server."""

    async def ask(self) -> None:
        """Have it embed a text; afterwards it is in memory."""


class Keeper:
    """Works until it is cancelled. Nothing is kept but by the server: each start looks anew."""

    def __init__(
        self,
        model: Model,
        *,
        look_seconds: float = _LOOK_SECONDS,
        pauses: Sequence[float] = _PAUSES,
    ) -> None:
        self._model = model
        self._look_seconds = look_seconds
        self._pauses = pauses
        self._doing = "starting"
        self._answers = False

    @property
    def problem(self) -> str | None:
        """Why the model does not answer, or what is done about it; None while it answers."""
        return None if self._answers else self._doing

    async def run(self) -> None:
        """Bring the model in and look at it again and again."""
        failures = 0
        while True:
            try:
                await self._look()
            except NotLoaded as error:
                self._answers = False
                pause = self._pauses[min(failures, len(self._pauses) - 1)]
                self._tell(str(error), level=logging.WARNING)
                failures += 1
                await asyncio.sleep(pause)
            else:
                failures = 0
                await asyncio.sleep(self._look_seconds)

    async def _look(self) -> None:
        if self._answers:
            await self._model.ask()
            return
        if not await self._model.is_there():
            await self._model.bring(self._tell)
        self._tell(f"warming {self._model.name} up")
        await self._model.ask()
        self._answers = True
        self._tell(f"{self._model.name} answers")

    def _tell(self, doing: str, *, level: int = logging.INFO) -> None:
        """Log what is done, once as long as it is the same."""
        if doing != self._doing:
            self._doing = doing
            _logger.log(level, "%s", doing)
