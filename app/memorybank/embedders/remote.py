"""An embedder behind HTTP: Ollama, OpenAI, or what speaks like them.

Requests that fail in a way that may pass are repeated; a service that keeps failing, or says
nothing, is left alone for a while, so that callers hear at once that it is down. A request goes on
when its caller waits no longer: services load a model for the first one, and begin anew each time
that one is given up. No error ever holds a text or the key.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import httpx
import numpy as np

from memorybank.embedders.apis import EmbeddingApi, tells_of_a_fault
from memorybank.embedders.breaker import CircuitBreaker, backoff
from memorybank.errors import ConfigurationError, EmbedderUnavailable, TextRefused
from memorybank.ports import Vector

_logger = logging.getLogger(__name__)

_TEXTS_PER_REQUEST = 32
_REQUESTS_AT_ONCE = 4
"""Services queue for themselves; more would only wait there."""

_CAPACITY = 512
"""Calls that may wait, as for the built-in embedder."""

SILENT = "does not answer in time"
_HARMLESS = "dimensions"
"""A text that every model takes."""

_LONGEST_RETRY_AFTER = 5.0
_TRANSIENT = frozenset({408, 425, 429, 500, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, and how often to try."""

    timeout_seconds: float
    retries: int
    breaker_failures: int
    breaker_seconds: float
    caller_seconds: float = 5.0
    """See Embedder.patience. Services embed a question within a tenth of a second, and are slower
    while they get many texts. The operator's probe waits twice, and has 20 seconds.
    """


class _Refused(Exception):
    """The service works, and will not embed these texts."""


class _Failed(Exception):
    """No use to try again at once; `str` says why."""


class _Transient(Exception):
    """The next try may succeed."""

    def __init__(self, why: str, after: float | None = None) -> None:
        super().__init__(why)
        self.after = after


class _BrokeDown(_Transient):
    """Something ended within the service: by itself, or by what it was asked."""


