"""Threads that work for the event loop, without asyncio's machinery for executors.

`run_in_executor` makes a future of threads and one of the loop per call, and links both: some 60
microseconds more on the event loop's thread than this, several times per request.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

Answer = TypeVar("Answer")


class Lanes:
    """So many threads that take work from one line, in the order in which it came.

    Work whose caller was cancelled before its turn is not done.
    """

    def __init__(self, name: str, count: int) -> None:
        self._line: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        # Guards _closed, so that nothing enters the line behind the end markers.
        self._gate = threading.Lock()
        self._closed = False
        self._threads = [
            threading.Thread(target=self._run, name=f"{name}_{number}", daemon=True)
            for number in range(count)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, work: Callable[[], Answer]) -> Answer:
        """Return what `work` returned in a thread. Raises RuntimeError after `close`."""
        mine = _Work(work)
        with self._gate:
            if self._closed:
                raise RuntimeError("the threads are closed")
            self._line.put(mine)
        answer: Answer = await mine.future
        return answer

    def close(self) -> None:
        """Do what was accepted, then end the threads. May be called more than once."""
        with self._gate:
            if not self._closed:
                self._closed = True
                for _ in self._threads:
                    self._line.put(None)
        for thread in self._threads:
            thread.join()

    def _run(self) -> None:
        while self._serve_next():
            pass

    def _serve_next(self) -> bool:
        """Wait for work and do it; False at the end. No answer is kept alive while waiting."""
        work = self._line.get()
        if work is not None:
            work.do()
        return work is not None


class _Work:
    """A call, and the future of its answer on the loop of its caller."""

    __slots__ = ("_call", "_loop", "future")

    def __init__(self, call: Callable[[], Any]) -> None:
        self._call = call
        self._loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self._loop.create_future()

    def do(self) -> None:
        if self.future.cancelled():
            return
        try:
            answer = self._call()
        except BaseException as error:
            self._tell(self.future.set_exception, error)
        else:
            self._tell(self.future.set_result, answer)

    def _tell(self, settle: Callable[[Any], None], outcome: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop was closed: nobody waits any more
            self._loop.call_soon_threadsafe(self._settle, settle, outcome)

    def _settle(self, settle: Callable[[Any], None], outcome: Any) -> None:
        if not self.future.done():
            settle(outcome)
