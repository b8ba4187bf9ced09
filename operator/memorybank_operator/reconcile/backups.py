"""Keeps the recovery points of each bank as its MemoryBankBackups and its schedule say, and has its
backups tried. Jobs do the work; what is here makes them, reads what they say and says so.

What is due is told by what is written: in the bank's status, which the bank's own reconcile writes,
and in the MemoryBankBackups. Names are made of what they are for, so that whoever comes after a
crash makes nothing twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.memorybankbackup import MemoryBankBackup
from memorybank_operator.engine.cache import BankKey, Cache
from memorybank_operator.engine.workers import Outcome
from memorybank_operator.errors import InvalidSpec
from memorybank_operator.events import Events
from memorybank_operator.kube import errors
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.reconcile.execute import Executor
from memorybank_operator.reconcile.jobs import has_ended
from memorybank_operator.reconcile.observed import ChildKey, KubeObject
from memorybank_operator.reconcile.points import (
    Scene,
    Standing,
    is_over,
    is_scheduled,
    missing,
    scheduled,
    stand,
)
from memorybank_operator.reconcile.scene import scene_of
from memorybank_operator.reconcile.schedule import (
    due,
    points_schedule,
    seconds_until_due,
    stamped,
    verification_prefix,
    verification_schedule,
)
from memorybank_operator.reconcile.steps import Create, Delete
from memorybank_operator.reconcile.telling import Teller, guarded
from memorybank_operator.resources.backup_job import build_verify_job
from memorybank_operator.status.point import invalid_point_status, notes, point_status

AT_ONCE = 5
"""Jobs that schedules ask for, of all banks: that many have the same hour by their defaults."""
TURN_SECONDS = 10.0
"""How often a bank looks whether it is its turn."""
LATE_SECONDS = 0.05
"""A look at a moment comes this much after it, so that it is over by then."""
LONGEST_SECONDS = 24 * 3600.0

logger = logging.getLogger(__name__)


class Backups:
    """Works on the recovery points of one bank at a time."""

    def __init__(
        self,
        cache: Cache,
        client: KubeClient,
        *,
        events: Events,
        now: Callable[[], datetime],
        changed: Callable[[BankKey], None],
    ) -> None:
        """`now` tells the time of day, which schedules go by; `changed` is told the banks whose
        MemoryBankBackups say something else now, which the banks' own status passes on.
        """
        self._cache = cache
        self._executor = Executor(cache, client)
        self._teller = Teller(cache, client, events, notes)
        self._now = now
        self._changed = changed
        self._running: dict[BankKey, frozenset[str]] = {}
        """By bank, the Jobs that run because a schedule asked for them."""

    async def __call__(self, bank: BankKey) -> Outcome:
        """Have done what is due for a bank, and say how its MemoryBankBackups stand."""
        return await guarded(bank, self._keep)

    async def _keep(self, key: BankKey) -> Outcome:
        bodies = self._cache.belongings(key, {constants.BACKUP_KIND})
        scene = scene_of(self._cache, key)
        bank = scene.bank
        if not bodies and (bank is None or bank.spec.backed_up is None):
            self._running.pop(key, None)
            return Outcome()
        by_schedule = {name for name, each in bodies.items() if is_scheduled(each)}
        self._count(key, scene, {bodies[name]["metadata"]["uid"] for name in by_schedule})
        waits: list[float] = []
        if bank is not None and not bank.is_leaving and not missing(scene):
            waits += await self._verify(key, bank, scene)
            waits += await self._schedule(key, bank, bodies)
        refused = False
        for body in self._cache.belongings(key, {constants.BACKUP_KIND}).values():
            if not body["metadata"].get("deletionTimestamp"):
                wait, went = await self._look_at(key, body, scene)
                waits += wait
                refused = refused or not went
        if refused:
            return Outcome(failed=True)
        return Outcome(again_after=min([LONGEST_SECONDS, *waits]) + LATE_SECONDS)

    def _count(self, key: BankKey, scene: Scene, by_schedule: set[str]) -> None:
        """Remember which Jobs run because a schedule asked for them."""
        prefix = "" if scene.bank is None else f"{verification_prefix(scene.bank)}-"
        running = {
            name
            for name, job in scene.jobs.items()
            if not has_ended(job)
            and (
                (prefix and name.startswith(prefix))
                or any(
                    each["uid"] in by_schedule
                    for each in job["metadata"].get("ownerReferences") or ()
                )
            )
        }
        self._running[key] = frozenset(running)

    def _has_turn(self) -> bool:
        return sum(map(len, self._running.values())) < AT_ONCE

    def _begins(self, key: BankKey, job: KubeObject) -> None:
        self._running[key] = self._running.get(key, frozenset()) | {job["metadata"]["name"]}

    async def _verify(self, key: BankKey, bank: MemoryBank, scene: Scene) -> list[float]:
        """Have the newest backup tried when that is due; return when to look again."""
        schedule = verification_schedule(bank)
        if schedule is None or bank.status.backup is None or scene.deployment is None:
            return []
        if bank.spec.replicated is None and bank.status.backup.last_backup is None:
            return []  # there is nothing yet that could be tried; then it is due at once
        now = self._now()
        moment = due(bank, schedule, bank.status.backup.last_verification, now)
        if moment is not None:
            name = stamped(verification_prefix(bank), moment)
            if name not in scene.jobs:
                if not self._has_turn():
                    return [TURN_SECONDS]
                job = build_verify_job(bank, scene.deployment, name=name, size=scene.scratch)
                self._begins(key, job)
                await self._executor.execute(Create(job), namespace=bank.namespace)
        return [seconds_until_due(schedule, now)]

    async def _schedule(
        self, key: BankKey, bank: MemoryBank, bodies: Mapping[ChildKey, KubeObject]
    ) -> list[float]:
        """Ask for a recovery point when one is due; return when to look again."""
        schedule = points_schedule(bank)
        if schedule is None or bank.status.backup is None:
            return []
        now = self._now()
        moment = due(bank, schedule, bank.status.backup.last_scheduled, now)
        if moment is not None and (bank.spec.replicated is not None or bank.spec.pods > 0):
            # Of one in PostgreSQL that nobody serves, nothing is written either.
            body = scheduled(bank, moment)
            if ChildKey(constants.BACKUP_KIND, body["metadata"]["name"]) not in bodies:
                await self._executor.execute(Create(body), namespace=bank.namespace)
                self._changed(key)
        return [seconds_until_due(schedule, now)]

    async def _look_at(
        self, key: BankKey, body: KubeObject, scene: Scene
    ) -> tuple[list[float], bool]:
        """Have a recovery point taken, and say how it stands. Return when to look again, and
        whether the cluster did what it was asked for.
        """
        now = self._now()
        try:
            backup = MemoryBankBackup.parse(body)
        except InvalidSpec as error:
            logger.warning("MemoryBankBackup %s: %s", body["metadata"]["name"], error)
            await self._say(key, body, invalid_point_status(body, error, now))
            return [], True
        standing = stand(backup, scene, now)
        if is_scheduled(body) and is_over(backup, standing, now):
            child = ChildKey(constants.BACKUP_KIND, backup.name)
            step = Delete(child, uid=backup.uid)
            await self._executor.execute(step, namespace=key.namespace)
            return [], True
        waits = []
        if standing.expires_at is not None and standing.expires_at > now:
            waits.append((standing.expires_at - now).total_seconds())
        if standing.step is not None and is_scheduled(body):
            if not self._has_turn():
                await self._say(key, body, point_status(backup, Standing.waits_for_others(), now))
                return [TURN_SECONDS], True
            self._begins(key, standing.step.body)
        if standing.step is not None:
            try:
                await self._executor.execute(standing.step, namespace=key.namespace)
            except (errors.Forbidden, errors.Invalid) as error:
                await self._say(key, body, point_status(backup, Standing.refused(str(error)), now))
                return [], False
        await self._say(key, body, point_status(backup, standing, now))
        return waits, True

    async def _say(self, key: BankKey, body: KubeObject, status: Mapping[str, Any]) -> None:
        if await self._teller.say(body, status):
            self._changed(key)