class RemoteEmbedder:
    """Asks a service for vectors, and scales them to length 1."""

    def __init__(
        self,
        api: EmbeddingApi,
        *,
        url: str,
        patience: Patience,
        key: str | None = None,
        dimensions: int | None = None,
        dice: random.Random | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Make no contact yet; without `dimensions`, call `discover` before anything else."""
        self._api = api
        self._url = url.rstrip("/")
        self._patience = patience
        self._dimensions = dimensions
        self._dice = dice or random.Random()  # noqa: S311  # spreads retries, keeps no secret
        self._breaker = CircuitBreaker(
            failures=patience.breaker_failures, seconds=patience.breaker_seconds, clock=clock
        )
        self._trouble = ""
        """Why the service was asked in vain last: said also while it is left alone."""
        self._slots = asyncio.Semaphore(_REQUESTS_AT_ONCE)
        self._waiting = 0
        self._asked: set[asyncio.Task[Vector]] = set()
        self._client = httpx.AsyncClient(
            timeout=patience.timeout_seconds,
        )
        self.use_key(key)

    @property
    def model(self) -> str:
        """See Embedder."""
        return self._api.space

    @property
    def dimensions(self) -> int:
        """See Embedder."""
        assert self._dimensions is not None  # noqa: S101  # see __init__
        return self._dimensions

    @property
    def patience(self) -> float:
        """See Embedder."""
        return self._patience.caller_seconds

    def use_key(self, key: str | None) -> None:
        """Send this key from the next request on."""
        self._client.headers.pop("Authorization", None)
        if key is not None:
            self._client.headers["Authorization"] = f"Bearer {key}"

    def assume(self, dimensions: int) -> None:
        """Set the dimensions, where it is known what the model answered before."""
        self._dimensions = dimensions

    async def discover(self, known: int | None) -> None:
        """Find out the dimensions, unless configured: from the store, else from the service.

        Raises ConfigurationError when neither tells.
        """
        if self._dimensions is None:
            self._dimensions = known
        if self._dimensions is not None:
            return
        try:
            [vector] = await self._vectors([_HARMLESS])
        except EmbedderUnavailable as error:
            raise ConfigurationError(
                f"the dimensions of the embedding model cannot be found out: {error.message}",
                field="embedding.dimensions",
                hint="set it, or see that the embedding service answers at the first start",
            ) from error
        self._dimensions = len(vector)

    async def embed(self, texts: Sequence[str]) -> Vector:
        """See Embedder."""
        vectors = np.empty((len(texts), self.dimensions), dtype=np.float32)
        for start in range(0, len(texts), _TEXTS_PER_REQUEST):
            part = texts[start : start + _TEXTS_PER_REQUEST]
            answered = await self._vectors(part)
            if answered.shape[1] != self.dimensions:
                raise EmbedderUnavailable(
                    f"the embedding service answers vectors of {answered.shape[1]} dimensions"
                    f" instead of {self.dimensions}",
                    hint="correct embedding.dimensions, or name the model that it really runs",
                )
            vectors[start : start + len(part)] = answered
        return vectors

    async def close(self) -> None:
        """See Embedder. What was asked and is not answered yet is given up."""
        for each in self._asked:
            each.cancel()
        await asyncio.gather(*self._asked, return_exceptions=True)
        await self._client.aclose()

    async def _vectors(self, texts: Sequence[str]) -> Vector:
        place = await self._place()
        asked = asyncio.create_task(self._guarded(texts, place))
        self._asked.add(asked)
        asked.add_done_callback(self._asked.discard)
        asked.add_done_callback(_look_at)
        return await asyncio.shield(asked)

    async def _place(self) -> ExitStack:
        """Wait for a place among those who ask, unless the service is being left alone; return what
        gives it up.
        """
        if self._waiting >= _CAPACITY:
            raise EmbedderUnavailable(
                "too many texts wait to be embedded", hint="try again in a few seconds"
            )
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        place = ExitStack()
        place.callback(self._slots.release)
        if wait := self._breaker.wait():
            place.close()
            raise EmbedderUnavailable(
                f"the embedding service {self._trouble}",
                hint=f"it is asked again in {wait:.0f} seconds",
            )
        return place

    async def _guarded(self, texts: Sequence[str], place: ExitStack) -> Vector:
        """Ask; tell the breaker how it went."""
        late = asyncio.get_running_loop().call_later(self.patience, self._is_late, place)
        with place:
            try:
                return await self._told(texts)
            finally:
                late.cancel()

    def _is_late(self, place: ExitStack) -> None:
        # Callers wait no longer. Whoever tries the service again needs the place before this
        # request ends, which may take many times as long.
        place.close()
        self._trouble = SILENT
        self._breaker.failed()

    async def _told(self, texts: Sequence[str]) -> Vector:
        try:
            vectors = await self._persistently(texts)
        except _Refused as error:
            self._breaker.succeeded()
            raise TextRefused(str(error)) from None
        except (_Failed, _Transient) as error:
            self._breaker.failed()
            self._trouble = str(error)
            raise EmbedderUnavailable(f"the embedding service {self._trouble}") from None
        except BaseException:
            self._breaker.abandoned()
            raise
        self._breaker.succeeded()
        return vectors

    async def _persistently(self, texts: Sequence[str]) -> Vector:
        for attempt in range(self._patience.retries):
            try:
                return await self._once(texts)
            except _Transient as error:
                pause = backoff(attempt, dice=self._dice) if error.after is None else error.after
                _logger.debug("the embedding service %s; again in %.2f s", error, pause)
                await asyncio.sleep(pause)
        try:
            return await self._once(texts)
        except _BrokeDown:
            # Some texts end a runner each time. One of them must not count as an outage, which
            # everything else would wait for, for ever.
            await self._once([_HARMLESS])
            raise _Refused("the embedding service breaks down over a text") from None

    async def _once(self, texts: Sequence[str]) -> Vector:
        try:
            answer = await self._client.post(
                f"{self._url}/{self._api.path}", json=self._api.request(texts)
            )
        except httpx.TimeoutException:
            raise _Transient(SILENT) from None
        except httpx.TransportError as error:
            raise _Transient(f"cannot be reached ({type(error).__name__})") from None
        except AttributeError:  # anyio 4 on uvloop, of a connection that was lost as it was made
            raise _Transient("cannot be reached (the connection was lost at once)") from None
        if answer.status_code in _TRANSIENT:
            raise _Transient(f"answered {answer.status_code}", _retry_after(answer))
        if answer.status_code != 200:
            raise await self._refusal(answer)
        return self._read(answer.content, len(texts))

    def _read(self, content: bytes, count: int) -> Vector:
        try:
            vectors = np.array(self._api.vectors(content), dtype=np.float32)
        except ValueError:
            raise _Failed("answered something else than vectors") from None
        if vectors.ndim != 2 or len(vectors) != count or not np.isfinite(vectors).all():
            raise _Failed("answered other vectors than were asked for")
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        if not lengths.all():
            raise _Failed("answered a vector of length 0")
        unit: Vector = vectors / lengths
        return unit

    async def _refusal(self, answer: httpx.Response) -> Exception:
        status = answer.status_code
        if status == 400 and self._is_at_fault(answer.content):
            return _BrokeDown(f"broke down (status {status})")
        if status in (400, 413, 422):
            return _Refused(f"the embedding service refuses a text (status {status})")
        if status in (401, 403):
            return _Failed(f"does not accept the key (status {status})")
        if status == 404 and await self._model_is_missing():
            return _Failed(f"does not have the model: {self._api.missing_model}")
        return _Failed(f"answered {status} at /{self._api.path}: is its URL right?")

    def _is_at_fault(self, content: bytes) -> bool:
        try:
            return tells_of_a_fault(self._api.complaint(content))
        except ValueError:
            return False

    async def _model_is_missing(self) -> bool:
        """Tell a model that is not there from a URL that is wrong."""
        try:
            answer = await self._client.get(f"{self._url}/{self._api.models}")
            return answer.status_code == 200 and not self._api.lists_model(answer.content)
        except (httpx.TransportError, ValueError):
            return False


def _look_at(asked: asyncio.Task[Vector]) -> None:
    """Have nobody complain about an error that no caller waits for any longer."""
    if not asked.cancelled():
        asked.exception()


def _retry_after(answer: httpx.Response) -> float | None:
    """Return the seconds that the service asks for, cut to what a caller can wait."""
    value = answer.headers.get("retry-after", "")
    return min(float(value), _LONGEST_RETRY_AFTER) if value.isdecimal() else None
