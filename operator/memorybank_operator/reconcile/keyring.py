"""Keeps the keys of each bank as its MemoryBankKeys say: a Secret per key, and in the bank exactly
these keys.

Nothing is remembered about what was done before but to save requests: the bank is sent the digests
of all its keys whenever they, or who serves, are others than last time, and once in a while. So
what was deleted while no operator ran, or what a restored database does not know, is set right.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import KubeClient, with_status
from memorybank_operator.reconcile.delivery import Delivery, deliver
from memorybank_operator.reconcile.execute import Executor, ObservationOutdated
from memorybank_operator.reconcile.memorybank import new_key
from memorybank_operator.reconcile.observed import KubeObject
from memorybank_operator.reconcile.proof import Connect, door
from memorybank_operator.reconcile.steps import Problem
from memorybank_operator.status.key import key_status

RESEND_SECONDS = 60.0
"""A bank whose database was restored under a running pod learns its keys within this time."""
AGAIN_SECONDS = 0.05
"""After a Secret was written: the rest follows as soon as it is read back."""

_REFUSALS = {
    "role_not_found": "spec.role: the bank has no role of this name: use admin, developer or "
    "readonly, or add it to the bank's spec.auth.roles",
    "tenant_not_found": "spec.tenant: the bank has no tenant of this name: make it by "
    "POST /v1/admin/tenants, or name another one",
    "key_taken": "the bank knows this key already and did not get it from here: delete the Secret, "
    "so that a new key is made",
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Held:
    """One MemoryBankKey in work."""

    key: MemoryBankKey
    body: KubeObject
    delivery: Delivery

    @property
    def said(self) -> dict[str, Any]:
        """What the bank is told; never the token."""
        spec = self.key.spec
        said: dict[str, Any] = {
            "digest": hashlib.sha256((self.delivery.token or "").encode()).hexdigest(),
            "name": self.key.name[:200],
            "role": spec.role,
            "tenant": spec.tenant,
        }
        if spec.expires_at is not None:
            said["expires_at"] = spec.expires_at.isoformat()
        return said


@dataclass(slots=True)
class _Sent:
    """What a bank was told last and answered."""

    what: object
    at: float
    answers: Sequence[Mapping[str, Any]] = field(default_factory=list)


class Keyring:
    """Works on the keys of one bank at a time."""

    def __init__(
        self,
        cache: Cache,
        client: KubeClient,
        prober: Prober,
        *,
        connect: Connect,
        clock: Callable[[], float],
    ) -> None:
        self._cache = cache
        self._client = client
        self._executor = Executor(cache, client)
        self._prober = prober
        self._connect = connect
        self._clock = clock
        self._sent: dict[BankKey, _Sent] = {}

    async def __call__(self, bank: BankKey) -> Outcome:
        """Deliver the keys of a bank, have the bank take them and no others, and say so."""
        with logs.about(bank):
            try:
                return await self._keep(bank)
            except ObservationOutdated as error:
                logger.info("looking again: %s", error)
                return Outcome(again_after=AGAIN_SECONDS)
            except errors.KubeError as error:
                logger.warning("%s", error)
                wait = error.retry_after if isinstance(error, errors.Transient) else None
                return Outcome(failed=True, at_least=wait or 0.0)

    async def _keep(self, bank: BankKey) -> Outcome:
        bodies = self._cache.belongings(bank, {constants.KEY_KIND}).values()
        present = [each for each in bodies if not each["metadata"].get("deletionTimestamp")]
        held, wrote = [], False
        for body in present:
            try:
                key = MemoryBankKey.parse(body)
            except InvalidSpec as error:
                logger.warning("MemoryBankKey %s: %s", body["metadata"]["name"], error)
                continue
            delivery = deliver(key, await self._secret(bank, key), new_key)
            if delivery.step is not None:
                await self._executor.execute(delivery.step, namespace=bank.namespace)
                delivery = deliver(key, await self._secret(bank, key), new_key)
                wrote = True
            held.append(_Held(key, body, delivery))
        outcome, problem, answers = await self._send(bank, [h for h in held if h.delivery.token])
        for each in held:
            await self._report(each, problem, answers.get(each.key.name))
        if wrote and outcome.again_after is not None:
            return Outcome(again_after=min(outcome.again_after, AGAIN_SECONDS))
        return outcome

    async def _secret(self, bank: BankKey, key: MemoryBankKey) -> KubeObject | None:
        known = self._cache.belongings(bank, {kinds.SECRET.kind})
        for child, body in known.items():
            if child.name == key.secret:
                return body
        return await self._client.get(kinds.SECRET, bank.namespace, key.secret)

    async def _send(
        self, bank: BankKey, held: Sequence[_Held]
    ) -> tuple[Outcome, Problem | None, dict[str, Mapping[str, Any]]]:
        """Tell the bank its keys, unless it knows. Return what it said to each, by name."""
        where, problem = self._door(bank)
        if where is None:
            self._sent.pop(bank, None)
            again = RESEND_SECONDS if held else None
            return Outcome(again_after=again), problem, {}
        listed = [each.said for each in held]
        what = (where.serving, where.key, listed)
        sent = self._sent.get(bank)
        if sent is None or sent.what != what or self._clock() - sent.at >= RESEND_SECONDS:
            try:
                answers = await self._prober.set_keys(where, listed)
            except KeysUnknown as error:  # so it has none to revoke either
                answers = [{"problem": str(error)} for _ in held]
            except CanaryFailed as error:
                return Outcome(failed=True), Problem(Reason.BANK_UNAVAILABLE, str(error)), {}
            sent = self._sent[bank] = _Sent(what, self._clock(), answers)
        names = [each.key.name for each in held]
        again = RESEND_SECONDS if held else None
        return Outcome(again_after=again), None, dict(zip(names, sent.answers, strict=True))

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
        children = self._cache.belongings(bank, {kinds.SECRET.kind, kinds.SERVICE.kind})
        pods = tuple(self._cache.belongings(bank, {kinds.POD.kind}).values())
        found = door(parsed, children, pods, connect=self._connect)
        return (found, None) if found is not None else (None, unavailable)

    async def _report(
        self, held: _Held, problem: Problem | None, answer: Mapping[str, Any] | None
    ) -> None:
        key, delivery = held.key, held.delivery
        found = delivery.problem or problem
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
            and ready.observed_generation == key.metadata.generation
        ):
            return  # the bank keeps the key while it restarts
        key_id = str((answer or {}).get("id") or key.status.key_id)
        status = key_status(
            key, found, delivered=delivery.token is not None, key_id=key_id, now=datetime.now(UTC)
        )
        if status == held.body.get("status"):
            return
        try:
            written = await self._client.apply_status(with_status(held.body, status))
        except errors.NotFound:
            return
        self._cache.put(written)
