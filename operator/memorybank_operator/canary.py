"""The functional probe: a memory stored, found by other words and deleted, through the bank's
Service.

It says whether the bank does its job, and for which pods and revision that is known. Probes run
on their own workers, so that a bank that hangs keeps no reconcile waiting, and their results live
in memory only: after a restart they are made anew, without a write to the API server.
"""

from __future__ import annotations

import asyncio
import os
import random
import secrets
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from json import loads
from typing import Any, NamedTuple

import aiohttp

from memorybank_operator.configfiles.in_effect import Configuration
from memorybank_operator.engine.cache import BankKey
from memorybank_operator.engine.queue import KeyedQueue, Priority
from memorybank_operator.engine.workers import Outcome, Workers
from memorybank_operator.metrics import Metrics
from memorybank_operator.reconcile.observed import CanaryResult

PROJECT = "memorybank-canary"
"""What the probe stores is kept apart from everybody's memories by this project; what is deleted in
it leaves no trash behind, even if no purge is asked for."""
CONTENT = "The lighthouse keeper wrote down that the northern harbour crane was repaired: {nonce}"
QUERY = "Who noted that somebody mended the crane at the port?"
CONNECT_SECONDS = 3.0
REQUEST_SECONDS = 10.0
PROBE_SECONDS = 20.0
FIRST_SECONDS = 2 * PROBE_SECONDS
"""A first probe may be repeated for so long until it says something. How long it waited for those
of other banks, at the start, does not count.
"""
MAX_LEFTOVERS = 100
MAX_MESSAGE = 300
SETTLE_SECONDS = 5.0
SETTLE_INTERVAL = 0.25
"""A pod is ready before every node's Service rules lead to it, and to none of the revision before:
until then nobody is at fault."""
REPEATED_PER_SECOND = 1.0
"""Probes of banks that passed before, of all banks together: one takes about 10 ms of CPU time, and
a crowd of banks that are well must not cost more than a hundredth of a core. A pod that restarts,
is replaced or unready is seen by the watches, and proven at once whatever the crowd.
"""
_BROUGHT = "The kubelet brings it within a minute and a half, without a restart."
PENDING_INTERVAL = 3.0
PENDING_PER_SECOND = 10.0
"""How often to ask while the pod has still to read what changed, which takes kubelets up to a
minute and a half; and how often to ask all such pods together, when a whole fleet has. Services
make an address wait that sends 30 unknown keys in a minute, as a new one is to a pod until then.
"""
UNAUTHORIZED, NOT_FOUND, TOO_MANY = 401, 404, 429
TRUSTED_INTERVALS = 3
"""A result older than this many intervals proves nothing any more."""


class CanaryFailed(Exception):
    """The bank did not do its job; the message says what it answered instead."""

    said: Proof | None = None
    """What the bank said about itself before it failed."""


class KeysUnknown(CanaryFailed):
    """The bank is of a version that takes no keys from outside."""


class Refused(CanaryFailed):
    """It answered with a status that means no."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class NotYetInEffect(CanaryFailed):
    """The pod has still to read the configuration that is wanted."""


class NotAdmitted(NotYetInEffect):
    """The pod was asked too often to say."""


class TakesNoChanges(CanaryFailed):
    """This version of the service takes no changes while it runs, and cannot tell what it has."""


class Unreachable(CanaryFailed):
    """No connection to the bank came about."""


class AnotherAnswers(CanaryFailed):
    """The Service leads to a pod of another revision."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a probe is to prove."""

    url: str
    """The bank's URL by its Service's name."""
    connect_to: str
    """Base URL to connect to: the same, or one with the Service's cluster IP."""
    key: str = field(repr=False)
    """The admin key."""
    generation: int
    revision: str
    configuration: Configuration
    """What the pod is to run by."""
    serving: str
    resync: str = ""
    """The re-sync that asks for this probe; another text makes another target."""
    reads_only: bool = False
    """Whether the bank follows another one, and takes no writes."""


@dataclass(frozen=True, slots=True)
class Door:
    """Where a bank is told of its keys."""

    url: str
    """The bank's URL by its Service's name."""
    connect_to: str
    """Base URL to connect to: the same, or one with the Service's cluster IP."""
    key: str = field(repr=False)
    """The admin key."""
    serving: str
    """Who serves there now; others may serve another database."""


class Proof(NamedTuple):
    """What a bank said about itself when it passed."""

    version: str
    schema_version: int = 0
    """0 from services that do not tell."""
    way_back: int = 0
    """As in CanaryResult."""
    takes_changes: bool = True
    """Whether the service takes changed settings and Secrets while it runs."""
    degraded: tuple[tuple[str, str], ...] = ()
    """As in CanaryResult."""


