"""What an examination looks at: the objects around banks, read once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from memorybank_operator import constants
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import KubeClient
from memorybank_operator.kube.kinds import ApiKind
from memorybank_operator.leadership import NAME as LEASE
from memorybank_operator.plugin import reading
from memorybank_operator.plugin.problems import Problem
from memorybank_operator.plugin.summary import Object

DEFINITION = ApiKind(
    "apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions",
    namespaced=False,
)  # fmt: skip
INGRESS_CLASS = ApiKind("networking.k8s.io/v1", "IngressClass", "ingressclasses", namespaced=False)
OPERATOR = "app.kubernetes.io/name=memorybank-operator"
"""Selects the operator, as its chart labels it."""


class Reference(NamedTuple):
    """An entry of a Secret that a spec names."""

    path: str
    """Of the field, as kubectl writes it."""
    secret: str
    key: str
    """Empty for the Secret as a whole."""


@dataclass(frozen=True)
class Snapshot:
    """What there was at a moment."""

    now: datetime
    banks: Sequence[Object] = ()
    found: Mapping[ApiKind, Sequence[Object]] = field(default_factory=dict)
    """What was read, by kind; a kind that is missing here could not be."""
    operators: Sequence[Object] | None = None
    """Deployments of the operator, in all namespaces; None where they may not be read."""
    leases: Sequence[Object] = ()
    """Leases by which operators take turns."""
    secrets: Mapping[tuple[str, str], frozenset[str] | None] = field(default_factory=dict)
    """The keys of Secrets that specs name, by namespace and name; None for one that is not there.
    What could not be read is missing. Values are never kept.
    """
    hidden: Sequence[str] = ()
    """What could not be read, for lack of rights."""

    def of(self, kind: ApiKind, bank: Object | None = None) -> Iterator[Object]:
        """Yield what was read of a kind, or what of it belongs to a bank."""
        for each in self.found.get(kind, ()):
            if bank is None or _belongs(each, bank):
                yield each

    def knows(self, kind: ApiKind) -> bool:
        """Tell whether a kind was read."""
        return kind in self.found

    def missing(self, namespace: str, wanted: Reference) -> str:
        """Say what of a reference is not there; empty when it is, or that is not known."""
        if (namespace, wanted.secret) not in self.secrets:
            return ""
        keys = self.secrets[namespace, wanted.secret]
        if keys is None:
            return f"Secret {wanted.secret} is not there"
        if wanted.key and wanted.key not in keys:
            return f"Secret {wanted.secret} has no key {wanted.key}"
        return ""


def references(spec: Mapping[str, Any], path: str = "spec") -> Iterator[Reference]:
    """Yield the Secrets that a spec names."""
    for name, value in spec.items():
        where = f"{path}.{name}"
        if isinstance(value, dict):
            is_named = name == "secretRef" or name.endswith(("SecretRef", "secretKeyRef"))
            if is_named and value.get("name") and not value.get("optional"):
                yield Reference(where, value["name"], value.get("key", ""))
            else:
                yield from references(value, where)
        elif isinstance(value, list):
            for number, each in enumerate(value):
                if isinstance(each, dict):
                    yield from references(each, f"{where}[{number}]")


async def take(api: KubeClient, namespace: str | None, name: str, now: datetime) -> Snapshot:
    """Read what there is around the banks of a namespace, all of them for None, or around one.

    Raises Problem when the one that is named is not there.
    """
    hidden: list[str] = []
    found: dict[ApiKind, Sequence[Object]] = {}

    async def read(kind: ApiKind, selector: str = "") -> None:
        where = namespace if kind.namespaced else None
        try:
            found[kind] = await _listed(api, kind, where, selector)
        except errors.Forbidden:
            hidden.append(kind.plural)
        except errors.NotFound:
            found[kind] = []

    for kind in (DEFINITION, kinds.STORAGE_CLASS, INGRESS_CLASS, *kinds.OURS_ALONE):
        await read(kind)
    for kind in (kinds.POD, kinds.VOLUME_CLAIM, kinds.DEPLOYMENT, kinds.STATEFUL_SET):
        await read(kind, kinds.OURS)
    banks = [each for each in found.get(kinds.MEMORY_BANK, ()) if not name or is_named(each, name)]
    if name and not banks and namespace is not None:
        banks = [await reading.one(api, kinds.MEMORY_BANK, namespace, name)]
    operators, leases = await _operators(api)
    if operators is None:
        hidden.append("the operator's Deployment")
    return Snapshot(
        now, banks, found, operators, leases, await _secrets(api, banks, hidden), hidden
    )


def is_named(resource: Object, name: str) -> bool:
    """Tell whether a resource has a name."""
    return bool(resource["metadata"]["name"] == name)


async def _listed(
    api: KubeClient, kind: ApiKind, namespace: str | None, selector: str
) -> list[Object]:
    items: list[Object] = []
    async for page in api.pages(kind, namespace, selector=selector):
        items += page["items"]
    return items


async def _operators(api: KubeClient) -> tuple[list[Object] | None, list[Object]]:
    try:
        operators = await _listed(api, kinds.DEPLOYMENT, None, OPERATOR)
        leases: list[Object] = [
            lease
            for each in operators
            if (lease := await api.get(kinds.LEASE, each["metadata"]["namespace"], LEASE))
        ]
    except errors.Forbidden:
        return None, []
    return operators, leases


async def _secrets(
    api: KubeClient, banks: Sequence[Object], hidden: list[str]
) -> dict[tuple[str, str], frozenset[str] | None]:
    keys: dict[tuple[str, str], frozenset[str] | None] = {}
    for bank in banks:
        namespace = bank["metadata"]["namespace"]
        for wanted in references(bank.get("spec") or {}):
            try:
                secret = await api.get(kinds.SECRET, namespace, wanted.secret)
            except (errors.Forbidden, Problem):
                if "secrets" not in hidden:
                    hidden.append("secrets")
                continue
            told = None if secret is None else frozenset(secret.get("data") or ())
            keys[namespace, wanted.secret] = told
    return keys


def _belongs(resource: Object, bank: Object) -> bool:
    metadata, of = resource["metadata"], bank["metadata"]
    labelled = (metadata.get("labels") or {}).get(constants.LABEL_BANK) == of["name"]
    return bool(labelled and metadata.get("namespace") == of["namespace"])
