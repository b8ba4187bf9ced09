"""The commands that change something. Waiting is only looking: whoever stops it stops nothing in
the cluster.
"""

from __future__ import annotations

import asyncio
import base64
import sys
from argparse import Namespace
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from memorybank_operator.api.duration import parse_duration
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import KubeClient, Object
from memorybank_operator.kube.kinds import ApiKind
from memorybank_operator.plugin import reading, rendering
from memorybank_operator.plugin.problems import DONE, MISSING, NOT_READY, REFUSED, USAGE, Problem
from memorybank_operator.plugin.showing import put
from memorybank_operator.plugin.summary import (
    conditions,
    holds,
    is_current,
    is_of,
    judge,
    status_of,
)
from memorybank_operator.reconcile.keys import SYNTAX

LOOK_SECONDS = 1.0
OWN_KEY = "admin-key"
ENTRY = "key"


def body(kind: ApiKind, namespace: str, name: str, spec: dict[str, Any]) -> Object:
    """Return an object as it is made."""
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata, "spec": spec}


async def create(asked: Namespace, api: KubeClient) -> int:
    """Make a bank, wait until it is ready, and print where it is; its key only when asked for."""
    if asked.show_key and not asked.wait:
        raise Problem(
            "--show-key waits for the bank, which makes the key: leave out --no-wait, or read it "
            "later from the Secret that `kubectl memorybank info` names",
            USAGE,
        )
    spec: dict[str, Any] = {}
    if asked.domain:
        spec["expose"] = {"ingress": {"host": f"{asked.name}.{asked.domain}"}}
    if asked.key_file:
        spec["auth"] = {"adminKeySecretRef": await _own_key(asked, api)}
    try:
        await api.create(body(kinds.MEMORY_BANK, asked.namespace, asked.name, spec))
    except errors.Conflict:
        raise Problem(
            f"{asked.namespace}/{asked.name} is there already: see "
            f"`kubectl memorybank status {asked.name}`, or choose another name",
            REFUSED,
        ) from None
    code = await until_ready(asked, api, asked.name)
    bank = await reading.one(api, kinds.MEMORY_BANK, asked.namespace, asked.name)
    status = status_of(bank)
    told = {
        "tenant": asked.name,
        "namespace": asked.namespace,
        "ready": judge(bank).ready,
        "endpoint": status.get("url", ""),
        "mcp": (status.get("endpoints") or {}).get("mcp", ""),
        "secret": (status.get("binding") or {}).get("name", ""),
    }
    if asked.show_key:
        told["key"] = await token_of(api, asked.namespace, str(told["secret"]))
    put(asked, told, lambda: "\n".join(f"{name}: {value}" for name, value in told.items()))
    return code


async def delete(asked: Namespace, api: KubeClient) -> int:
    """Delete a bank, and say what stays of it."""
    bank = await reading.one(api, kinds.MEMORY_BANK, asked.namespace, asked.name)
    spec = bank.get("spec") or {}
    if spec.get("deletionProtection") and not asked.force:
        raise Problem(
            f"{asked.namespace}/{asked.name} has spec.deletionProtection: nothing was deleted. "
            "--force takes the protection off first",
            REFUSED,
        )
    if spec.get("deletionProtection"):
        await _change(asked, api, {"deletionProtection": False})
    uid = bank["metadata"]["uid"]
    await api.delete(kinds.MEMORY_BANK, asked.namespace, name=asked.name, uid=uid)
    stays = {
        "Retain": f"its volume {asked.name}-data and its backups stay, and a bank of this name "
        "finds its memories again",
        "Snapshot": "a last recovery point is taken, then its volume goes; its backups stay",
        "Delete": "its volume goes; its backups stay",
    }[spec.get("deletionPolicy", "Retain")]
    own = ((spec.get("auth") or {}).get("adminKeySecretRef") or {}).get("name")
    if own == _own_secret(asked.name):
        remove = f"kubectl delete secret {own} -n {asked.namespace}"
        stays += f". So does the admin key that you gave it; {remove} removes it"
    put(asked, {"deleted": asked.name, "stays": stays}, lambda: f"deleted {asked.name}: {stays}")
    return DONE


