"""What is read of banks, by the API server alone."""

from __future__ import annotations

import difflib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from memorybank_operator import constants
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import KubeClient, Object
from memorybank_operator.kube.kinds import ApiKind
from memorybank_operator.plugin.access import Access
from memorybank_operator.plugin.problems import MISSING, REFUSED, Problem
from memorybank_operator.plugin.rendering import View
from memorybank_operator.plugin.summary import concerns, is_of

FIELD_MANAGER = "kubectl-memorybank"
NEAR = 3
"""Names that are offered in place of one that is not there."""


@asynccontextmanager
async def opened(access: Access) -> AsyncIterator[KubeClient]:
    """Talk to the API server as long as the block lasts."""
    async with access.connection.session() as session:
        yield KubeClient(session, access.connection.server, field_manager=FIELD_MANAGER)


async def listed(
    api: KubeClient, kind: ApiKind, namespace: str | None, *, selector: str = ""
) -> list[Object]:
    """Return all objects of a kind, by namespace and name. Raises Problem without the kind."""
    found: list[Object] = []
    try:
        async for page in api.pages(kind, namespace, selector=selector):
            found += page["items"]
    except errors.NotFound:
        if kind not in kinds.OURS_ALONE:
            raise
        raise Problem(
            f"this cluster does not know {kind.plural}.{constants.GROUP}: install the operator's "
            "chart, or crds/, first; or choose another cluster by --context",
            REFUSED,
        ) from None
    return sorted(found, key=lambda each: (each["metadata"]["namespace"], each["metadata"]["name"]))


async def one(api: KubeClient, kind: ApiKind, namespace: str, name: str) -> Object:
    """Return an object. Raises Problem with the names that are nearest to the one asked for."""
    found = await api.get(kind, namespace, name)
    if found is not None:
        return found
    names = [each["metadata"]["name"] for each in await listed(api, kind, namespace)]
    near = difflib.get_close_matches(name, names, n=NEAR)
    if near:
        hint = f"did you mean {' or '.join(near)}?"
    elif names:
        hint = f"there are {', '.join(names[:10])}"
    else:
        hint = "there is none; look elsewhere by -n NAMESPACE"
    raise Problem(f"no {kind.kind} {name} in namespace {namespace}: {hint}", MISSING)


async def view(api: KubeClient, namespace: str, name: str) -> View:
    """Return a bank with what belongs to it. What the user may not read is left out, and named."""
    bank = await one(api, kinds.MEMORY_BANK, namespace, name)
    hidden: list[str] = []

    async def read(kind: ApiKind, selector: str = "") -> list[Object]:
        try:
            return await listed(api, kind, namespace, selector=selector)
        except (errors.Forbidden, Problem):
            hidden.append(kind.plural)
            return []

    label = f"{constants.LABEL_BANK}={name}"
    pods = await read(kinds.POD, label)
    events = [each for each in await read(kinds.EVENT) if concerns(name, each)]
    keys = [each for each in await read(kinds.MEMORY_BANK_KEY) if is_of(name, each)]
    points = [each for each in await read(kinds.MEMORY_BANK_BACKUP) if is_of(name, each)]
    return View(bank, pods, events, keys, points, hidden)


def as_list(items: list[Object], kind: ApiKind) -> dict[str, Any]:
    """Return objects as kubectl puts several of them out."""
    for each in items:
        each.setdefault("apiVersion", kind.api_version)
        each.setdefault("kind", kind.kind)
    return {"apiVersion": "v1", "kind": "List", "items": items}