class Prober:
    """Makes one probe at a time, on a connection of its own: an old one may lead to a pod of
    yesterday, and several might lead to different pods, of which only one said its revision.
    """

    async def probe(self, target: Target) -> Proof:
        """Prove the target; return what it says about itself. Raises CanaryFailed."""
        async with _session(target.url, target.connect_to, target.key) as session:
            proof = await _check_ready(session, target.revision)
            return await _check_work(session, target, proof)

    async def set_keys(
        self, door: Door, keys: Sequence[Mapping[str, Any]]
    ) -> Sequence[Mapping[str, Any]]:
        """Have the bank take these keys and no other managed ones; return its answer to each.

        Raises CanaryFailed when it does not.
        """
        async with _session(door.url, door.connect_to, door.key) as session:
            body = {"keys": list(keys)}
            answer = await _call(
                session, "PUT", "/v1/admin/keys/managed", expect=(200, 404, 405), json=body
            )
            if "keys" not in answer:
                raise KeysUnknown("the bank's version takes no such keys: use a newer image")
            answers: list[Mapping[str, Any]] = answer["keys"]
            if len(answers) != len(keys):
                raise CanaryFailed(f"{door.url} answered for other keys than it was told of")
            return answers


@asynccontextmanager
async def _session(url: str, connect_to: str, key: str) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a session with a bank; what goes wrong within becomes CanaryFailed."""
    timeout = aiohttp.ClientTimeout(total=REQUEST_SECONDS, sock_connect=CONNECT_SECONDS)
    headers = {"Authorization": f"Bearer {key}", "Host": url.removeprefix("http://")}
    try:
        async with (
            asyncio.timeout(PROBE_SECONDS),
            aiohttp.ClientSession(
                connect_to,
                connector=aiohttp.TCPConnector(limit=1, use_dns_cache=False),
                timeout=timeout,
                headers=headers,
            ) as session,
        ):
            yield session
    except aiohttp.ConnectionTimeoutError:
        # What was sent before the Service's rules were there is not led by them later either.
        raise Unreachable(f"{url} cannot be reached: no answer in time") from None
    except TimeoutError:
        raise CanaryFailed(f"{url} did not answer in time") from None
    except aiohttp.ClientConnectorDNSError:
        raise CanaryFailed(f"the name in {url} is not known to the DNS") from None
    except aiohttp.ClientConnectorError as error:
        raise Unreachable(f"{url} cannot be reached: {_plain(error)}") from error
    except (aiohttp.ClientError, OSError) as error:
        raise CanaryFailed(f"{url} cannot be reached: {_plain(error)}") from error
    except (KeyError, TypeError) as error:
        raise CanaryFailed(f"{url} gave an answer without {error}") from error


async def _check_ready(session: aiohttp.ClientSession, revision: str) -> Proof:
    answer = await _call(session, "GET", "/ready", expect=(200, 503))
    failing = [each for each in answer.get("checks") or () if each.get("status") != "ok"]
    schema_version, way_back = answer.get("schema_version"), answer.get("way_back")
    proof = Proof(
        str(answer.get("version") or ""),
        schema_version if isinstance(schema_version, int) else 0,
        way_back if isinstance(way_back, int) else 0,
        degraded=tuple(
            (str(each.get("name")), str(each.get("message"))[:MAX_MESSAGE])
            for each in failing
            if each.get("status") == "degraded"
        ),
    )
    is_ready = answer.get("status") == "ready"
    said = answer.get("revision", None if is_ready else revision)
    if said != revision:
        raise AnotherAnswers(f"a pod of revision {said!r} answers, {revision!r} is wanted")
    if not is_ready:
        reasons = [
            f"{each.get('name')}: {each.get('message') or each.get('status')}" for each in failing
        ]
        failure = CanaryFailed(
            f"the service is not ready: {'; '.join(reasons) or 'no reason given'}"
        )
        failure.said = proof
        raise failure
    return proof


async def _check_work(session: aiohttp.ClientSession, target: Target, proof: Proof) -> Proof:
    try:
        takes_changes = await _check_configuration(session, target.configuration)
        if target.reads_only:
            await _call(session, "POST", "/v1/search", expect=(200,), json={"query": QUERY})
        else:
            await _check_memory(session)
    except CanaryFailed as failure:
        failure.said = proof
        raise
    return proof._replace(takes_changes=takes_changes)


async def _check_configuration(session: aiohttp.ClientSession, wanted: Configuration) -> bool:
    """Return whether the service takes changes while it runs. A pod reads what changed when the
    kubelet has brought it: until then nobody is at fault.
    """
    try:
        answer = await _call(session, "GET", "/v1/admin/configuration", expect=(200,))
    except Refused as error:
        if error.status == UNAUTHORIZED and not wanted.by_revision:
            raise NotYetInEffect(f"the pod does not know the admin key yet. {_BROUGHT}") from None
        if error.status == TOO_MANY:
            raise NotAdmitted(
                f"which configuration the pod runs by is not known: {error}"
            ) from None
        if error.status != NOT_FOUND:
            raise
        if wanted.by_revision:
            return False
        raise TakesNoChanges(
            "this version of the service takes no changed settings and Secrets while it runs: its "
            "pod is replaced for each of them, now once for those that it has"
        ) from None
    if not wanted.by_revision:
        _compare(answer, wanted)
    return True


def _compare(answer: Mapping[str, Any], wanted: Configuration) -> None:
    waiting = [name for name, value in wanted.secrets if answer["secrets"].get(name) != value]
    if answer["file"] != wanted.file:
        waiting.append("config.yaml")
    if waiting:
        shown = f"the pod does not run by the newest {', '.join(waiting)} yet"
        problem = answer["problem"]
        raise NotYetInEffect(
            f"{shown}: {problem}"[:MAX_MESSAGE] if problem else f"{shown}. {_BROUGHT}"
        )
    if answer["needs_restart"]:
        raise CanaryFailed(
            f"the pod runs by other values of {', '.join(answer['needs_restart'])}: restart it by "
            "spec.restart"
        )


async def _check_memory(session: aiohttp.ClientSession) -> None:
    # What an earlier probe left that was killed or failed between its steps goes first.
    query = f"/v1/memories?project={PROJECT}&limit={MAX_LEFTOVERS}"
    listed = await _call(session, "GET", query, expect=(200,))
    for memory in listed["memories"]:
        await _delete(session, memory["id"])
    content = CONTENT.format(nonce=secrets.token_hex(8))
    body = {"content": content, "project": PROJECT}
    stored = await _call(session, "POST", "/v1/memories", expect=(201,), json=body)
    question = {"query": QUERY, "project": PROJECT, "limit": 5}
    found = await _call(session, "POST", "/v1/search", expect=(200,), json=question)
    if stored["id"] not in [result["memory"]["id"] for result in found["results"]]:
        raise CanaryFailed("a memory was stored, but the search for it did not find it")
    await _delete(session, stored["id"])


async def _delete(session: aiohttp.ClientSession, memory: str) -> None:
    # Services of the first version delete for good anyway, and pass the parameter over.
    path = "/v1/memories/{id}?purge=true"
    await _call(session, "DELETE", path, expect=(200, 204, 404), memory=memory)


async def _call(
    session: aiohttp.ClientSession,
    method: str,
    path: str,
    *,
    expect: tuple[int, ...],
    json: Mapping[str, Any] | None = None,
    memory: str = "",
) -> dict[str, Any]:
    async with session.request(method, path.format(id=memory), json=json) as response:
        content = await response.read()
    try:
        answer: Any = loads(content or b"{}")
    except ValueError:
        answer = None
    if response.status not in expect:
        message = _refusal(f"{method} {path.partition('?')[0]}", response.status, answer)
        raise Refused(message, response.status)
    if not isinstance(answer, dict):
        raise CanaryFailed(f"{method} {path.partition('?')[0]} answered something else than JSON")
    return answer


def _refusal(call: str, status: int, answer: Any) -> str:
    error = answer.get("error") if isinstance(answer, dict) else None
    message = error.get("message", "") if isinstance(error, dict) else ""
    return f"{call} answered {status}{f': {message}' if message else ''}"[:MAX_MESSAGE]


def _plain(error: Exception) -> str:
    """Say what the network said, without addresses and ports that differ each time."""
    number = getattr(getattr(error, "os_error", error), "errno", None)
    return os.strerror(number) if number else type(error).__name__


class Canaries:
    """Probes each bank it was told about, again and again; knows the last result of each."""

    def __init__(
        self,
        prober: Prober,
        *,
        interval: float,
        clock: Callable[[], float],
        metrics: Metrics,
        changed: Callable[[BankKey], None],
        count: int,
        repeated_per_second: float = REPEATED_PER_SECOND,
    ) -> None:
        """`changed` is told the banks whose result is another one now."""
        self._prober = prober
        self._interval = interval
        self._repeated_per_second = repeated_per_second
        self._clock = clock
        self._metrics = metrics
        self._changed = changed
        self._targets: dict[BankKey, Target] = {}
        self._results: dict[BankKey, CanaryResult] = {}
        self._since: dict[BankKey, float] = {}
        self._pending: set[BankKey] = set()
        """Banks whose pod has still to read what changed."""
        self._aimed: dict[BankKey, float] = {}
        """When the present target of each bank was given, until the bank is reached."""
        queue: KeyedQueue[BankKey] = KeyedQueue(clock, backoff_max=interval)
        self.workers = Workers(queue, self._check, count=count, name="canary")

    def watch(self, bank: BankKey, target: Target) -> None:
        """Probe this target from now on, at once if it is another one than before."""
        if self._targets.get(bank) != target:
            self._targets[bank] = target
            self._aimed[bank] = self._clock()
            self.workers.add(bank, Priority.USER)

    def forget(self, bank: BankKey) -> None:
        """Stop probing a bank: it is not rolled out, or gone."""
        self._targets.pop(bank, None)
        self._results.pop(bank, None)
        self._since.pop(bank, None)
        self._aimed.pop(bank, None)
        self._pending.discard(bank)

    def result(self, bank: BankKey) -> CanaryResult | None:
        """Return the last result, None when there is none or it is too old to prove anything."""
        result = self._results.get(bank)
        oldest = timedelta(seconds=TRUSTED_INTERVALS * self._pause() + PROBE_SECONDS)
        if result is None or datetime.now(UTC) - result.checked_at > oldest:
            return None
        return result

    def awaits_first(self, bank: BankKey) -> bool:
        """Whether this bank's first probe is still to be heard of, and may still be."""
        if bank not in self._targets or bank in self._results:
            return False
        since = self._since.get(bank)
        return since is None or self._clock() - since < FIRST_SECONDS

    async def _check(self, bank: BankKey) -> Outcome:
        target = self._targets.get(bank)
        if target is None:
            return Outcome()
        started = self._clock()
        self._since.setdefault(bank, started)
        result = CanaryResult(
            ok=False,
            generation=target.generation,
            revision=target.revision,
            configuration=target.configuration.fingerprint,
            serving=target.serving,
            resync=target.resync,
            checked_at=datetime.now(UTC),
        )
        failure = None
        try:
            proof = await self._prober.probe(target)
            result = replace(
                result,
                ok=True,
                version=proof.version,
                schema_version=proof.schema_version,
                way_back=proof.way_back,
                takes_changes=proof.takes_changes,
                degraded=proof.degraded,
            )
        except CanaryFailed as error:
            failure, told = error, error.said
            result = replace(
                result,
                message=str(error),
                schema_version=told.schema_version if told else 0,
                way_back=told.way_back if told else 0,
                degraded=told.degraded if told else (),
                pending=isinstance(error, NotYetInEffect | TakesNoChanges),
                takes_changes=False if isinstance(error, TakesNoChanges) else None,
            )
        if self._targets.get(bank) != target:
            return Outcome()  # whoever changed the target has asked for another probe
        if isinstance(failure, Unreachable | AnotherAnswers) and self._is_settling(bank):
            return Outcome(again_after=SETTLE_INTERVAL)
        self._aimed.pop(bank, None)
        if result.ok:
            self._metrics.canary_seconds.observe(self._clock() - started)
        said = "passed" if result.ok else "pending" if result.pending else "failed"
        self._metrics.canaries.labels(said).inc()
        before = self._results.get(bank)
        self._results[bank] = result
        if before is None or replace(before, checked_at=result.checked_at) != result:
            self._changed(bank)
        if isinstance(failure, NotYetInEffect) and not isinstance(failure, NotAdmitted):
            self._pending.add(bank)
            crowd = len(self._pending) / PENDING_PER_SECOND
            return Outcome(again_after=max(min(PENDING_INTERVAL, self._interval), crowd))
        self._pending.discard(bank)
        # Spread, so that banks proven together are not probed together for ever.
        pause = self._pause() * random.uniform(0.9, 1.0)  # noqa: S311 - no secret
        return Outcome(again_after=pause, failed=not result.ok)

    def _pause(self) -> float:
        """Return the seconds between two probes of a bank that is well."""
        return max(self._interval, len(self._targets) / self._repeated_per_second)

    def _is_settling(self, bank: BankKey) -> bool:
        aimed = self._aimed.get(bank)
        return aimed is not None and self._clock() - aimed < SETTLE_SECONDS