async def hibernate(asked: Namespace, api: KubeClient) -> int:
    """Stop the pods of a bank; its volume, keys and URL are kept."""
    await _change(asked, api, {"hibernate": True})
    return await _until(asked, api, kinds.MEMORY_BANK, asked.name, _is_stopped)


async def wake(asked: Namespace, api: KubeClient) -> int:
    """Start the pods of a bank again."""
    await _change(asked, api, {"hibernate": False})
    return await until_ready(asked, api, asked.name)


async def keys(asked: Namespace, api: KubeClient) -> int:
    """List the keys of a bank, make one, revoke one or have one replaced."""
    await reading.one(api, kinds.MEMORY_BANK, asked.namespace, asked.name)
    if asked.action == "list":
        found = [
            each
            for each in await reading.listed(api, kinds.MEMORY_BANK_KEY, asked.namespace)
            if is_of(asked.name, each)
        ]
        head = ["NAME", "ROLE", "TENANT", "STATE", "EXPIRES"]
        listed = reading.as_list(found, kinds.MEMORY_BANK_KEY)
        put(asked, listed, lambda: rendering.table([head, *map(rendering.key_row, found)]))
        return DONE
    if not asked.key_name:
        raise Problem(f"keys {asked.action} needs the name of a key after that of the bank", USAGE)
    if asked.action == "create":
        spec = {"bankRef": {"name": asked.name}, "role": asked.role, "tenant": asked.tenant}
        try:
            await api.create(body(kinds.MEMORY_BANK_KEY, asked.namespace, asked.key_name, spec))
        except errors.Conflict:
            raise Problem(
                f"a key {asked.key_name} is there already in namespace {asked.namespace}: choose "
                f"another name, or have it replaced by `kubectl memorybank keys rotate`",
                REFUSED,
            ) from None
        return await _until(asked, api, kinds.MEMORY_BANK_KEY, asked.key_name, _is_ready)
    key = await reading.one(api, kinds.MEMORY_BANK_KEY, asked.namespace, asked.key_name)
    if not is_of(asked.name, key):
        raise Problem(f"the key {asked.key_name} is of another bank than {asked.name}", MISSING)
    if asked.action == "revoke":
        uid = key["metadata"]["uid"]
        await api.delete(kinds.MEMORY_BANK_KEY, asked.namespace, name=asked.key_name, uid=uid)
        return DONE
    request = datetime.now(UTC).isoformat()
    await api.merge(
        kinds.MEMORY_BANK_KEY, asked.namespace, name=asked.key_name,
        changes={"spec": {"rotation": {"request": request}}},
    )  # fmt: skip

    def rotated(key: Object) -> bool:
        return (status_of(key).get("rotation") or {}).get("request") == request

    return await _until(asked, api, kinds.MEMORY_BANK_KEY, asked.key_name, rotated)


async def backup(asked: Namespace, api: KubeClient) -> int:
    """Take a recovery point of a bank."""
    await _with_backups(asked, api)
    name = asked.point or _made_now(asked.name)
    spec = {"bank": {"name": asked.name}}
    await api.create(body(kinds.MEMORY_BANK_BACKUP, asked.namespace, name, spec))
    code = await _until(asked, api, kinds.MEMORY_BANK_BACKUP, name, _is_complete)
    put(asked, {"backup": name, "complete": code == DONE}, lambda: name)
    return code


async def restore(asked: Namespace, api: KubeClient) -> int:
    """Put a bank back, or try whether that works."""
    await _with_backups(asked, api)
    state: dict[str, Any] = {"latest": True}
    if asked.point:
        state = {"backup": {"name": asked.point}}
    elif asked.timestamp:
        state = {"timestamp": asked.timestamp}
    elif not asked.latest and not asked.check:
        raise Problem("say to which state: --from POINT, --timestamp TIME or --latest", USAGE)
    name = _made_now(asked.name)
    spec = {"bank": {"name": asked.name}, "check": asked.check, **state}
    await api.create(body(kinds.MEMORY_BANK_RESTORE, asked.namespace, name, spec))
    code = await _until(asked, api, kinds.MEMORY_BANK_RESTORE, name, _is_complete)
    put(asked, {"restore": name, "complete": code == DONE}, lambda: name)
    return code


