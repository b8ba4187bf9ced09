"""Whether what an Ingress needs is there: found out before clients meet a wrong certificate."""

from __future__ import annotations

from memorybank_operator.api.v1alpha1.conditions import Reason
from memorybank_operator.api.v1alpha1.memorybank import MemoryBank
from memorybank_operator.reconcile.observed import Observed
from memorybank_operator.reconcile.steps import Problem
from memorybank_operator.resources.ingress import is_issued, tls_secret

ENTRIES = ("tls.crt", "tls.key")
"""Of a Secret of the type kubernetes.io/tls."""


def decide_exposure(bank: MemoryBank, observed: Observed) -> Problem | None:
    """Return what is wrong with the certificate that the spec names; None for nothing."""
    name = tls_secret(bank)
    if name is None:
        return None
    secret = observed.tls_secret
    if secret is None:
        cure = "create it, of the type kubernetes.io/tls, or name another one"
        if is_issued(bank):
            cure = "cert-manager has not made it yet: look at the Certificate of this name"
        return Problem(
            Reason.TLS_SECRET_NOT_FOUND,
            f"spec.expose.ingress.tls: Secret {name} does not exist in namespace "
            f"{bank.namespace}: {cure}",
        )
    missing = [each for each in ENTRIES if not (secret.get("data") or {}).get(each)]
    if not missing:
        return None
    return Problem(
        Reason.TLS_SECRET_NOT_FOUND,
        f"spec.expose.ingress.tls: Secret {name} has no entry {' and no '.join(missing)}: it has "
        "to be of the type kubernetes.io/tls",
    )
