"""What the operator knows when it decides, read by whoever may: the bank's objects, the Secrets
that its spec names, and how the operator itself is set up.
"""

from __future__ import annotations

from pydantic import ValidationError

from memorybank_operator import constants
from memorybank_operator.api.defaults import NO_DEFAULTS, Defaults, parse
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.errors import InvalidDefaults
from memorybank_operator.kube import errors, kinds
from memorybank_operator.kube.client import KubeClient, Object
from memorybank_operator.kube.discovery import served
from memorybank_operator.kube.kinds import ApiKind
from memorybank_operator.plugin import reading
from memorybank_operator.plugin.doctor.snapshot import OPERATOR
from memorybank_operator.plugin.problems import REFUSED, Problem
from memorybank_operator.reconcile.observed import ChildKey, KubeObject, Observed
from memorybank_operator.resources import names
from memorybank_operator.resources.context import RenderSettings
from memorybank_operator.resources.ingress import tls_secret
from memorybank_operator.resources.named_secrets import named_secrets
from memorybank_operator.settings import PREFIX, Settings

OF_THE_BANK = f"{constants.LABEL_NAME} notin ({constants.BACKUP_NAME},{constants.READ_NAME})"
"""Selects its own pods among those that have its label."""
SHOWN = frozenset(
    {"app_image", "chroma_image", "cluster_domain", "defaults", "ollama_image", "own_namespace"}
)
"""Settings of the operator that show in a bank's objects."""


async def observed(api: KubeClient, bank: MemoryBank) -> Observed:
    """Read what there is of a bank. Raises Forbidden where Secrets may not be read: what is made
    of them cannot be told without.
    """
    labelled = f"{constants.LABEL_BANK}={bank.name}"
    children: dict[ChildKey, KubeObject] = {}
    for kind in kinds.CHILDREN:
        for each in await _listed(api, kind, bank.namespace, labelled):
            children[ChildKey(kind.kind, each["metadata"]["name"])] = each
    for child in names.children(bank):
        if child not in children:
            found = await _get(api, bank.namespace, kinds.by_kind(child.kind), child.name)
            if found is not None:
                children[child] = found
    wanted = sorted({each.name for each in named_secrets(bank)})
    secrets = [await _named(api, bank, each) for each in wanted]
    reference, certificate = bank.spec.auth.admin_key_secret_ref, tls_secret(bank)
    return Observed(
        children=children,
        pods=tuple(await _listed(api, kinds.POD, bank.namespace, f"{labelled},{OF_THE_BANK}")),
        storage_classes={
            each["metadata"]["name"]: each
            for each in await _listed(api, kinds.STORAGE_CLASS, None, "")
        },
        admin_key_secret=await _named(api, bank, reference.name if reference else None),
        named_secrets={
            name: body for name, body in zip(wanted, secrets, strict=True) if body is not None
        },
        tls_secret=await _named(api, bank, certificate),
    )


async def settings(api: KubeClient) -> RenderSettings:
    """Return how the operator of this cluster is set up. Raises Problem where there is none, or it
    is set up by something else than values in its Deployment.
    """
    operators = await reading.listed(api, kinds.DEPLOYMENT, None, selector=OPERATOR)
    if not operators:
        raise Problem(
            f"no Deployment has the label {OPERATOR}: what a bank gets is decided by an operator, "
            "which is not installed here; see `kubectl memorybank doctor`",
            REFUSED,
        )
    read = _settings(operators[0])
    return RenderSettings(
        read.app_image,
        read.cluster_domain,
        await _defaults(api, read.defaults),
        read.own_namespace or operators[0]["metadata"]["namespace"],
        read.chroma_image,
        read.ollama_image,
        frozenset(each.kind for each in await served(api, kinds.OPTIONAL)),
    )


def _settings(operator: Object) -> Settings:
    """Read the settings from an operator's Deployment."""
    given: dict[str, str] = {}
    for container in operator["spec"]["template"]["spec"]["containers"]:
        for each in container.get("env") or ():
            name = str(each["name"]).removeprefix(PREFIX).lower()
            if name in SHOWN and "value" in each:
                given[name] = str(each["value"])
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        wrong = ", ".join(sorted({f"{PREFIX}{each['loc'][0]}".upper() for each in error.errors()}))
        raise Problem(
            f"the operator's Deployment sets what this version does not take: {wrong}; install "
            "the plugin of the operator's version",
            REFUSED,
        ) from None


async def _defaults(api: KubeClient, place: str) -> Defaults:
    namespace, _, name = place.partition("/")
    found = await api.get(kinds.CONFIG_MAP, namespace, name) if place else None
    try:
        return parse(found.get("data") or {}) if found is not None else NO_DEFAULTS
    except InvalidDefaults as error:
        raise Problem(
            f"the operator refuses the defaults in ConfigMap {place}, so the last good ones are in "
            f"force: {error}",
            REFUSED,
        ) from None


async def _named(api: KubeClient, bank: MemoryBank, name: str | None) -> KubeObject | None:
    return None if name is None else await api.get(kinds.SECRET, bank.namespace, name)


async def _get(api: KubeClient, namespace: str, kind: ApiKind, name: str) -> KubeObject | None:
    """Return an object; None also where its kind is not installed."""
    try:
        return await api.get(kind, namespace, name)
    except errors.NotFound:
        return None


async def _listed(
    api: KubeClient, kind: ApiKind, namespace: str | None, selector: str
) -> list[Object]:
    found: list[Object] = []
    try:
        async for page in api.pages(kind, namespace, selector=selector):
            found += (
                {"apiVersion": kind.api_version, "kind": kind.kind, **each}
                for each in page["items"]  # a list leaves both out of its items
            )
    except errors.NotFound:
        return []  # a kind of another project, which is not installed
    return found