async def _with_backups(asked: Namespace, api: KubeClient) -> None:
    bank = await reading.one(api, kinds.MEMORY_BANK, asked.namespace, asked.name)
    if not (bank.get("spec") or {}).get("backup"):
        raise Problem(
            f"{asked.namespace}/{asked.name} has no backups: set spec.backup.destination first, "
            "see docs/banks/backup.md",
            REFUSED,
        )


async def _own_key(asked: Namespace, api: KubeClient) -> dict[str, str]:
    text = _read(asked.key_file)
    if not SYNTAX.fullmatch(text.strip()):
        raise Problem("--key-file: a key is `mb_` and 43 letters, digits, - or _", USAGE)
    name = _own_secret(asked.name)
    data = {ENTRY: base64.b64encode(text.strip().encode()).decode()}
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": name, "namespace": asked.namespace},
        "data": data,
    }
    try:
        await api.create(secret)
    except errors.Conflict:
        present = await api.get(kinds.SECRET, asked.namespace, name)
        if present is None or present.get("data") != data:
            raise Problem(
                f"a Secret {name} is there already, with another key: delete it, or leave out "
                "--key-file",
                REFUSED,
            ) from None
    return {"name": name, "key": ENTRY}


def _own_secret(bank: str) -> str:
    return f"{bank}-{OWN_KEY}"


def _read(file: str) -> str:
    try:
        return sys.stdin.read() if file == "-" else Path(file).read_text()
    except OSError as error:
        raise Problem(f"--key-file: {error.strerror}: {file}", USAGE) from None


async def token_of(api: KubeClient, namespace: str, secret: str) -> str:
    """Return the key in a binding Secret; empty when there is none yet."""
    found = await api.get(kinds.SECRET, namespace, secret) if secret else None
    data = (found or {}).get("data") or {}
    return base64.b64decode(data.get("token", "")).decode()


async def _change(asked: Namespace, api: KubeClient, spec: dict[str, Any]) -> None:
    await reading.one(api, kinds.MEMORY_BANK, asked.namespace, asked.name)
    await api.merge(kinds.MEMORY_BANK, asked.namespace, name=asked.name, changes={"spec": spec})


async def until_ready(asked: Namespace, api: KubeClient, name: str) -> int:
    """Wait until a bank is ready, unless nobody asked for that."""
    return await _until(asked, api, kinds.MEMORY_BANK, name, lambda it: judge(it).ready)


async def _until(
    asked: Namespace, api: KubeClient, kind: ApiKind, name: str, done: Callable[[Object], bool]
) -> int:
    """Look until it is done, saying on stderr what is waited for; 1 when it is not in time."""
    if not asked.wait:
        return DONE
    said = ""
    try:
        async with asyncio.timeout(parse_duration(asked.timeout).total_seconds()):
            while True:
                found = await reading.one(api, kind, asked.namespace, name)
                if done(found):
                    return DONE
                now = _progress(found)
                if now != said:
                    print(f"{name}: {now}", file=sys.stderr)  # noqa: T201 - progress
                    said = now
                if _has_failed(found):
                    return NOT_READY
                await asyncio.sleep(LOOK_SECONDS)
    except TimeoutError:
        print(f"{name}: not in {asked.timeout}; it goes on", file=sys.stderr)  # noqa: T201
        return NOT_READY


def _progress(found: Object) -> str:
    named = conditions(found)
    told = named.get("Ready") or named.get("Complete")
    if told is None or not is_current(found):
        return "the operator has not looked at it yet"
    return f"{told.get('reason', '')}: {told.get('message', '')}"


def _has_failed(found: Object) -> bool:
    """Tell whether a recovery point or a restore is over, without success."""
    return status_of(found).get("phase") == "Failed" and "bank" in (found.get("spec") or {})


def _is_stopped(bank: Object) -> bool:
    """The phase says what is asked for, while the last pod may still end its requests."""
    stops = is_current(bank) and status_of(bank).get("phase") == "Stopped"
    return stops and not holds(bank, "Available")


def _is_ready(key: Object) -> bool:
    return holds(key, "Ready")


def _is_complete(made: Object) -> bool:
    return holds(made, "Complete")


def _made_now(bank: str) -> str:
    return f"{bank}-{datetime.now(UTC):%Y%m%d-%H%M%S}"
