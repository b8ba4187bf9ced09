"""Keeps the keys of each bank as its MemoryBankKeys say: a Secret per key, and in the bank exactly
these keys.

Nothing is remembered about what was done before but to save requests: the bank is sent the digests
of all its keys whenever they, or who serves, are others than last time, and once in a while. So
what was deleted while no operator ran, or what a restored database does not know, is set right.

A key is rotated in three steps, and each may be the last one before a crash:

1. The bank is told of a new key beside the present ones. Nobody has it yet; if it stays so, the
   next list lacks it, and it is refused.
2. The new key is written into the Secret, with the digest and the end of the former one, at once.
   Whoever reads it finds it open.
3. The bank is told that end, and keeps to it by itself.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from memorybank_operator import constants, logs
from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.memorybankkey import MemoryBankKey
from memorybank_operator.canary import CanaryFailed, Door, KeysUnknown, Prober
from memorybank_operator.engine.cache import BankKey, Cache
from memorybank_operator.engine.workers import Outcome
from memorybank_operator.errors import InvalidSpec
from memorybank_operator.events import Events
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.metrics import Metrics
from memorybank_operator.reconcile.delivery import Delivery, deliver, digest_of, rotation
from memorybank_operator.reconcile.entries import read_entry
from memorybank_operator.reconcile.execute import Executor, ObservationOutdated
from memorybank_operator.reconcile.keys import SYNTAX
from memorybank_operator.reconcile.memorybank import new_key
from memorybank_operator.reconcile.observe import bank_pods
from memorybank_operator.reconcile.observed import KubeObject
from memorybank_operator.reconcile.proof import Connect, door
from memorybank_operator.reconcile.rotation import next_moment, still_valid
from memorybank_operator.reconcile.steps import Problem
from memorybank_operator.reconcile.telling import Teller
from memorybank_operator.resources.key_record import KeyRecord, read_record
from memorybank_operator.resources.key_secret import TOKEN
from memorybank_operator.status.key import invalid_key_status, key_status, notes

RESEND_SECONDS = 60.0
"""A bank whose database was restored under a running pod learns its keys within this time."""
AGAIN_SECONDS = 0.05
"""After somebody else was faster with a Secret: it is read anew."""
LATE_SECONDS = 0.01
"""A look at a moment comes this much after it, so that it is over by then."""

_REFUSALS = {
    "role_not_found": "spec.role: the bank has no role of this name: use admin, developer or "
    "readonly, or add it to the bank's spec.auth.roles",
    "tenant_not_found": "spec.tenant: the bank has no tenant of this name: make it by "
    "POST /v1/admin/tenants, or name another one",
    "key_taken": "the bank knows this key already and did not get it from here: delete the Secret, "
    "so that a new key is made",
}

logger = logging.getLogger(__name__)

Said = dict[str, Any]
"""What the bank is told about one key; never the key."""


def utc_now() -> datetime:
    """Return the time, with its zone."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class _Unread:
    """A MemoryBankKey that cannot be read; what its Secret says holds on."""

    body: KubeObject
    error: InvalidSpec
    token: str | None = field(default=None, repr=False)
    record: KeyRecord | None = None

    @property
    def said(self) -> Iterator[Said]:
        """What the bank is told."""
        if self.token is not None and self.record is not None:
            yield from _say_of(self.body, self.record, [digest_of(self.token)])


@dataclass(frozen=True, slots=True)
class _Held:
    """One MemoryBankKey in work."""

    key: MemoryBankKey
    body: KubeObject
    delivery: Delivery
    candidate: str | None = field(default=None, repr=False)
    """A key that may take the place of the present one; in no Secret yet."""
    refused: bool = False
    """Whether the cluster refused the Secret."""

    @property
    def digest(self) -> str:
        """Of the key in the Secret."""
        return digest_of(self.delivery.token or "")

    @property
    def said(self) -> Iterator[Said]:
        """What the bank is told: the key in the Secret, the one to come, those that go."""
        record = self.delivery.record
        if record is not None:
            to_come = [digest_of(self.candidate)] if self.candidate else []
            yield from _say_of(self.body, record, [self.digest, *to_come])


def _say_of(body: KubeObject, record: KeyRecord, present: Iterable[str]) -> Iterator[Said]:
    """Yield what the bank is told of the keys of these digests, and of those before them."""
    name = body["metadata"]["name"][:200]
    ends: dict[str, datetime | None] = {each.digest: each.until for each in record.former}
    ends |= dict.fromkeys(present, record.expires_at)
    for digest, end in ends.items():
        expiry = {"expires_at": end.isoformat()} if end is not None else {}
        yield {
            "digest": digest, "name": name, "role": record.role, "tenant": record.tenant, **expiry
        }  # fmt: skip


