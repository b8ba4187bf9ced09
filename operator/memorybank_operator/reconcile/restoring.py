"""Puts banks back to states that their backups have, as MemoryBankRestores ask for: one at a time
of each bank. Jobs do the work; the bank's own reconcile keeps its pod away meanwhile, by what is
written here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.conditions import RestorePhase
from memorybank_operator.api.v1alpha1.memorybankrestore import MemoryBankRestore
from memorybank_operator.engine.cache import BankKey, Cache
from memorybank_operator.engine.workers import Outcome
from memorybank_operator.errors import InvalidSpec
from memorybank_operator.events import Events
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.reconcile.execute import Executor
from memorybank_operator.reconcile.observe import bank_pods
from memorybank_operator.reconcile.observed import KubeObject
from memorybank_operator.reconcile.points import Scene
from memorybank_operator.reconcile.restores import (
    Progress,
    Stage,
    advance,
    first,
    is_acknowledged,
    is_open,
    phase_of,
)
from memorybank_operator.reconcile.scene import scene_of
from memorybank_operator.reconcile.telling import Teller, guarded
from memorybank_operator.status.restore import invalid_restore_status, notes, restore_status

STEPS = 4
"""Phases that may follow each other at once: each is written before what it stands for is done."""

logger = logging.getLogger(__name__)


class Restoring:
    """Works on the restores of one bank at a time."""

    def __init__(
        self,
        cache: Cache,
        client: KubeClient,
        *,
        events: Events,
        now: Callable[[], datetime],
        changed: Callable[[BankKey], None],
    ) -> None:
        """`changed` is told the banks of which something else is to be done or said now."""
        self._cache = cache
        self._executor = Executor(cache, client)
        self._teller = Teller(cache, client, events, notes)
        self._now = now
        self._changed = changed

    async def __call__(self, bank: BankKey) -> Outcome:
        """Bring the restore whose turn it is one step further, and say how far it is."""
        return await guarded(bank, self._keep)

    async def _keep(self, key: BankKey) -> Outcome:
        for _ in range(STEPS):
            if not await self._look(key):
                break
        return Outcome()

    async def _look(self, key: BankKey) -> bool:
        """Look at each restore once; return whether the one whose turn it is got further."""
        bodies = self._cache.belongings(key, {constants.RESTORE_KIND})
        if not bodies:
            return False
        restores, further = {}, False
        for child, body in bodies.items():
            if body["metadata"].get("deletionTimestamp"):
                continue
            try:
                restores[child.name] = MemoryBankRestore.parse(body)
            except InvalidSpec as error:
                logger.warning("MemoryBankRestore %s: %s", child.name, error)
                await self._say(key, body, invalid_restore_status(body, error, self._now()))
        turn = first(restores.values())
        scene = scene_of(self._cache, key)
        for child, body in bodies.items():
            restore = restores.get(child.name)
            if restore is None or not is_open(restore):
                continue
            if turn is not None and restore.name != turn.name:
                message = f"MemoryBankRestore {turn.name} of the same bank is done first"
                waiting = Progress(RestorePhase.PENDING, message)
                await self._say(key, body, restore_status(restore, waiting, self._now()))
                continue
            further = await self._advance(key, body, restore, scene)
        return further

    async def _advance(
        self, key: BankKey, body: KubeObject, restore: MemoryBankRestore, scene: Scene
    ) -> bool:
        progress = advance(restore, self._stage(key, scene, restore))
        await self._say(key, body, restore_status(restore, progress, self._now()))
        if progress.step is not None:
            await self._executor.execute(progress.step, namespace=key.namespace)
            self._changed(key)
        return progress.phase is not phase_of(restore)

    def _stage(self, key: BankKey, scene: Scene, restore: MemoryBankRestore) -> Stage:
        found = self._cache.belongings(key, {constants.BACKUP_KIND})
        backups = {child.name: body for child, body in found.items()}
        deployment = scene.deployment
        return Stage(
            scene,
            backups,
            is_stopped=deployment is not None
            and _has_no_pods(deployment)
            and not bank_pods(self._cache, key)
            and is_acknowledged(restore, scene.bank),
        )

    async def _say(self, key: BankKey, body: KubeObject, status: Mapping[str, Any]) -> None:
        if await self._teller.say(body, status):
            self._changed(key)


def _has_no_pods(deployment: KubeObject) -> bool:
    """Tell whether a Deployment asks for no pods, and its controller knows and has none."""
    status = deployment.get("status") or {}
    return (
        deployment["spec"].get("replicas") == 0
        and status.get("observedGeneration") == deployment["metadata"]["generation"]
        and not status.get("replicas")
    )
