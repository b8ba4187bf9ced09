"""One thread that serves queued requests in groups.

The store's writer and the embedder both gain from doing what has piled up in one go: one commit for
many writes, one run of the model for many texts. Whatever waits when the thread becomes free is one
group; nobody is ever kept waiting for a group to fill.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Generic, TypeVar

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class QueueFull(Exception):
    """As many requests wait as the thread accepts."""


class Closed(Exception):
    """The thread accepts no more requests."""


@dataclass(slots=True)
class Job(Generic[Request, Answer]):
    """A request and the future of its answer."""

    request: Request
    future: Future[Answer] = field(default_factory=Future)


class BatchThread(Generic[Request, Answer]):
    """Runs `serve` on groups of jobs in a thread of its own.

    `serve` settles the future of every job it is given; what it leaves or raises becomes an error
    of those jobs, so no caller ever waits in vain. A future that its caller cancelled before the
    group was formed is not served at all.
    """

    def __init__(
        self,
        name: str,
        serve: Callable[[list[Job[Request, Answer]]], None],
        *,
        capacity: int,
        max_group: int,
    ) -> None:
        self._serve = serve
        self._max_group = max_group
        self._capacity = capacity
        self._jobs: queue.SimpleQueue[Job[Request, Answer] | None] = queue.SimpleQueue()
        # Guards _closed, so that nothing enters the queue behind the end marker.
        self._gate = threading.Lock()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def submit(self, request: Request) -> Future[Answer]:
        """Queue a request; raises QueueFull or Closed."""
        job: Job[Request, Answer] = Job(request)
        with self._gate:
            if self._closed:
                raise Closed
            if self._jobs.qsize() >= self._capacity:
                raise QueueFull
            self._jobs.put(job)
        return job.future

    @property
    def waiting(self) -> int:
        """Requests whose group has not begun, about."""
        return self._jobs.qsize()

    def close(self) -> None:
        """Serve what was accepted, then end the thread. May be called more than once."""
        with self._gate:
            if not self._closed:
                self._closed = True
                self._jobs.put(None)
        self._thread.join()

    def _run(self) -> None:
        ended = False
        while not ended:
            group, ended = self._next_group()
            running = [job for job in group if job.future.set_running_or_notify_cancel()]
            if not running:
                continue
            failure: BaseException | None = None
            try:
                self._serve(running)
            except BaseException as error:  # the thread must outlive any failure of one group
                failure = error
            for job in running:
                if not job.future.done():
                    job.future.set_exception(failure or RuntimeError("the request was not served"))

    def _next_group(self) -> tuple[list[Job[Request, Answer]], bool]:
        """Wait for one job, then take what else is there; True says that the end was reached."""
        group: list[Job[Request, Answer]] = []
        try:
            job = self._jobs.get()
            while job is not None:
                group.append(job)
                if len(group) >= self._max_group:
                    return group, False
                job = self._jobs.get_nowait()
        except queue.Empty:
            return group, False
        return group, True
