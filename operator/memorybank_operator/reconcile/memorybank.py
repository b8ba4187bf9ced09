"""One reconcile of one bank: observe, plan, execute, prove, reduce, say so. The only orchestration
there is.

Each step may be the last before a crash. Nothing but the cluster's own state decides what the next
reconcile does, so it carries on where this one stopped.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from memorybank_operator import constants, logs
from memorybank_operator.api.v1alpha1.conditions import ConditionType, Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.status import MemoryBankStatus
from memorybank_operator.canary import Canaries
from memorybank_operator.engine.cache import BankKey, Cache
from memorybank_operator.engine.waves import Stand, Waves
from memorybank_operator.engine.workers import Outcome
from memorybank_operator.errors import InvalidSpec
from memorybank_operator.events import Events
from memorybank_operator.kube import errors
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.metrics import Metrics
from memorybank_operator.readings import Readings
from memorybank_operator.reconcile.execute import Executor, ObservationOutdated
from memorybank_operator.reconcile.final import (
    Parting,
    final_name,
    given_up,
    given_up_with_namespace,
    guard,
    hand_over,
    is_kept,
    part,
    release,
    until,
    waits,
)
from memorybank_operator.reconcile.observe import CHILD_KINDS, Observer
from memorybank_operator.reconcile.observed import ChildKey, KubeObject, Observed
from memorybank_operator.reconcile.plan import plan as make_plan
from memorybank_operator.reconcile.proof import Connect, outlook, target
from memorybank_operator.reconcile.report import Reporter
from memorybank_operator.reconcile.ring import KEY_BYTES
from memorybank_operator.reconcile.scene import halt
from memorybank_operator.reconcile.steps import Apply, Create, Note, Plan, Problem
from memorybank_operator.resources import names
from memorybank_operator.resources.build import Rendering
from memorybank_operator.resources.context import RenderSettings
from memorybank_operator.resources.effective import fenced, without_pods
from memorybank_operator.resources.ingress import tls_secret
from memorybank_operator.resources.named_secrets import named_secrets
from memorybank_operator.status.record import look_again_in
from memorybank_operator.status.reduce import reduce, reduce_invalid, reduce_leaving

UNWATCHED_SECONDS = 60.0
"""How often to look at a bank that waits for something no watch tells about."""
LOOKS_PER_SECOND = 1.0
"""Looks without an occasion, at all banks together: one takes some 5 ms of CPU time (ADR 68)."""
ROUNDS = 4
"""Plans made in one reconcile: for a new bank its key, or keys, all that is built on that, and
nothing; one more when the world changes under them.
"""

logger = logging.getLogger(__name__)


class SpareRefused(Exception):
    """The API server refuses a step that the bank goes on without; the message says why."""


@dataclass(frozen=True, slots=True)
class Means:
    """What a reconcile works with."""

    cache: Cache
    client: KubeClient
    canaries: Canaries
    readings: Readings
    events: Events
    metrics: Metrics
    render: Callable[[], RenderSettings]
    """The settings in force, which the cluster-wide defaults are part of."""
    connect: Connect
    progress_deadline: timedelta
    """After this time, a bank that does not get ready counts as stalled."""
    resync_interval: float
    """Seconds after which a bank is looked at though nothing happened, or more in a crowd."""
    clock: Callable[[], float]
    waves: Waves
    """Whose turn it is to be updated by the operator itself."""


class Reconciler:
    """Reconciles banks, each by one task at a time."""

    def __init__(self, means: Means) -> None:
        self._means = means
        self._observer = Observer(means.cache, means.client, means.canaries)
        self._executor = Executor(means.cache, means.client)
        self._reporter = Reporter(
            means.cache, means.client, events=means.events, metrics=means.metrics
        )
        self._failing: set[BankKey] = set()

    async def __call__(self, key: BankKey) -> Outcome:
        """Bring a bank one step nearer to its spec, or see that it is there."""
        with logs.about(key):
            body = self._means.cache.bank(key)
            stays = body is not None and is_kept(body)
            if body is None or (body["metadata"].get("deletionTimestamp") and not stays):
                self._leave(key)
                return Outcome()
            started = self._means.clock()
            outcome = await (self._part if stays else self._reconcile)(key, body)
            self._means.metrics.reconcile_seconds.observe(self._means.clock() - started)
            result = "failed" if outcome.failed else "done"
            self._means.metrics.reconciles.labels(result).inc()
            return outcome

    def _leave(self, key: BankKey) -> None:
        """A bank is gone or on its way: the garbage collector takes what it owned."""
        self._retire(key)
        self._means.metrics.bank_is_gone(key)
        self._failing.discard(key)

    def _retire(self, key: BankKey) -> None:
        """Nobody asks any more whether a bank does its job."""
        self._means.canaries.forget(key)
        self._means.readings.forget(key)
        self._means.waves.stands(key, None)

    async def _part(self, key: BankKey, body: KubeObject) -> Outcome:
        """Have the last recovery point of a deleted bank taken, and let the bank go after that."""
        now = datetime.now(UTC)
        self._retire(key)
        children = self._means.cache.belongings(key, CHILD_KINDS)
        try:
            bank = MemoryBank.parse(body)
        except InvalidSpec as error:
            bank = MemoryBank.model_validate({**body, "spec": {}})
            parting = given_up(bank, f"its spec cannot be read: {error}")
        else:
            backups = self._means.cache.belongings(key, {constants.BACKUP_KIND})
            backup = backups.get(ChildKey(constants.BACKUP_KIND, final_name(bank)))
            parting = part(bank, children, backup, now)
        try:
            if parting.step is not None:
                parting = await self._ask(bank, parting, parting.step)
            if parting.message:
                status = reduce_leaving(bank, parting.message, now=now)
                await self._reporter.report(key, body, status)
                plan = await self._keep_up(key, bank, body)
                left = max(0.0, (until(bank) - now).total_seconds())
                wanted = UNWATCHED_SECONDS if plan.requeue_after is None else plan.requeue_after
                return Outcome(again_after=min(wanted, left))
            for step in hand_over(bank, children, parting.goes):
                await self._executor.execute(step, namespace=key.namespace)
            if parting.note is not None:
                await self._tell(body, parting.note)
            await self._executor.execute(release(body), namespace=key.namespace)
        except ObservationOutdated as error:
            logger.info("looking again: %s", error)
            return Outcome(failed=True)
        except errors.KubeError as error:
            return self._failed(key, error)
        self._leave(key)
        return Outcome()

    async def _keep_up(self, key: BankKey, bank: MemoryBank, body: KubeObject) -> Plan:
        """See that a deleted bank is there as long as its last recovery point is not: who deletes
        in the foreground has the garbage collector take its pod away first. Raises KubeError.
        """
        halted = halt(self._means.cache, key)
        bank = fenced(bank, self._means.render().defaults)
        bank = without_pods(bank) if halted else bank
        plan, _, failure = await self._converge(key, bank, body, halted=halted)
        if failure is not None:
            raise failure
        return plan

    async def _guard(self, bank: MemoryBank, body: KubeObject) -> None:
        """See that a bank stays when it is deleted, or does not, as its policy says."""
        step = guard(bank, body)
        if step is None:
            return
        try:
            await self._executor.execute(step, namespace=bank.namespace)
        except ObservationOutdated as error:
            raise errors.Conflict(str(error)) from None

    async def _ask(self, bank: MemoryBank, parting: Parting, step: Create) -> Parting:
        """Ask for the last recovery point of a bank; return what becomes of the bank when there is
        to be none.
        """
        try:
            await self._executor.execute(step, namespace=bank.namespace)
        except errors.NamespaceTerminating:
            return given_up_with_namespace()
        except (errors.Forbidden, errors.Invalid) as error:
            return replace(parting, message=waits(bank, f"It cannot be made: {error}"))
        return parting

    async def _reconcile(self, key: BankKey, body: KubeObject) -> Outcome:
        try:
            bank = fenced(MemoryBank.parse(body), self._means.render().defaults)
            # Once: what is rendered and what is said of it go together.
            halted = halt(self._means.cache, key)
            if halted:
                bank = without_pods(bank)
        except InvalidSpec as error:
            return await self._refuse(key, body, error)
        try:
            await self._guard(bank, body)
            plan, observed, failure = await self._converge(key, bank, body, halted=halted)
        except errors.KubeError as error:  # nothing was observed, so there is nothing to say
            return self._failed(key, error)
        if isinstance(failure, errors.NamespaceTerminating):
            # The bank's own deletion comes next; what went before it is not made again.
            logger.info("left alone: its namespace is being deleted")
            self._leave(key)
            return Outcome(again_after=UNWATCHED_SECONDS)
        observed = self._prove(key, bank, observed, plan=plan)
        if isinstance(failure, errors.Transient) and key not in self._failing:
            # A single hiccup of the API server says nothing about the bank: try again first.
            return self._failed(key, failure)
        if failure is None and self._is_still_proven(key, bank, plan):
            return self._done(key, bank, plan, bank.status)
        status = reduce(
            bank,
            observed,
            plan,
            failure=None if failure is None else _problem(failure),
            now=datetime.now(UTC),
            progress_deadline=self._means.progress_deadline,
        )
        try:
            await self._reporter.report(key, body, status)
        except errors.KubeError as error:
            return self._failed(key, error)
        said = MemoryBankStatus.model_validate(status)
        stand = stand_of(said)
        if stand is Stand.WAITING and not _asks_for_its_turn(plan):
            stand = None  # it lets the others pass
        self._means.waves.stands(key, stand)
        if failure is not None:
            return self._failed(key, failure)
        return self._done(key, bank, plan, said)

    async def _converge(
        self, key: BankKey, bank: MemoryBank, body: KubeObject, *, halted: str
    ) -> tuple[Plan, Observed, errors.KubeError | None]:
        """Plan and execute until there is nothing left to do.

        Return the last plan, what it was made from, and the error that cut its execution short.
        Raises KubeError when nothing could be observed.
        """
        absent: frozenset[ChildKey] = frozenset()
        refused = ""
        build = Rendering()
        render = self._means.render()
        for _ in range(ROUNDS):
            observed = await self._observe(key, bank, absent=absent)
            observed = replace(observed, growth_refused=refused, halted=halted)
            plan = make_plan(bank, observed, render, new_key, new_ring, build)
            asks = _asks_for_its_turn(plan) and not bank.is_leaving
            if asks and self._means.waves.ask(key):
                observed = replace(observed, turn=True)
                plan = make_plan(bank, observed, render, new_key, new_ring, build)
            if not plan.steps:
                return plan, observed, None
            try:
                await self._execute(plan, bank, body)
                absent = frozenset(names.children(bank)) - observed.children.keys()
            except ObservationOutdated as error:
                logger.info("looking again: %s", error)
                absent = frozenset()
            except SpareRefused as error:
                refused = str(error)
            except errors.KubeError as error:
                observed = replace(await self._observe(key, bank), halted=halted)
                return plan, observed, error
        return plan, observed, errors.Conflict("the bank's objects do not stay as they are written")

    async def _observe(
        self, key: BankKey, bank: MemoryBank, *, absent: frozenset[ChildKey] = frozenset()
    ) -> Observed:
        observed = await self._observer.observe(bank, absent=absent)
        said = self._means.readings.reading(key)
        return replace(
            observed,
            turn=self._means.waves.has_turn(key),
            disk=said.disk,
            complaint=said.complaint,
        )

    async def _execute(self, plan: Plan, bank: MemoryBank, body: KubeObject) -> None:
        for step in plan.steps:
            try:
                await self._executor.execute(step, namespace=bank.namespace)
            except errors.NamespaceTerminating:
                raise
            except (errors.Forbidden, errors.Invalid) as error:
                if isinstance(step, Apply) and step.spare:
                    logger.warning("refused, and done without: %s", error)
                    raise SpareRefused(str(error)) from None
                raise
        for note in plan.notes:
            await self._tell(body, note)

    async def _tell(self, body: KubeObject, note: Note) -> None:
        level = logging.WARNING if note.warning else logging.INFO
        logger.log(level, "%s: %s", note.reason, note.message)
        await self._means.events.tell(body, note)

    def _prove(self, key: BankKey, bank: MemoryBank, observed: Observed, *, plan: Plan) -> Observed:
        """Have the canary watch what is to be proven; add to the snapshot what it knows, and what
        the pod says of its backups and of what it does without.
        """
        self._means.readings.watch(key, outlook(bank, observed))
        proof = target(bank, observed, plan, connect=self._means.connect)
        if proof is None:
            self._means.canaries.forget(key)
        else:
            self._means.canaries.watch(key, proof)
        said = self._means.readings.reading(key)  # of another pod than before it says nothing
        return replace(
            observed,
            canary=self._means.canaries.result(key),
            degraded=said.degraded,
            backup=said.backup,
            follow=said.follow,
            readers=said.readers,
        )

    def _is_still_proven(self, key: BankKey, bank: MemoryBank, plan: Plan) -> bool:
        """Whether the operator that ran before proved this very state, and our own probe runs.

        So a restart does not take back what is true, and says so without a write.
        """
        ready = bank.status.condition(ConditionType.READY)
        return (
            ready is not None
            and ready.status == "True"
            and ready.observed_generation == bank.generation
            and bank.status.revision == plan.revision
            and plan.configuration is not None
            # Empty by an operator that did not say: then the revision says all.
            and bank.status.configuration in ("", plan.configuration.fingerprint)
            and not plan.steps
            and not plan.problems
            and not bank.resync
            and self._means.canaries.awaits_first(key)
        )

    async def _refuse(self, key: BankKey, body: KubeObject, error: InvalidSpec) -> Outcome:
        """Say what is wrong with a spec that cannot be read; its bank runs on as it is."""
        logger.warning("%s: %s", Reason.INVALID_SPEC, error)
        try:
            await self._reporter.report(
                key, body, reduce_invalid(body, error, now=datetime.now(UTC))
            )
        except errors.KubeError as failure:
            return self._failed(key, failure)
        return Outcome()

    def _done(
        self, key: BankKey, bank: MemoryBank, plan: Plan, status: MemoryBankStatus
    ) -> Outcome:
        self._failing.discard(key)
        # A Secret that the spec names is not ours to watch, nor is an object in the way of ours.
        spec = bank.spec
        names_secrets = (
            spec.auth.admin_key_secret_ref is not None
            or bool(named_secrets(bank))
            or tls_secret(bank) is not None
        )
        ready = status.condition(ConditionType.READY)
        is_ready = ready is not None and ready.status == "True"
        watched = is_ready and not names_secrets
        resync = resync_seconds(self._means.resync_interval, self._means.cache.crowd)
        again = resync if watched else UNWATCHED_SECONDS
        # Spread, so that banks made together are not looked at together for ever.
        again *= random.uniform(0.9, 1.1)  # noqa: S311 - no secret
        written = look_again_in(spec.update_policy, status, datetime.now(UTC))
        again = min([again, *(each for each in (plan.requeue_after, written) if each is not None)])
        if is_ready and _waits_to_be_ready(plan):
            again = 0.0  # it is now, and may ask for its turn
        return Outcome(again_after=again)

    def _failed(self, key: BankKey, error: errors.KubeError) -> Outcome:
        self._failing.add(key)
        self._means.metrics.api_errors.labels(error.reason).inc()
        logger.warning("%s", error)
        wait = error.retry_after if isinstance(error, errors.Transient) else None
        return Outcome(failed=True, at_least=wait or 0.0)


def resync_seconds(interval: float, crowd: int) -> float:
    """Return the seconds between two looks without an occasion at one bank of a crowd."""
    return max(interval, crowd / LOOKS_PER_SECOND)


def _asks_for_its_turn(plan: Plan) -> bool:
    return plan.held is not None and plan.held.asks


def _waits_to_be_ready(plan: Plan) -> bool:
    held = plan.held
    return held is not None and held.reason is Reason.UPDATE_QUEUED and not held.asks


def stand_of(status: MemoryBankStatus) -> Stand | None:
    """Tell by a bank's status how it stands in the operator's own update."""
    updating = status.condition(ConditionType.UPDATING)
    if updating is not None:
        return Stand.FAILED if updating.reason == Reason.UPDATE_FAILED else Stand.ROLLING
    pending = status.condition(ConditionType.UPDATE_PENDING)
    if pending is None:
        return None
    ready = status.condition(ConditionType.READY)
    if pending.reason == Reason.ROLLED_BACK and (ready is None or ready.reason != pending.reason):
        return Stand.FAILED  # the user's own change would make the bank not ready
    return Stand.WAITING if pending.reason == Reason.UPDATE_QUEUED else None


def underway(cache: Cache) -> Iterator[tuple[BankKey, Stand]]:
    """Yield how each bank stands, by what is written in its status."""
    for key in cache.banks():
        status = MemoryBankStatus.model_validate((cache.bank(key) or {}).get("status") or {})
        stand = stand_of(status)
        if stand is not None and stand is not Stand.WAITING:
            yield key, stand


def _problem(error: errors.KubeError) -> Problem:
    return Problem(error.reason, str(error), terminal=isinstance(error, errors.Invalid))


def new_key() -> str:
    """Return a new admin key: 32 random bytes that no operator keeps."""
    return f"mb_{secrets.token_urlsafe(32)}"


def new_ring() -> str:
    """Return a new key ring as the service reads it: one key, named by today's date."""
    today = datetime.now(UTC).date().isoformat()
    key = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    return json.dumps({"active": today, "keys": {today: key}})
