"""Which kinds the API server serves: ours come with the chart, some are other projects'."""

from __future__ import annotations

from collections.abc import Collection

from memorybank_operator.kube import errors
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.kube.kinds import ApiKind


async def served(client: KubeClient, asked: Collection[ApiKind]) -> frozenset[ApiKind]:
    """Return those of the kinds that are served, which everybody may ask. Raises KubeError."""
    found: set[ApiKind] = set()
    for version in sorted({kind.api_version for kind in asked}):
        try:
            resources = (await client.discover(f"/apis/{version}"))["resources"]
        except errors.NotFound:
            continue
        plurals = {each["name"] for each in resources}
        found |= {kind for kind in asked if kind.api_version == version and kind.plural in plurals}
    return frozenset(found)
