"""`stats`: what a bank holds, as its service says."""

from __future__ import annotations

from argparse import Namespace

import aiohttp

from memorybank_operator.kube import kinds
from memorybank_operator.kube.client import KubeClient, Object
from memorybank_operator.plugin import reading, rendering
from memorybank_operator.plugin.acting import token_of
from memorybank_operator.plugin.problems import DONE, NOT_READY, REFUSED, Problem
from memorybank_operator.plugin.reaching import forwarded
from memorybank_operator.plugin.showing import put
from memorybank_operator.plugin.summary import status_of

MOST_TENANTS = 200
"""A page of them."""
_SECONDS = 15.0


async def stats(asked: Namespace, api: KubeClient) -> int:
    """Print how much a bank holds, and of whom."""
    bank = await reading.one(api, kinds.MEMORY_BANK, asked.namespace, asked.name)
    secret = str((status_of(bank).get("binding") or {}).get("name", ""))
    key = await token_of(api, asked.namespace, secret)
    if not key:
        raise Problem(f"{asked.name} has no key yet: wait until it is ready", REFUSED)
    if status_of(bank).get("phase") == "Stopped":
        raise Problem(
            f"{asked.name} is stopped: start it by `kubectl memorybank wake {asked.name}`",
            NOT_READY,
        )
    async with (
        forwarded(asked) as address,
        aiohttp.ClientSession(
            address,
            headers={"Authorization": f"Bearer {key}"},
            timeout=aiohttp.ClientTimeout(total=_SECONDS),
        ) as service,
    ):
        try:
            state = await _ask(service, "/v1/admin/status")
            page = await _ask(service, f"/v1/admin/tenants?limit={MOST_TENANTS}")
        except aiohttp.ClientResponseError as error:
            raise Problem(_refusal(asked.name, secret, error.status), NOT_READY) from None
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Problem(
                f"{asked.name} did not answer ({type(error).__name__}): see `kubectl memorybank "
                f"status {asked.name}`",
                NOT_READY,
            ) from None
    told = {
        "name": asked.name,
        "namespace": asked.namespace,
        "version": state["version"],
        "uptimeSeconds": state["uptime_seconds"],
        "counts": state["store"]["counts"],
        "databaseBytes": state["store"]["database_bytes"] + state["store"]["log_bytes"],
        "diskFreeBytes": state["store"]["disk_free_bytes"],
        "schemaVersion": state["store"]["schema_version"],
        "searchLag": state["index"]["lag"],
        "embedder": state["embedder"]["model"],
        "tenants": [
            {"name": each["name"], "memories": each["memories"], "most": each["max_memories"]}
            for each in page["tenants"]
        ],
        "moreTenants": page["total"] - len(page["tenants"]),
    }
    put(asked, told, lambda: rendering.statistics(told))
    return DONE


async def _ask(service: aiohttp.ClientSession, path: str) -> Object:
    async with service.get(path, raise_for_status=True) as answer:
        found: Object = await answer.json()
        return found


def _refusal(name: str, secret: str, status: int) -> str:
    if status in (401, 403):
        return (
            f"{name} does not take the key of Secret {secret}: it is being replaced, or was "
            f"written by hand; see `kubectl memorybank status {name}`"
        )
    return f"{name} answers {status}: see `kubectl memorybank logs {name}`"
