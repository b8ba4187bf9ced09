"""Takes the snapshot that a plan is made from: the cache, and a question to the API server where
the cache cannot know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.canary import Canaries
from memorybank_operator.engine.cache import BankKey, Cache
from memorybank_operator.kube import kinds
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.reconcile.observed import ChildKey, KubeObject, Observed
from memorybank_operator.resources import names
from memorybank_operator.resources.ingress import tls_secret
from memorybank_operator.resources.named_secrets import named_secrets

CHILD_KINDS = frozenset(kind.kind for kind in kinds.CHILDREN)


class Observer:
    """Knows where to look."""

    def __init__(self, cache: Cache, client: KubeClient, canaries: Canaries) -> None:
        self._cache = cache
        self._client = client
        self._canaries = canaries

    async def observe(
        self, bank: MemoryBank, *, absent: frozenset[ChildKey] = frozenset()
    ) -> Observed:
        """Return what there is. Raises KubeError when the API server has to be asked and fails.

        The cache only has objects with our label. One of the bank's names that it does not have
        may be taken by somebody else's object, so it is asked for: six reads for a new bank, none
        for one whose objects are there. A re-sync believes nothing, and asks for all of them.
        `absent` are names that were free a moment ago, which is not asked again.
        """
        key = BankKey(bank.namespace, bank.name)
        children = self._cache.belongings(key, CHILD_KINDS)
        asked = [
            each
            for each in names.children(bank)
            if (bank.resync or each not in children) and each not in absent - children.keys()
        ]
        found = await asyncio.gather(*(self._get(bank, child) for child in asked))
        for child, body in zip(asked, found, strict=True):
            if body is not None:
                children[child] = body
            else:
                children.pop(child, None)
        reference = bank.spec.auth.admin_key_secret_ref
        admin_key = None
        if reference is not None:
            admin_key = await self._get(bank, ChildKey(kinds.SECRET.kind, reference.name))
        names_of_secrets = sorted({each.name for each in named_secrets(bank)})
        secrets = await asyncio.gather(
            *(self._get(bank, ChildKey(kinds.SECRET.kind, each)) for each in names_of_secrets)
        )
        certificate = tls_secret(bank)
        tls = None
        if certificate is not None:
            tls = await self._get(bank, ChildKey(kinds.SECRET.kind, certificate))
        return Observed(
            children=children,
            pods=self.pods(key),
            storage_classes=self._cache.of_kind(kinds.STORAGE_CLASS.kind),
            admin_key_secret=admin_key,
            named_secrets={
                name: body
                for name, body in zip(names_of_secrets, secrets, strict=True)
                if body is not None
            },
            tls_secret=tls,
            canary=self._canaries.result(key),
            jobs={
                child.name: body
                for child, body in self._cache.belongings(key, {kinds.JOB.kind}).items()
            },
            job_pods=job_pods(self._cache, key),
            read_pods=_named(self._cache, key, constants.READ_NAME),
            backups=tuple(self._cache.belongings(key, {constants.BACKUP_KIND}).values()),
        )

    def pods(self, key: BankKey) -> tuple[KubeObject, ...]:
        """Return the bank's pods as the cache knows them."""
        return bank_pods(self._cache, key)

    async def _get(self, bank: MemoryBank, child: ChildKey) -> KubeObject | None:
        return await self._client.get(kinds.by_kind(child.kind), bank.namespace, child.name)


def bank_pods(cache: Cache, key: BankKey) -> tuple[KubeObject, ...]:
    """Return the pods of a bank: none of its read replicas, and none that work on its backups."""
    others = {constants.BACKUP_NAME, constants.READ_NAME}
    return tuple(pod for pod in _pods(cache, key) if _name(pod) not in others)


def job_pods(cache: Cache, key: BankKey) -> tuple[KubeObject, ...]:
    """Return the pods that work on the backups of a bank."""
    return _named(cache, key, constants.BACKUP_NAME)


def _named(cache: Cache, key: BankKey, name: str) -> tuple[KubeObject, ...]:
    return tuple(pod for pod in _pods(cache, key) if _name(pod) == name)


def _pods(cache: Cache, key: BankKey) -> Iterable[KubeObject]:
    return cache.belongings(key, {kinds.POD.kind}).values()


def _name(pod: KubeObject) -> str | None:
    name: str | None = (pod["metadata"].get("labels") or {}).get(constants.LABEL_NAME)
    return name
