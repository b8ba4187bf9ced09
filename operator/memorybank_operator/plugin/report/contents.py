"""What a report holds, as files by name."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import yaml

from memorybank_operator import __version__, constants
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.kube.kinds import ApiKind
from memorybank_operator.plugin import reading
from memorybank_operator.plugin.doctor.command import examine, page
from memorybank_operator.plugin.doctor.snapshot import OPERATOR, take
from memorybank_operator.plugin.problems import Problem
from memorybank_operator.plugin.report.redaction import Redaction
from memorybank_operator.plugin.summary import Object, concerns, is_of

LINES = 2000
BYTES = 1 << 20
"""The most that is taken of what one container printed."""
PUBLIC = frozenset(
    {
        "bucket", "ca.crt", "database", "dbname", "endpoint", "host", "hostname", "mcp",
        "namespace", "port", "provider", "region", "tenant", "tls.crt", "type", "uri", "url",
        "user", "username",
    }
)  # fmt: skip
"""Keys of Secrets whose values are no secrets by custom: without them the report would not say what
it is about. What in them looks like one, such as a password in an address, is taken out all the
same.
"""
SHOWN = tuple(kind for kind in (*kinds.CHILDREN, kinds.JOB, kinds.POD) if kind is not kinds.SECRET)
"""Kinds whose objects are shown, of those that have the label of a bank."""


class Report:
    """Gathers the files."""

    def __init__(self, api: KubeClient, namespace: str, bank: str, now: datetime) -> None:
        self._api, self._namespace, self._bank, self._now = api, namespace, bank, now
        self._files: dict[str, str] = {}
        self._missing: dict[str, str] = {}
        self._redaction = Redaction()

    async def files(self) -> Mapping[str, str]:
        """Return the files, which hold no secret. Raises Problem when the bank is not there."""
        snapshot = await take(self._api, self._namespace, self._bank, self._now)
        # First of all, since what is in them is to be found in everything else.
        secrets = await self._objects(kinds.SECRET, "")
        self._redaction = Redaction(_values(secrets))
        self._objects_to_files(kinds.SECRET, secrets)
        self._put("doctor.txt", page(snapshot, examine(snapshot)) + "\n")
        for kind in kinds.OURS_ALONE:
            self._objects_to_files(kind, list(filter(self._is_ours, snapshot.of(kind))))
        for kind in SHOWN:
            items = await self._objects(kind, self._selector())
            self._objects_to_files(kind, items)
            if kind is kinds.POD:
                await self._logs(items)
        events = await self._objects(kinds.EVENT, "")
        self._put("events.yaml", self._yaml(list(filter(self._concerns, events))))
        for operator in snapshot.operators or ():
            self._objects_to_files(kinds.DEPLOYMENT, [operator])
            await self._logs(await self._of_operator(operator))
        for lease in snapshot.leases:
            self._objects_to_files(kinds.LEASE, [lease])
        told = {
            "made": self._now.isoformat(timespec="seconds"), "plugin": __version__,
            "namespace": self._namespace, "bank": self._bank or "all",
            "notThere": self._missing | dict.fromkeys(snapshot.hidden, "no right to read it"),
        }  # fmt: skip
        self._put("report.yaml", self._yaml(told))
        return self._files

    def _put(self, name: str, text: str) -> None:
        self._files[name] = self._redaction.text(text)

    def _objects_to_files(self, kind: ApiKind, items: Sequence[Object]) -> None:
        for each in items:
            body = self._redaction.object(
                {"apiVersion": kind.api_version, **each, "kind": kind.kind}
            )
            metadata = each["metadata"]
            name = f"objects/{kind.kind}/{metadata['namespace']}.{metadata['name']}.yaml"
            self._put(name, self._yaml(body))

    async def _objects(self, kind: ApiKind, selector: str) -> Sequence[Object]:
        try:
            return await reading.listed(self._api, kind, self._namespace, selector=selector)
        except errors.NotFound:
            return []  # another project's kind, which is not installed
        except (errors.KubeError, Problem) as error:
            self._missing[kind.plural] = str(error)
            return []

    async def _of_operator(self, operator: Object) -> Sequence[Object]:
        namespace = operator["metadata"]["namespace"]
        try:
            return await reading.listed(self._api, kinds.POD, namespace, selector=OPERATOR)
        except errors.KubeError as error:
            self._missing["pods of the operator"] = str(error)
            return []

    async def _logs(self, pods: Sequence[Object]) -> None:
        for pod in pods:
            namespace, name = pod["metadata"]["namespace"], pod["metadata"]["name"]
            status = pod.get("status") or {}
            for each in (*(status.get("initContainerStatuses") or ()),
                         *(status.get("containerStatuses") or ())):  # fmt: skip
                container = each["name"]
                for previous in (False, True) if each.get("restartCount") else (False,):
                    suffix = ".previous" if previous else ""
                    file = f"logs/{namespace}.{name}.{container}{suffix}.log"
                    try:
                        text = await self._api.logs(
                            namespace, name, container, previous=previous,
                            query={"tailLines": str(LINES), "limitBytes": str(BYTES)},
                        )  # fmt: skip
                    except errors.KubeError as error:
                        self._missing[file] = self._redaction.text(str(error))
                    else:
                        self._put(file, text)

    def _yaml(self, value: Any) -> str:
        if isinstance(value, list):
            value = [self._redaction.object(each) for each in value]
        # In one line each, so that nothing is hidden from the search by a break.
        return yaml.safe_dump(value, sort_keys=False, width=1 << 30, allow_unicode=True)

    def _selector(self) -> str:
        return f"{constants.LABEL_BANK}={self._bank}" if self._bank else kinds.OURS

    def _is_ours(self, resource: Object) -> bool:
        name = resource["metadata"]["name"]
        return not self._bank or name == self._bank or is_of(self._bank, resource)

    def _concerns(self, event: Object) -> bool:
        return not self._bank or concerns(self._bank, event)


def _values(secrets: Sequence[Object]) -> list[str]:
    """Return the values of Secrets, as text."""
    found = []
    for each in secrets:
        for name, value in (each.get("data") or {}).items():
            if name.lower() in PUBLIC:
                continue
            try:
                found.append(base64.b64decode(value).decode())
            except (binascii.Error, UnicodeDecodeError):
                found.append(value)  # bytes, of which only this form can be in a text
    return found
