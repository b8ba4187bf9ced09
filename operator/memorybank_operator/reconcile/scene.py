"""What the cache knows of the backups of a bank."""

from __future__ import annotations

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.api.v1alpha1.memorybankrestore import MemoryBankRestore
from memorybank_operator.engine.cache import BankKey, Cache
from memorybank_operator.errors import InvalidSpec
from memorybank_operator.kube import kinds
from memorybank_operator.reconcile.final import is_kept
from memorybank_operator.reconcile.observe import job_pods
from memorybank_operator.reconcile.observed import KubeObject
from memorybank_operator.reconcile.points import Scene
from memorybank_operator.reconcile.restores import halted


def scene_of(cache: Cache, key: BankKey) -> Scene:
    """Return what there is around the backups of a bank."""
    wanted = {kinds.DEPLOYMENT.kind, kinds.VOLUME_CLAIM.kind}
    return Scene(
        _bank(cache, key), cache.belongings(key, wanted), jobs_of(cache, key), job_pods(cache, key)
    )


def jobs_of(cache: Cache, key: BankKey) -> dict[str, KubeObject]:
    """Return the Jobs of a bank by name."""
    found = cache.belongings(key, {kinds.JOB.kind})
    return {child.name: body for child, body in found.items()}


def restores_of(cache: Cache, key: BankKey) -> list[MemoryBankRestore]:
    """Return the MemoryBankRestores of a bank. Of one that cannot be read, the phase can."""
    found = []
    for body in cache.belongings(key, {constants.RESTORE_KIND}).values():
        try:
            found.append(MemoryBankRestore.parse(body))
        except InvalidSpec:
            unread = {"bank": {"name": key.name}}
            found.append(MemoryBankRestore.model_validate({**body, "spec": unread}))
    return found


def halt(cache: Cache, key: BankKey) -> str:
    """Say why a bank is to have no pod; empty when it may have one."""
    jobs = jobs_of(cache, key).values()
    return halted(restores_of(cache, key), jobs, job_pods(cache, key))


def _bank(cache: Cache, key: BankKey) -> MemoryBank | None:
    body = cache.bank(key)
    if body is None or (body["metadata"].get("deletionTimestamp") and not is_kept(body)):
        return None
    try:
        return MemoryBank.parse(body)
    except InvalidSpec:
        return None  # the bank's own status says so
