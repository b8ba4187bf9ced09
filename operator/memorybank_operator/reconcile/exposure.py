"""Whether what an exposed bank needs is there: found out before clients meet a wrong certificate,
or nobody at all.
"""

from __future__ import annotations

from collections.abc import Iterator

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.reconcile.observed import Observed
from memorybank_operator.reconcile.steps import Problem
from memorybank_operator.resources import names
from memorybank_operator.resources.context import RenderSettings
from memorybank_operator.resources.external_service import addresses
from memorybank_operator.resources.ingress import is_issued, tls_secret

ENTRIES = ("tls.crt", "tls.key")
"""Of a Secret of the type kubernetes.io/tls."""


def decide_exposure(
    bank: MemoryBank, observed: Observed, settings: RenderSettings
) -> Iterator[Problem]:
    """Yield what keeps clients outside from the bank, as far as the bank's objects need it."""
    name = tls_secret(bank)
    if name is not None:
        yield from _certificate(bank, observed, name)
    kind = names.http_route(bank).kind
    if bank.spec.expose.gateway is not None and kind not in settings.installed:
        yield Problem(
            Reason.GATEWAY_API_NOT_INSTALLED,
            f"spec.expose.gateway: the cluster has no {kind}: have the Gateway API installed "
            "(its CRDs, version v1), or use spec.expose.ingress",
        )
    if bank.spec.expose.load_balancer is not None and not addresses(bank, observed.children):
        yield Problem(
            Reason.LOAD_BALANCER_PENDING,
            f"spec.expose.service: Service {names.external_service(bank).name} has no address yet: "
            "the cluster's controller of load balancers gives it one, see the Service's events",
        )


def _certificate(bank: MemoryBank, observed: Observed, name: str) -> Iterator[Problem]:
    secret = observed.tls_secret
    if secret is None:
        cure = "create it, of the type kubernetes.io/tls, or name another one"
        if is_issued(bank):
            cure = "cert-manager has not made it yet: look at the Certificate of this name"
        yield Problem(
            Reason.TLS_SECRET_NOT_FOUND,
            f"spec.expose.ingress.tls: Secret {name} does not exist in namespace "
            f"{bank.namespace}: {cure}",
        )
        return
    missing = [each for each in ENTRIES if not (secret.get("data") or {}).get(each)]
    if missing:
        yield Problem(
            Reason.TLS_SECRET_NOT_FOUND,
            f"spec.expose.ingress.tls: Secret {name} has no entry {' and no '.join(missing)}: it "
            "has to be of the type kubernetes.io/tls",
        )
