"""Carries the steps of a plan out, in order, until one fails."""

from __future__ import annotations

import logging

from memorybank_operator.engine.cache import Cache
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.reconcile.observed import KubeObject
from memorybank_operator.reconcile.steps import Apply, Create, Delete, Mark, Share, Step

logger = logging.getLogger(__name__)


class ObservationOutdated(Exception):
    """The world is another one than the plan was made for: observe and plan anew."""


class Executor:
    """Writes to the API server, and lets the cache know what it answered."""

    def __init__(self, cache: Cache, client: KubeClient) -> None:
        self._cache = cache
        self._client = client

    async def execute(self, step: Step, *, namespace: str) -> None:
        """Carry one step out. Doing it twice has the effect of doing it once.

        Raises KubeError, or ObservationOutdated when the step's premise does not hold any more.
        """
        match step:
            case Apply():
                await self._apply(step)
            case Create(body):
                await self._create(body)
            case Mark():
                await self._mark(step, namespace)
            case Share(body):
                await self._share(body)
            case Delete():
                await self._delete(step, namespace)

    async def _apply(self, step: Apply) -> None:
        """Without the uid, an object deleted meanwhile would be made again by what was to change
        it, with a key that somebody has just thrown away. A resource version does not prevent
        that: the API server compares it only with what exists.
        """
        body = step.body
        if step.uid:
            body = {**body, "metadata": body["metadata"] | {"uid": step.uid}}
        try:
            self._keep(await self._client.apply(body))
        except errors.Conflict as conflict:
            if not step.uid:
                raise
            await self._read_anew(body)
            raise ObservationOutdated(str(conflict)) from None
        why = f", changed by somebody: {', '.join(step.drift)}" if step.drift else ""
        logger.info("applied %s%s", _name(body), why)

    async def _read_anew(self, body: KubeObject) -> None:
        """Know what is there instead of the object of the body before an event tells."""
        kind, metadata = kinds.by_kind(body["kind"]), body["metadata"]
        live = await self._client.get(kind, metadata["namespace"], metadata["name"])
        if live is None or live["metadata"]["uid"] != metadata["uid"]:
            self._cache.gone(
                body["kind"], metadata["namespace"], metadata["name"], uid=metadata["uid"]
            )
        if live is not None:
            self._keep(live)

    async def _create(self, body: KubeObject) -> None:
        try:
            self._keep(await self._client.create(body))
        except errors.Conflict as conflict:
            # What exists holds something generated, and what follows in the plan was built on ours.
            raise ObservationOutdated(str(conflict)) from None
        logger.info("created %s", _name(body))

    async def _mark(self, step: Mark, namespace: str) -> None:
        changes = {"metadata": {**step.changes, "resourceVersion": step.version}}
        kind = kinds.by_kind(step.key.kind)
        try:
            self._keep(
                await self._client.merge(kind, namespace, name=step.key.name, changes=changes)
            )
        except (errors.Conflict, errors.NotFound) as error:
            raise ObservationOutdated(str(error)) from None
        logger.info("changed the metadata of %s %s", *step.key)

    async def _share(self, body: KubeObject) -> None:
        try:
            self._keep(await self._client.share(body))
        except errors.Conflict as conflict:
            logger.info("left to their owner: fields of %s (%s)", _name(body), conflict)
            return
        logger.info("shared fields of %s", _name(body))

    async def _delete(self, step: Delete, namespace: str) -> None:
        kind = kinds.by_kind(step.key.kind)
        try:
            left = await self._client.delete(kind, namespace, name=step.key.name, uid=step.uid)
        except errors.NotFound:
            left = None
        except errors.Conflict as conflict:
            raise ObservationOutdated(str(conflict)) from None
        if left is None:
            self._cache.gone(step.key.kind, namespace, step.key.name, uid=step.uid)
        else:
            self._keep(left)
        logger.info("deleted %s %s", *step.key)

    def _keep(self, body: KubeObject) -> None:
        self._cache.put(body)


def _name(body: KubeObject) -> str:
    return f"{body['kind']} {body['metadata']['name']}"