@dataclass(slots=True)
class _Sent:
    """What a bank was told last and answered."""

    what: object
    at: float
    answers: Sequence[Mapping[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Told:
    """What came of telling a bank its keys."""

    problem: Problem | None = None
    failed: bool = False
    answers: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """By digest."""

    def key_id(self, digest: str) -> str:
        """Return the id of a key, empty when the bank did not take it."""
        return str(self.answers.get(digest, {}).get("id") or "")


class Keyring:
    """Works on the keys of one bank at a time."""

    def __init__(
        self,
        cache: Cache,
        client: KubeClient,
        prober: Prober,
        *,
        events: Events,
        metrics: Metrics,
        connect: Connect,
        clock: Callable[[], float],
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        """`clock` tells seconds that pass, `now` the time of day, which keys end by."""
        self._cache = cache
        self._client = client
        self._executor = Executor(cache, client)
        self._prober = prober
        self._teller = Teller(cache, client, events, notes)
        self._metrics = metrics
        self._connect = connect
        self._clock = clock
        self._now = now
        self._sent: dict[BankKey, _Sent] = {}
        self._doubtful: set[BankKey] = set()
        """Banks where a write may have been done though nobody said so: Secrets are read anew."""

    async def __call__(self, bank: BankKey) -> Outcome:
        """Deliver the keys of a bank, have the bank take them and no others, and say so."""
        with logs.about(bank):
            try:
                outcome = await self._keep(bank)
            except ObservationOutdated as error:
                logger.info("looking again: %s", error)
                return Outcome(again_after=AGAIN_SECONDS)
            except errors.KubeError as error:
                logger.warning("%s", error)
                self._doubtful.add(bank)
                wait = error.retry_after if isinstance(error, errors.Transient) else None
                return Outcome(failed=True, at_least=wait or 0.0)
            self._doubtful.discard(bank)
            return outcome

    async def _keep(self, bank: BankKey) -> Outcome:
        present = [
            body
            for body in self._cache.belongings(bank, {constants.KEY_KIND}).values()
            if not body["metadata"].get("deletionTimestamp")
        ]
        held, unread = [], []
        for body in present:
            try:
                key = MemoryBankKey.parse(body)
            except InvalidSpec as error:
                unread.append(self._unread(bank, body, error))
            else:
                held.append(await self._deliver(bank, key, body))
        ends = {each.key.name: each.key.spec.expires_at for each in held}
        self._metrics.keys_end(bank, {name: end for name, end in ends.items() if end is not None})
        told = await self._tell(bank, [*held, *unread])
        rotated = [await self._rotate(each, told) for each in held]
        if rotated != held:
            held = rotated
            told = await self._tell(bank, [*held, *unread])
        for each in held:
            await self._report(each, told)
        for broken in unread:
            status = invalid_key_status(broken.body, broken.error, now=self._now())
            await self._teller.say(broken.body, status)
        if told.failed or any(each.refused for each in held):
            return Outcome(failed=True)
        if not present:
            return Outcome()
        return Outcome(again_after=self._look_again_in(held))

    def _unread(self, bank: BankKey, body: KubeObject, error: InvalidSpec) -> _Unread:
        """Return what the Secret of a key says whose spec cannot be read."""
        logger.warning("MemoryBankKey %s: %s", body["metadata"]["name"], error)
        for secret in self._cache.belongings(bank, {kinds.SECRET.kind}).values():
            owners = secret["metadata"].get("ownerReferences") or ()
            if body["metadata"]["uid"] in [each["uid"] for each in owners]:
                token, record = read_entry(secret, TOKEN), read_record(secret)
                if token and SYNTAX.fullmatch(token) and record is not None:
                    return _Unread(body, error, token, still_valid(record, self._now()))
        return _Unread(body, error)

    async def _deliver(self, bank: BankKey, key: MemoryBankKey, body: KubeObject) -> _Held:
        """Have a Secret for a key. One that is refused keeps no other key from the bank."""
        delivery = deliver(key, await self._secret(bank, key), new_key, self._now())
        if delivery.step is not None:
            try:
                await self._executor.execute(delivery.step, namespace=bank.namespace)
            except (errors.Forbidden, errors.Invalid) as error:
                problem = Problem(error.reason, str(error))
                return _Held(key, body, replace(delivery, problem=problem), refused=True)
            delivery = deliver(key, await self._secret(bank, key), new_key, self._now())
        return _Held(key, body, delivery, new_key() if delivery.rotates else None)

    async def _secret(self, bank: BankKey, key: MemoryBankKey) -> KubeObject | None:
        known = self._cache.belongings(bank, {kinds.SECRET.kind})
        for child, body in known.items():
            if child.name == key.secret and bank not in self._doubtful:
                return body
        return await self._client.get(kinds.SECRET, bank.namespace, key.secret)

    async def _rotate(self, held: _Held, told: _Told) -> _Held:
        """Put the key to come into the Secret, if there is one and the bank takes it. When the
        cluster refuses that, the bank hears of it no more, and the present key stays.
        """
        if held.candidate is None or not told.key_id(digest_of(held.candidate)):
            return held
        key, key_id = held.key, told.key_id(held.digest)
        step = rotation(key, held.delivery, held.candidate, key_id=key_id, now=self._now())
        try:
            await self._executor.execute(step, namespace=key.namespace)
        except (errors.Forbidden, errors.Invalid) as error:
            problem = Problem(error.reason, str(error))
            delivery = replace(held.delivery, problem=problem)
            return replace(held, delivery=delivery, candidate=None, refused=True)
        bank = BankKey(key.namespace, key.spec.bank_ref.name)
        delivery = deliver(key, await self._secret(bank, key), new_key, self._now())
        return replace(held, delivery=delivery, candidate=None)

    async def _tell(self, bank: BankKey, held: Iterable[_Held | _Unread]) -> _Told:
        """Tell the bank its keys, unless it knows."""
        where, problem = self._door(bank)
        if where is None:
            self._sent.pop(bank, None)
            return _Told(problem)
        by_digest = {said["digest"]: said for each in held for said in each.said}
        listed = list(by_digest.values())
        what = (where.serving, where.key, listed)
        sent = self._sent.get(bank)
        if sent is None or sent.what != what or self._clock() - sent.at >= RESEND_SECONDS:
            try:
                answers = await self._prober.set_keys(where, listed)
            except KeysUnknown as error:  # so it has none to revoke either
                answers = [{"problem": str(error)} for _ in listed]
            except CanaryFailed as error:
                return _Told(Problem(Reason.BANK_UNAVAILABLE, str(error)), failed=True)
            sent = self._sent[bank] = _Sent(what, self._clock(), answers)
        return _Told(answers=dict(zip(by_digest, sent.answers, strict=True)))

    def _door(self, bank: BankKey) -> tuple[Door | None, Problem | None]:
        body = self._cache.bank(bank)
        if body is None or body["metadata"].get("deletionTimestamp"):
            return None, Problem(
                Reason.BANK_NOT_FOUND,
                f"spec.bankRef.name: there is no MemoryBank {bank.name} in namespace "
                f"{bank.namespace}: create it, and the key opens it",
            )
        unavailable = Problem(Reason.BANK_UNAVAILABLE, f"No pod of bank {bank.name} serves")
        try:
            parsed = MemoryBank.parse(body)
        except InvalidSpec:
            return None, unavailable
        if parsed.spec.followed is not None:
            message = (
                f"Bank {bank.name} follows another one, whose keys it takes: it takes this one "
                "when its spec.standby.enabled is false"
            )
            return None, Problem(Reason.BANK_UNAVAILABLE, message)
        children = self._cache.belongings(bank, {kinds.SECRET.kind, kinds.SERVICE.kind})
        pods = bank_pods(self._cache, bank)
        found = door(parsed, children, pods, connect=self._connect)
        return (found, None) if found is not None else (None, unavailable)

    def _look_again_in(self, held: Iterable[_Held]) -> float:
        """Return the seconds until there may be something to do though nothing changed."""
        now = self._now()
        moments = [
            next_moment(each.key, each.delivery.record, now)
            for each in held
            if each.delivery.record is not None
        ]
        waits = [(each - now).total_seconds() + LATE_SECONDS for each in moments if each]
        return min([RESEND_SECONDS, *waits])

    async def _report(self, held: _Held, told: _Told) -> None:
        key, delivery = held.key, held.delivery
        answer = told.answers.get(held.digest)
        found = delivery.problem or told.problem
        refusal = answer.get("problem") if answer is not None else None
        if found is None and refusal is not None:
            found = Problem(Reason.KEY_REFUSED, _REFUSALS.get(refusal, str(refusal)))
        if found is None and answer is None:
            found = Problem(Reason.PROGRESSING, "The key is being delivered")
        ready = key.status.condition("Ready")
        if (
            found is not None
            and found.reason == Reason.BANK_UNAVAILABLE
            and ready is not None
            and ready.status == "True"
            and ready.observed_generation == key.generation
        ):
            found = None  # the bank keeps the key while it restarts
        status = key_status(
            key,
            found,
            record=delivery.record,
            key_id=told.key_id(held.digest) or key.status.key_id,
            ids={digest: told.key_id(digest) for digest in told.answers},
            now=self._now(),
        )
        await self._teller.say(held.body, status)
