"""What the canary is to prove of a bank: that the pods which serve now, made from the wanted
revision, do their job for those who use the Service with the key from the Secret.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import StrEnum

from memorybank_operator import constants
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.canary import Door, Target
from memorybank_operator.readings import Outlook
from memorybank_operator.reconcile.entries import read_entry
from memorybank_operator.reconcile.observed import ChildKey, KubeObject, Observed
from memorybank_operator.reconcile.steps import Plan
from memorybank_operator.resources import names
from memorybank_operator.resources.key_secret import TOKEN
from memorybank_operator.status.serving import is_running, is_serving, serves_as, serving


class Connect(StrEnum):
    """How to reach a Service."""

    DNS = "dns"
    CLUSTER_IP = "cluster-ip"


def target(bank: MemoryBank, observed: Observed, plan: Plan, *, connect: Connect) -> Target | None:
    """Return what to prove; None while no pod of the wanted revision serves, or no key is known."""
    key = read_entry(observed.children.get(names.key_secret(bank)), TOKEN)
    service = observed.children.get(names.service(bank))
    configuration, revision = plan.configuration, plan.revision
    if not key or service is None or configuration is None:
        return None
    if not any(serves_as(pod, revision) for pod in observed.pods):
        return None
    url = names.http_url(bank)
    return Target(
        url=url,
        connect_to=url if connect is Connect.DNS else _by_cluster_ip(service),
        key=key,
        generation=bank.generation,
        revision=revision,
        configuration=configuration,
        serving=serving(observed.pods),
        resync=bank.resync or bank.status.resync,
        reads_only=bank.spec.followed is not None,
    )


def door(
    bank: MemoryBank,
    children: Mapping[ChildKey, KubeObject],
    pods: Sequence[KubeObject],
    *,
    connect: Connect,
) -> Door | None:
    """Return where the bank is told of its keys; None while no pod serves, of whatever revision."""
    key = read_entry(children.get(names.key_secret(bank)), TOKEN)
    service = children.get(names.service(bank))
    who = serving(pods)
    if not key or service is None or not who:
        return None
    url = names.http_url(bank)
    return Door(
        url=url,
        connect_to=url if connect is Connect.DNS else _by_cluster_ip(service),
        key=key,
        serving=who,
    )


def outlook(bank: MemoryBank, observed: Observed) -> Outlook | None:
    """Return whom to ask for the bank's disk, what keeps it from serving, and what it does without:
    a pod that runs, ready or not; None without one.

    The newest of several is asked: of a bank with a volume, the others are on their way out.
    """
    running = [pod for pod in observed.pods if _runs(pod)]
    serves = bool(serving(observed.pods))
    if not running:
        return None
    newest = max(running, key=lambda pod: str(pod["metadata"].get("creationTimestamp") or ""))
    claim = observed.children.get(names.volume_claim(bank), {})
    capacity = (claim.get("status", {}).get("capacity") or {}).get("storage") or ""
    return Outlook(
        _http(newest["status"]["podIP"]),
        capacity,
        serves=serves,
        urgent=bank.spec.backup is not None or bank.spec.relies_on_servers,
        readers=tuple(
            sorted(_http(pod["status"]["podIP"]) for pod in observed.read_pods if is_serving(pod))
        ),
    )


def _runs(pod: KubeObject) -> bool:
    """Tell whether a pod is of the bank's own Deployment, and can be asked."""
    ours = constants.ANNOTATION_REVISION in (pod["metadata"].get("annotations") or {})
    return ours and is_running(pod) and bool(pod["status"].get("podIP"))


def _by_cluster_ip(service: KubeObject) -> str:
    return _http(service["spec"]["clusterIP"])


def _http(address: str) -> str:
    return f"http://{f'[{address}]' if ':' in address else address}:{constants.HTTP_PORT}"
