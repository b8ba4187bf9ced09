"""`stats`: what a bank holds, as its service says."""

from __future__ import annotations

from argparse import Namespace

from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import KubeClient, Object
from memorybank_operator.plugin import reading, rendering
from memorybank_operator.plugin.acting import token_of
from memorybank_operator.plugin.problems import DONE, NOT_READY, REFUSED, Problem
from memorybank_operator.plugin.reaching import PORT
from memorybank_operator.plugin.showing import put
from memorybank_operator.plugin.summary import status_of

MOST_TENANTS = 200
"""A page of them."""


async def stats(asked: Namespace, api: KubeClient) -> int:
    """Print how much a bank holds, and of whom. The API server passes the questions on."""
    bank = await reading.one(api, kinds.MEMORY_BANK, asked.namespace, asked.name)
    secret = str((status_of(bank).get("binding") or {}).get("name", ""))
    key = await token_of(api, asked.namespace, secret)
    if not key:
        raise Problem(f"{asked.name} has no key yet: wait until it is ready", REFUSED)

    async def ask(path: str) -> Object:
        headers = {"X-API-Key": key}
        try:
            return await api.ask_service(asked.namespace, asked.name, PORT, path, headers=headers)
        except errors.Unauthorized:
            raise Problem(
                f"{asked.name} does not take the key of Secret {secret}: it is being replaced, or "
                f"was written by hand; see `kubectl memorybank status {asked.name}`",
                NOT_READY,
            ) from None
        except (errors.NotFound, errors.Overloaded, errors.Unreachable) as error:
            raise Problem(
                f"{asked.name} cannot be asked: {error}. It has no pod that serves, or lets nobody "
                f"in from the API server: see `kubectl memorybank status {asked.name}`, and "
                "`connect` for another way",
                NOT_READY,
            ) from None

    state = await ask("/v1/admin/status")
    page = await ask(f"/v1/admin/tenants?limit={MOST_TENANTS}")
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
